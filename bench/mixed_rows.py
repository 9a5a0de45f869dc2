"""Rows per second of models over numbers, categories and texts with gaps, compared with a bare loop.

Three pipelines predict the same CSV: one that is uploaded, and two that Headrace trains, with and without the
text column. The results of each job are downloaded once and compared, row by row, with what the loop writes.
"""

import asyncio
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from app.datasets.storage_keys import rows_key
from bench import load, mixed_table, options
from bench.measuring import number, percentile, spread
from bench.mixed_table import BATCH_SIZE, CATEGORIES, NUMBERS, TARGET
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import ROOT, Api, Stack, User, stack

MIN_SHARE: Final = 0.9
TIMEOUT_SECONDS: Final = 600
NDJSON: Final = "application/x-ndjson"
TRAININGS: Final[dict[str, dict[str, Any]]] = {
    "words": {"algorithm": "logistic_regression", "epochs": 3},
    "boosting": {"algorithm": "hist_gradient_boosting", "features": [*NUMBERS, *CATEGORIES]},
}
DESCRIPTIONS: Final = {
    "uploaded": "uploaded: logistic regression, with text",
    "words": "trained: logistic regression, with text",
    "boosting": "trained: histogram boosting, without text",
}

_DONE: Final = """
SELECT done, errors, extract(epoch FROM finished_at - started_at)::float8 AS seconds
FROM jobs WHERE id = $1"""


async def measure(system: Stack, options: Options) -> Results:
    """Alternate between the job and the loop for each model; one process computes in each."""
    results = Results("mixed_rows", options)
    rows = options.choose(200_000, 10_000)
    bench = _Bench(system, await system.user(), rows)
    with system.api() as api, system.worker(WORKER_SLOTS="1"):
        await bench.prepare(api)
        ours: dict[str, list[float]] = {name: [] for name in DESCRIPTIONS}
        bare: dict[str, list[float]] = {name: [] for name in DESCRIPTIONS}
        for name in DESCRIPTIONS:  # warm-up: the child loads its libraries and the model
            job = await bench.predict(api, name)
            bench.run_bare_loop(name)
            bench.compare(api, job.id, name)
        for _ in range(options.rounds):
            for name in DESCRIPTIONS:
                ours[name].append((await bench.predict(api, name)).rate)
                bare[name].append(rows / bench.run_bare_loop(name))
    table = []
    for name, description in DESCRIPTIONS.items():
        share = percentile([one / two for one, two in zip(ours[name], bare[name], strict=True)], 0.5)
        table.append([description, str(spread(ours[name])), str(spread(bare[name])), number(share)])
        results.at_least(f"rows/s of {description}, relative to the bare loop", share, MIN_SHARE)
    results.table(
        f"{number(float(rows))} rows of 5 numbers, 3 categories and a text, batches of {BATCH_SIZE}",
        ("pipeline", "Headrace rows/s", "bare loop rows/s", "share"),
        table,
        f"Median of {options.rounds} rounds (minimum to maximum), one slot. Headrace: from the claim to the"
        " last commit, including reading the dataset, storing every prediction durably, logging an event per"
        " batch and, with a trained model, comparing the rows with its profile. The loop reads the same"
        " Parquet file and writes NDJSON. All results were compared, row by row.",
    )
    results.rounds = {"ours_rows_per_second": ours, "bare_rows_per_second": bare}
    return results


@dataclass(frozen=True)
class _Job:
    """A completed job, and its rows per second."""

    id: str
    rate: float


class _Bench:
    def __init__(self, system: Stack, user: User, rows: int) -> None:
        self._system = system
        self._user = user
        self._rows = rows
        self._dataset_id = ""
        self._columns: dict[str, list[str]] = {}

    async def prepare(self, api: Api) -> None:
        """Upload the table and a model, and train the others on its first rows."""
        table, known = self._system.folder / "rows.csv", self._system.folder / "known.csv"
        mixed_table.write(table, self._rows)
        mixed_table.write(known, mixed_table.TRAINED_ON)
        mixed_table.write_model(known, self._model("uploaded"))
        self._dataset_id = self._upload(api, "rows", table)
        trained_on = self._upload(api, "known", known)
        binary = {**self._user.headers, "Content-Type": "application/octet-stream"}
        content = self._model("uploaded").read_bytes()
        api.call("POST", "/models/uploaded/versions", binary, content, TIMEOUT_SECONDS)
        for name, training in TRAININGS.items():
            request = {"dataset_id": trained_on, "target": TARGET, "model": name, **training}
            await self._run(api, "/jobs/train-model", request)
            self._model(name).write_bytes(self._download(api, f"/models/{name}/versions/1/artifact", "*/*"))
        for name in DESCRIPTIONS:
            version = api.call("GET", f"/models/{name}/versions/1", self._user.headers)
            self._columns[name] = [column["name"] for column in version["columns"]]

    async def predict(self, api: Api, name: str) -> _Job:
        """Predict the table with a model."""
        job_id = await self._run(
            api, "/jobs/batch-predict", {"dataset_id": self._dataset_id, "model": name, "shards": 1}
        )
        [row] = await self._system.fetch(_DONE, job_id)
        assert (row["done"], row["errors"]) == (self._rows, 0)
        return _Job(job_id, row["done"] / row["seconds"])

    def run_bare_loop(self, name: str) -> float:
        """Predict the table without Headrace; return the seconds."""
        stored = self._system.folder / "storage" / rows_key(UUID(self._dataset_id))
        files = [str(path) for path in (stored, self._model(name), self._output(name))]
        arguments = ["-m", "bench.references.bare_mixed", *files, *self._columns[name]]
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    def compare(self, api: Api, job_id: str, name: str) -> None:
        """Compare the results of a job with what the loop has written."""
        found = self._download(api, f"/jobs/{job_id}/results", NDJSON).splitlines()
        expected = self._output(name).read_bytes().splitlines()
        for place, (line, written) in enumerate(zip(found, expected, strict=True)):
            known = {"index": place, "input_index": place, **msgspec.json.decode(written)}
            assert msgspec.json.decode(line) == known, (name, place)

    async def _run(self, api: Api, path: str, request: dict[str, Any]) -> str:
        created = api.call("POST", path, self._user.headers, msgspec.json.encode(request))
        job_id = str(created["job_id"])
        assert await until_ended(await load.connect(api.port), self._user, job_id) == "completed"
        return job_id

    def _upload(self, api: Api, name: str, table: Path) -> str:
        headers = {**self._user.headers, "Content-Type": "text/csv"}
        dataset: dict[str, Any] = api.call(
            "POST", f"/datasets?name={name}", headers, table.read_bytes(), TIMEOUT_SECONDS
        )
        return str(dataset["dataset_id"])

    def _download(self, api: Api, path: str, accepted: str) -> bytes:
        headers = {**self._user.headers, "Accept": accepted}
        request = urllib.request.Request(api.url + path, headers=headers)  # noqa: S310  # our own URL
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    def _model(self, name: str) -> Path:
        return self._system.folder / f"{name}.skops"

    def _output(self, name: str) -> Path:
        return self._system.folder / f"{name}.ndjson"


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
