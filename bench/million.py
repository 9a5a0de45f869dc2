"""A linear model on a million rows of a CSV: throughput relative to a bare loop, memory, and correctness.

Uploads the CSV and the model over HTTP and runs a prediction job; then two jobs concurrently on two slots;
then kills a worker in the middle of a job, which another worker completes. Each time, all results are
downloaded as NDJSON and compared, in order, with predictions computed without Headrace.
"""

import asyncio
import signal
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from uuid import UUID

import msgspec
import psutil

from app.datasets.storage_keys import rows_key
from bench import linear_rows, load, options
from bench.linear_rows import BATCH_SIZE
from bench.measuring import MIB, number, percentile, spread
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import ROOT, Api, Program, Stack, User, stack
from tests.support.waiting import until

SAMPLE_SECONDS: Final = 0.1
WARM_SHARE: Final = 0.1
"""Share of a phase that counts as warm-up; memory growth is measured from its end."""

TIMEOUT_SECONDS: Final = 600
MIN_SHARE: Final = 0.9
GROWTH_MIB: Final = 50.0
NDJSON: Final = "application/x-ndjson"

_DONE: Final = """
SELECT done, attempt, next_batch, extract(epoch FROM finished_at - started_at)::float8 AS seconds
FROM jobs WHERE id = $1"""
_COMBINED: Final = """
SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 AS seconds, sum(done)::int AS done
FROM jobs WHERE id = ANY ($1)"""


