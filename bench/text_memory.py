"""Memory of the API for a CSV of 25 MiB with 250 000 short texts: upload, prediction, downloads.

The API process is new, so modules that it loads lazily count. Downloads each format once. Measures the
maximum growth of the resident size since before the upload.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import httpx
import msgspec

from bench import load, options, texts
from bench.dataset_memory import watch_memory
from bench.measuring import MIB
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import Api, Stack, User, stack

TEXT_CHARACTERS: Final = 112
BLOCK_ROWS: Final = 1000
TIMEOUT_SECONDS: Final = 600.0

DOWNLOADS: Final = {
    "results as NDJSON": "application/x-ndjson",
    "results as CSV": "text/csv",
    "results as Parquet": "application/vnd.apache.parquet",
}


def table(rows: int) -> Iterator[bytes]:
    """Generate a CSV with `rows` distinct texts."""
    reviews = [text.replace('"', '""')[:TEXT_CHARACTERS].rstrip('"') for text in texts.reviews(BLOCK_ROWS)]
    yield b"text\n"
    for block in range(rows // BLOCK_ROWS):
        yield "".join(f'"{text} {block}"\n' for text in reviews).encode()


async def measure(system: Stack, options: Options) -> Results:
    """Run every stage once while sampling the memory."""
    results = Results("text_memory", options)
    rows = options.choose(250_000, 10_000)
    size = sum(map(len, table(rows)))
    user = await system.user()
    with system.api() as api, system.worker(WORKER_SLOTS="1"), watch_memory(api.program) as api_memory:
        stages: list[tuple[str, float, float]] = []
        began = time.monotonic()
        dataset_id = upload(api, user, rows)
        stages.append(("upload", time.monotonic() - began, api_memory.growth_mib))
        began = time.monotonic()
        job_id = await predict(api, user, dataset_id)
        stages.append(("prediction", time.monotonic() - began, api_memory.growth_mib))
        for name, media_type in DOWNLOADS.items():
            began = time.monotonic()
            _download(f"{api.url}/jobs/{job_id}/results", {**user.headers, "Accept": media_type})
            stages.append((name, time.monotonic() - began, api_memory.growth_mib))
        began = time.monotonic()
        _download(f"{api.url}/datasets/{dataset_id}/content", user.headers)
        stages.append(("original file", time.monotonic() - began, api_memory.growth_mib))
    results.table(
        f"A CSV of {size / MIB:.1f} MiB, {rows} texts; API memory before: {api_memory.before / MIB:.0f} MiB",
        ("stage", "seconds", "API max growth so far MiB"),
        stages,
    )
    results.at_most("API memory growth", api_memory.growth_mib, 60.0, "MiB")
    return results


def upload(api: Api, user: User, rows: int) -> str:
    """Upload the table and return the id of the dataset."""
    headers = {**user.headers, "Content-Type": "text/csv"}
    answer = httpx.post(
        f"{api.url}/datasets?name=texts", content=table(rows), headers=headers, timeout=TIMEOUT_SECONDS
    )
    answer.raise_for_status()
    assert answer.json()["rows"] == rows
    return str(answer.json()["dataset_id"])


async def predict(api: Api, user: User, dataset_id: str) -> str:
    """Predict the texts of the table, and return the id of the completed job."""
    body = msgspec.json.encode({"dataset_id": dataset_id, "column": "text"})
    job_id: str = api.call("POST", "/jobs/batch-predict", user.headers, body)["job_id"]
    connection = await load.connect(api.port)
    assert await until_ended(connection, user, job_id) == "completed"
    return job_id


def _download(url: str, headers: dict[str, str]) -> None:
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        assert sum(map(len, answer.iter_raw())) > 0


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
