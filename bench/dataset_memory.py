"""Memory of the API and the worker while they process a dataset of 1 GB.

Uploads a CSV that is generated while it is sent, downloads it again and runs it through the built-in model.
Measures the maximum growth of each process's resident size.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

import httpx
import msgspec
import psutil

from bench import load, options, texts
from bench.measuring import MIB, number
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import Api, Program, Stack, User, stack

BLOCK_ROWS: Final = 1000
BALLAST: Final = "what else was known about it, as tables have it, " * 20
"""A column that the model ignores: the benchmark measures data transfer, not the model."""

SAMPLE_SECONDS: Final = 0.02
TIMEOUT_SECONDS: Final = 3600.0


@dataclass
class PeakMemory:
    """Peak resident size, in bytes, of a process, and of its descendants in total."""

    before: int
    own: int = 0
    children_before: int = 0
    children: int = 0

    @property
    def growth_mib(self) -> float:
        """Maximum growth of the process itself."""
        return (self.own - self.before) / MIB

    @property
    def children_growth_mib(self) -> float:
        """Maximum growth of its descendants."""
        return (self.children - self.children_before) / MIB


@contextmanager
def watch_memory(program: Program) -> Iterator[PeakMemory]:
    """Sample a process's memory during the body, in a thread."""
    process = psutil.Process(program.pid)
    own, children = _sizes(process)
    peak = PeakMemory(own, own, children, children)
    stopped = threading.Event()

    def sample() -> None:
        while not stopped.wait(SAMPLE_SECONDS):
            own, children = _sizes(process)
            peak.own = max(peak.own, own)
            peak.children = max(peak.children, children)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        stopped.set()
        thread.join()


def _sizes(process: psutil.Process) -> tuple[int, int]:
    children = 0
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            children += child.memory_info().rss
    return process.memory_info().rss, children


class Table:
    """A CSV of about `total_bytes`, generated while it is read."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self.digest = hashlib.sha256()
        self.rows = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        yield self._count(b"id,text,price,notes\n")
        reviews = [text.replace('"', '""') for text in texts.reviews(BLOCK_ROWS)]
        while self.bytes < self._total_bytes:
            numbers = range(self.rows, self.rows + BLOCK_ROWS)
            self.rows += BLOCK_ROWS
            lines = (
                f'{row},"{text}",{row / 8},"{BALLAST}"\n' for row, text in zip(numbers, reviews, strict=True)
            )
            yield self._count("".join(lines).encode())

    def _count(self, block: bytes) -> bytes:
        self.digest.update(block)
        self.bytes += len(block)
        return block


async def measure(system: Stack, options: Options) -> Results:
    """Upload, download and predict once: every run would transfer the same bytes."""
    results = Results("dataset_memory", options)
    table = Table(options.choose(1_000_000_000, 20_000_000))
    user = await system.user()
    with system.api() as api, system.worker(WORKER_SLOTS="1") as worker:
        await _warm_up(api, user)
        with watch_memory(api.program) as api_memory, watch_memory(worker) as worker_memory:
            began = time.monotonic()
            dataset_id = _upload(api, user, table)
            stages = [("upload", time.monotonic() - began, api_memory.growth_mib)]
            began = time.monotonic()
            _download(api, user, dataset_id, table)
            stages.append(("download", time.monotonic() - began, api_memory.growth_mib))
            began = time.monotonic()
            await _predict(api, user, {"dataset_id": dataset_id, "column": "text"})
            stages.append(("prediction", time.monotonic() - began, api_memory.growth_mib))
    results.table(
        f"A CSV of {number(table.bytes / 1e6)} MB, {number(float(table.rows))} rows",
        ("", "before MiB", "max growth MiB", "child processes: before MiB", "max growth MiB"),
        [
            [
                name,
                memory.before / MIB,
                memory.growth_mib,
                memory.children_before / MIB,
                memory.children_growth_mib,
            ]
            for name, memory in (("API", api_memory), ("worker", worker_memory))
        ],
        "The API starts one process per upload; the worker starts its fork server and one child. Their sizes"
        " are summed, so shared pages count once per process.",
    )
    results.table("Stages", ("stage", "seconds", "API max growth so far MiB"), stages)
    results.at_most("API memory growth", api_memory.growth_mib, 100.0, "MiB")
    results.at_most("worker memory growth", worker_memory.growth_mib, 100.0, "MiB")
    results.at_most("worker child memory growth", worker_memory.children_growth_mib, 100.0, "MiB")
    results.rounds = {"api": asdict(api_memory), "worker": asdict(worker_memory)}
    return results


async def _warm_up(api: Api, user: User) -> None:
    """Run every stage once, so that lazily loaded modules do not count."""
    small = Table(100_000)
    dataset_id = _upload(api, user, small)
    _download(api, user, dataset_id, small)
    await _predict(api, user, {"dataset_id": dataset_id, "column": "text"})


def _upload(api: Api, user: User, table: Table) -> str:
    headers = {**user.headers, "Content-Type": "text/csv"}
    answer = httpx.post(
        f"{api.url}/datasets?name=large", content=iter(table), headers=headers, timeout=TIMEOUT_SECONDS
    )
    answer.raise_for_status()
    dataset = answer.json()
    assert dataset["rows"] == table.rows
    assert dataset["sha256"] == table.digest.hexdigest()
    return str(dataset["dataset_id"])


def _download(api: Api, user: User, dataset_id: str, table: Table) -> None:
    digest = hashlib.sha256()
    url = f"{api.url}/datasets/{dataset_id}/content"
    with httpx.stream("GET", url, headers=user.headers, timeout=TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        for block in answer.iter_raw():
            digest.update(block)
    assert digest.hexdigest() == table.digest.hexdigest()


async def _predict(api: Api, user: User, body: dict[str, str]) -> None:
    job_id = api.call("POST", "/jobs/batch-predict", user.headers, msgspec.json.encode(body))["job_id"]
    connection = await load.connect(api.port)
    assert await until_ended(connection, user, job_id) == "completed"


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
