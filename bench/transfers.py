"""Uploads and downloads: a CSV of 8 bytes, one of 50 MB, and 250 000 results as NDJSON, CSV and Parquet.

The reference of the large upload reads the same file with pyarrow and writes it as Parquet, in a process that
has imported pyarrow. The references of the downloads write the same results, decoded in memory, with msgspec,
the csv module and pyarrow. All take turns on the same machine.
"""

import asyncio
import csv
import io
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from bench import options, text_memory
from bench.measuring import Spread, spread
from bench.options import Options
from bench.results import Results
from bench.stack import ROOT, Api, Stack, User, stack

SMALL: Final = b"a,b\n1,2\n"
TIMEOUT_SECONDS: Final = 600.0
MEGABYTE: Final = 1e6

_REFERENCE: Final = """
import sys, time
import pyarrow.csv, pyarrow.parquet
began = time.perf_counter()
pyarrow.parquet.write_table(pyarrow.csv.read_csv(sys.argv[1]), sys.argv[2])
print(time.perf_counter() - began)
"""

_WORDS: Final = ("quick", "brown", "fox", "jumps", "lazy", "dog", "while", "rain", "falls", "stones", "town")


def table(total_bytes: int) -> Iterator[bytes]:
    """Generate a CSV with numbers, texts, dates and booleans; the same one each time."""
    generator = random.Random(3)
    line = "id,amount,score,label,text,day,seen_at,active\n"
    row = size = 0
    while size < total_bytes:
        yield line.encode()
        size += len(line)
        text = " ".join(generator.choices(_WORDS, k=8))
        day = date(2020, 1, 1) + timedelta(days=row % 2000)
        seen_at = datetime(2024, 1, 1) + timedelta(seconds=row)  # noqa: DTZ001  # written without a zone
        line = (
            f"{row},{generator.uniform(0, 1000):.2f},{generator.random()!r},"
            f'{generator.choice(("red", "green", "blue"))},"{text}, {row}",{day},{seen_at},'
            f"{'true' if row % 3 else 'false'}\n"
        )
        row += 1


async def measure(system: Stack, options: Options) -> Results:
    """Measure the uploads, then the downloads."""
    results = Results("transfers", options)
    user = await system.user()
    with system.api() as api:
        first, small = _small_uploads(api, user, options.choose(20, 2))
        file = system.folder / "large.csv"
        with file.open("wb") as written:
            written.writelines(table(options.choose(50_000_000, 1_000_000)))
        uploads, references = [], []
        for _ in range(options.rounds):
            uploads.append(_upload(api, user, file))
            references.append(_reference(file))
    size = file.stat().st_size / MEGABYTE
    rates, reference_rates = (spread(size / taken for taken in each) for each in (uploads, references))
    ratio = spread(reference / taken for taken, reference in zip(uploads, references, strict=True))
    results.table("A CSV of 8 bytes", ("upload", "seconds"), [("first", first), ("later", small)])
    results.table(
        f"A CSV of {size:.1f} MB",
        ("", "MB/s"),
        [("upload", rates), ("pyarrow", reference_rates), ("relative", ratio)],
    )
    await _downloads(system, user, options, results)
    results.at_most("upload of 8 bytes", small.median, 0.3, "s")
    results.at_least("CSV upload, relative to pyarrow", ratio.median, 0.5)
    results.rounds |= {"upload": uploads, "pyarrow": references}
    return results


def _small_uploads(api: Api, user: User, count: int) -> tuple[float, Spread]:
    """The seconds of the first upload, with which the API starts its fork server, and of later ones."""
    seconds = [_post(api, user, SMALL) for _ in range(count + 1)]
    return seconds[0], spread(seconds[1:])


def _upload(api: Api, user: User, file: Path) -> float:
    with file.open("rb") as content:
        return _post(api, user, content)


def _post(api: Api, user: User, content: Any) -> float:
    headers = {**user.headers, "Content-Type": "text/csv"}
    began = time.perf_counter()
    answer = httpx.post(
        f"{api.url}/datasets?name=x", content=content, headers=headers, timeout=TIMEOUT_SECONDS
    )
    answer.raise_for_status()
    return time.perf_counter() - began


def _reference(file: Path) -> float:
    """The seconds that pyarrow takes to read a file and to write it as Parquet."""
    done = subprocess.run(
        [sys.executable, "-c", _REFERENCE, str(file), str(file.with_suffix(".parquet"))],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return float(done.stdout)


async def _downloads(system: Stack, user: User, options: Options, results: Results) -> None:
    count = options.choose(250_000, 10_000)
    with system.api() as api, system.worker(WORKER_SLOTS="1"):
        job_id = await text_memory.predict(api, user, text_memory.upload(api, user, count))
        url = f"{api.url}/jobs/{job_id}/results"
        rows = [msgspec.json.decode(line) for line in _download(url, user, "ndjson")[0].splitlines()]
        assert len(rows) == count
        rates: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, write in _WRITERS.items():
                rates.setdefault(name, []).append(count / _download(url, user, name)[1])
                began = time.perf_counter()
                write(rows)
                rates.setdefault(f"{name} from memory", []).append(count / (time.perf_counter() - began))
            compressed = _download(url, user, "ndjson", encoding="gzip")[1]
            rates.setdefault("ndjson with gzip", []).append(count / compressed)
    results.table(
        f"{count} results", ("", "rows/s"), [(name, spread(found)) for name, found in rates.items()]
    )
    results.at_least("results as NDJSON", spread(rates["ndjson"]).median / 1e6, 1.0, "M rows/s")
    results.rounds |= {"rows_per_second": rates}


def _download(url: str, user: User, name: str, *, encoding: str = "identity") -> tuple[bytes, float]:
    headers = {**user.headers, "Accept-Encoding": encoding}
    began = time.perf_counter()
    with httpx.stream(
        "GET", url, params={"format": name}, headers=headers, timeout=TIMEOUT_SECONDS
    ) as answer:
        answer.raise_for_status()
        content = b"".join(answer.iter_raw())
    return content, time.perf_counter() - began


def _write_ndjson(rows: list[dict[str, Any]]) -> bytes:
    return msgspec.json.Encoder().encode_lines(rows)


def _write_csv(rows: list[dict[str, Any]]) -> bytes:
    flat = _flat(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]))
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()


def _write_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_flat(rows)), file)
    return file.getvalue()


def _flat(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"index": row["index"], "input_index": row["input_index"], **_members(row["prediction"])}
        for row in rows
    ]


def _members(prediction: dict[str, Any]) -> dict[str, Any]:
    scores = prediction.pop("scores", {}) if "scores" in prediction else {}
    return {**prediction, **{f"scores.{name}": score for name, score in scores.items()}}


_WRITERS: Final[dict[str, Callable[[list[dict[str, Any]]], bytes]]] = {
    "ndjson": _write_ndjson,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