class MemorySampler:
    """Samples the resident memory of the API and of a worker's parent process, fork server and children."""

    def __init__(self, api: Program, worker: Program) -> None:
        self._pids = {"API": api.pid, "worker": worker.pid}
        self._samples: dict[str, list[int]] = defaultdict(list)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample during the body, in a thread."""
        stopped = Event()
        thread = Thread(target=self._sample, args=(stopped,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def growth_bytes(self) -> dict[str, tuple[int, int]]:
        """Return, by kind of process, its memory after warm-up and the maximum growth from there."""
        found = {}
        for name, samples in self._samples.items():
            warm = samples[int(len(samples) * WARM_SHARE)]
            found[name] = (warm, max(samples[int(len(samples) * WARM_SHARE) :]) - warm)
        return found

    def _sample(self, stopped: Event) -> None:
        while not stopped.wait(SAMPLE_SECONDS):
            for name, rss_bytes in self._measure():
                self._samples[name].append(rss_bytes)

    def _measure(self) -> Iterator[tuple[str, int]]:
        yield "API", _rss(self._pids["API"])
        parent = psutil.Process(self._pids["worker"])
        yield "worker", parent.memory_info().rss
        for forker in parent.children():
            yield "fork server", _rss(forker.pid)
            yield "children, total", sum(_rss(child.pid) for child in forker.children())


async def measure(system: Stack, options: Options) -> Results:
    """Measure the rates, then two concurrent jobs, then the kill."""
    results = Results("million", options)
    rows = options.choose(1_000_000, 100_000)
    table, model = system.folder / "rows.csv", system.folder / "model.skops"
    linear_rows.write(table, model, rows)
    user = await system.user()
    bench = _Bench(system, user, table, model, rows)
    with system.api() as api:
        with system.worker(WORKER_SLOTS="1") as worker:
            await bench.upload(api)
            await bench.measure_rates(api, worker, results, options.rounds)
        with system.worker(WORKER_SLOTS="2"):
            await bench.measure_two_jobs(api, results)
        await bench.measure_kill(api, results)
    return results


class _Bench:
    def __init__(self, system: Stack, user: User, table: Path, model: Path, rows: int) -> None:
        self._system = system
        self._user = user
        self._table = table
        self._model = model
        self._rows = rows
        self._dataset_id = ""

    async def upload(self, api: Api) -> None:
        """Upload the CSV and the model from their files."""
        self._send(api, "/models/linear/versions", self._model, "application/octet-stream")
        dataset = self._send(api, "/datasets?name=rows", self._table, "text/csv")
        assert dataset["rows"] == self._rows
        self._dataset_id = dataset["dataset_id"]

    async def measure_rates(self, api: Api, worker: Program, results: Results, rounds: int) -> None:
        """Alternate between the job and the bare loop; measure memory during jobs and one download."""
        await self._wait(api, self._submit(api))  # warm-up: the child loads its libraries
        ours, bare = [], []
        working, reading = MemorySampler(api.program, worker), MemorySampler(api.program, worker)
        for turn in range(rounds):
            with working.sampling():
                job_id = self._submit(api)
                await self._wait(api, job_id)
            [row] = await self._system.fetch(_DONE, job_id)
            ours.append(row["done"] / row["seconds"])
            bare.append(self._rows / self._bare_seconds())
            if turn == 0:
                with reading.sampling():
                    self._check(api, job_id)
        share = percentile([one / two for one, two in zip(ours, bare, strict=True)], 0.5)
        results.table(
            f"{number(float(self._rows))} rows of ten numbers and an id, logistic regression, one slot",
            ("batch size", "Headrace rows/s", "bare loop rows/s", "share"),
            [[str(BATCH_SIZE), str(spread(ours)), str(spread(bare)), number(share)]],
            f"Median of {rounds} rounds (minimum to maximum). Headrace: from the claim to the last commit,"
            " including reading the dataset, storing every prediction durably and logging an event per batch."
            " The loop reads the same Parquet file and stores nothing.",
        )
        results.at_least("rows/s of a linear model, relative to the bare loop", share, MIN_SHARE)
        self._report_memory(results, {"running the jobs": working, "reading the results as NDJSON": reading})
        results.rounds |= {"ours_rows_per_second": ours, "bare_rows_per_second": bare}

    async def measure_two_jobs(self, api: Api, results: Results) -> None:
        """Run two jobs over the same rows on a worker with two slots."""
        warm = [self._submit(api), self._submit(api)]
        for job_id in warm:
            await self._wait(api, job_id)
        job_ids = [self._submit(api), self._submit(api)]
        for job_id in job_ids:
            await self._wait(api, job_id)
            self._check(api, job_id)
        [row] = await self._system.fetch(_COMBINED, job_ids)
        rate = row["done"] / row["seconds"]
        results.table(
            "Two such jobs concurrently on one worker with two slots",
            ("combined rows/s",),
            [[rate]],
            "All results were compared, row by row, with predictions computed without Headrace.",
        )
        results.rounds["two_slots_rows_per_second"] = rate

    async def measure_kill(self, api: Api, results: Results) -> None:
        """Kill the worker in the middle of a job; another worker completes it."""
        with self._system.worker(WORKER_SLOTS="1") as first:
            job_id = self._submit(api)

            async def is_half_done() -> bool:
                [row] = await self._system.fetch(_DONE, job_id)
                return bool(row["done"] > self._rows * 0.4)

            await until(is_half_done, seconds=TIMEOUT_SECONDS)
            first.send(signal.SIGKILL)
            first.wait()
            [row] = await self._system.fetch(_DONE, job_id)
        with self._system.worker(WORKER_SLOTS="1"):
            await self._wait(api, job_id)
        [end] = await self._system.fetch(_DONE, job_id)
        assert (end["attempt"], end["next_batch"]) == (2, -(-self._rows // BATCH_SIZE))
        self._check(api, job_id)
        results.table(
            "SIGKILL of the worker in the middle of the job",
            ("rows done at the kill", "rows done by the next worker", "differing rows"),
            [[row["done"], self._rows - row["done"], 0]],
            "All results are in order and equal to predictions computed without Headrace; no row is missing"
            " or duplicated.",
        )

    def _submit(self, api: Api) -> str:
        body = msgspec.json.encode({"dataset_id": self._dataset_id, "model": "linear", "shards": 1})
        answer = api.call("POST", "/jobs/batch-predict", self._user.headers, body)
        return str(answer["job_id"])

    async def _wait(self, api: Api, job_id: str) -> None:
        assert await until_ended(await load.connect(api.port), self._user, job_id) == "completed"

    def _bare_seconds(self) -> float:
        stored = self._system.folder / "storage" / rows_key(UUID(self._dataset_id))
        arguments = ["-m", "bench.references.bare_linear", str(stored), str(self._model)]
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    def _send(self, api: Api, path: str, file: Path, content_type: str) -> Any:
        headers = {
            **self._user.headers,
            "Content-Type": content_type,
            "Content-Length": str(file.stat().st_size),
        }
        with file.open("rb") as content:
            request = urllib.request.Request(api.url + path, content, headers)  # noqa: S310  # our own URL
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return msgspec.json.decode(answer.read())

    def _check(self, api: Api, job_id: str) -> None:
        """Compare every line of the results with the expected rows."""
        headers = {**self._user.headers, "Accept": NDJSON}
        request = urllib.request.Request(f"{api.url}/jobs/{job_id}/results", headers=headers)  # noqa: S310
        expected = enumerate(linear_rows.expected_rows(self._table, self._model))
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # our own URL
            for line, (row, content) in zip(answer, expected, strict=True):
                assert msgspec.json.decode(line) == {"index": row, "input_index": row, **content}, row

    def _report_memory(self, results: Results, phases: dict[str, MemorySampler]) -> None:
        table: list[list[object]] = []
        largest = 0.0
        for phase, sampler in phases.items():
            for name, (warm, growth) in sampler.growth_bytes().items():
                table.append([phase, name, warm / MIB, growth / MIB])
                largest = max(largest, growth / MIB)
        results.table(
            "Resident memory, MiB",
            ("phase", "process", "after warm-up", "max growth"),
            table,
            f"Sampled every {SAMPLE_SECONDS:g} s. Warm-up is the first tenth of the phase.",
        )
        results.at_most("memory growth of any process", largest, GROWTH_MIB, "MiB")


def _rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
