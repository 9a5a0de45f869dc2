"""How much memory API and worker take while a dataset of a gigabyte goes through them.

A CSV, made as it is sent, is uploaded, downloaded again, and run through the built-in model. What counts is
the highest resident size of each process above what it was before, looked at all the time.
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
"""A column that the model does not look at: what is measured is how data passes, not how fast a model is."""

LOOK_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 3600.0


@dataclass
class Highest:
    """The highest resident sizes of a process and, added up, of those it has started."""

    before: int
    own: int = 0
    children_before: int = 0
    children: int = 0

    @property
    def growth_mib(self) -> float:
        """Of the process itself."""
        return (self.own - self.before) / MIB

    @property
    def children_growth_mib(self) -> float:
        """Of what it has started."""
        return (self.children - self.children_before) / MIB


@contextmanager
def watched(program: Program) -> Iterator[Highest]:
    """Look at a process during the body, in a thread of its own."""
    process = psutil.Process(program.pid)
    own, children = _sizes(process)
    highest = Highest(own, own, children, children)
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_SECONDS):
            own, children = _sizes(process)
            highest.own = max(highest.own, own)
            highest.children = max(highest.children, children)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield highest
    finally:
        is_over.set()
        thread.join()


def _sizes(process: psutil.Process) -> tuple[int, int]:
    children = 0
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            children += child.memory_info().rss
    return process.memory_info().rss, children


class Table:
    """A CSV of about so many bytes, made as it is read."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self.digest = hashlib.sha256()
        self.rows = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        yield self._counted(b"id,text,price,notes\n")
        some = [text.replace('"', '""') for text in texts.reviews(BLOCK_ROWS)]
        while self.bytes < self._total_bytes:
            numbers = range(self.rows, self.rows + BLOCK_ROWS)
            self.rows += BLOCK_ROWS
            lines = (
                f'{row},"{text}",{row / 8},"{BALLAST}"\n' for row, text in zip(numbers, some, strict=True)
            )
            yield self._counted("".join(lines).encode())

    def _counted(self, block: bytes) -> bytes:
        self.digest.update(block)
        self.bytes += len(block)
        return block


async def measure(system: Stack, options: Options) -> Results:
    """Up, down, and through the model; once, for it is the same bytes each time."""
    results = Results("dataset_memory", options)
    table = Table(options.choose(1_000_000_000, 20_000_000))
    user = await system.user()
    with system.api() as api, system.worker(WORKER_SLOTS="1") as worker:
        await _warm_up(api, user)
        with watched(api.program) as of_api, watched(worker) as of_worker:
            began = time.monotonic()
            dataset_id = _upload(api, user, table)
            stages = [("up", time.monotonic() - began, of_api.growth_mib)]
            began = time.monotonic()
            _download(api, user, dataset_id, table)
            stages.append(("down", time.monotonic() - began, of_api.growth_mib))
            began = time.monotonic()
            await _run(api, user, {"dataset_id": dataset_id, "column": "text"})
            stages.append(("through the model", time.monotonic() - began, of_api.growth_mib))
    results.table(
        f"A CSV of {number(table.bytes / 1e6)} MB, {number(float(table.rows))} rows",
        ("", "before MiB", "at most MiB more", "what it started: before MiB", "at most MiB more"),
        [
            [
                name,
                one.before / MIB,
                one.growth_mib,
                one.children_before / MIB,
                one.children_growth_mib,
            ]
            for name, one in (("API", of_api), ("worker", of_worker))
        ],
        "The API starts a process for each upload, the worker its fork server and one child; their sizes are"
        " added up, pages that they share counted once for each.",
    )
    results.table("How it went", ("stage", "seconds", "API by then, at most MiB more"), stages)
    results.at_most("API, more than before", of_api.growth_mib, 100.0, "MiB")
    results.at_most("worker, more than before", of_worker.growth_mib, 100.0, "MiB")
    results.at_most("the worker's child, more than before", of_worker.children_growth_mib, 100.0, "MiB")
    results.rounds = {"api": asdict(of_api), "worker": asdict(of_worker)}
    return results


async def _warm_up(api: Api, user: User) -> None:
    """Everything that is loaded at first use is loaded."""
    small = Table(100_000)
    dataset_id = _upload(api, user, small)
    _download(api, user, dataset_id, small)
    await _run(api, user, {"dataset_id": dataset_id, "column": "text"})


def _upload(api: Api, user: User, table: Table) -> str:
    headers = {**user.headers, "Content-Type": "text/csv"}
    answer = httpx.post(
        f"{api.url}/datasets?name=large", content=iter(table), headers=headers, timeout=PATIENCE_SECONDS
    )
    answer.raise_for_status()
    dataset = answer.json()
    assert dataset["rows"] == table.rows
    assert dataset["sha256"] == table.digest.hexdigest()
    return str(dataset["dataset_id"])


def _download(api: Api, user: User, dataset_id: str, table: Table) -> None:
    digest = hashlib.sha256()
    url = f"{api.url}/datasets/{dataset_id}/content"
    with httpx.stream("GET", url, headers=user.headers, timeout=PATIENCE_SECONDS) as answer:
        answer.raise_for_status()
        for block in answer.iter_raw():
            digest.update(block)
    assert digest.hexdigest() == table.digest.hexdigest()


async def _run(api: Api, user: User, body: dict[str, str]) -> None:
    job_id = api.call("POST", "/jobs/batch-predict", user.headers, msgspec.json.encode(body))["job_id"]
    connection = await load.connect(api.port)
    assert await until_ended(connection, user, job_id) == "completed"


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
