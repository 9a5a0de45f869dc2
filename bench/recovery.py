"""Recovery with default settings: time from SIGKILL of a worker until its job runs elsewhere, and rework.

Kills two of the workers at a time, then replaces them. For ARQ and Celery with their defaults, kills one
worker each at the beginning and gives them the rest of the run to recover.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import psutil
from arq.connections import RedisSettings, create_pool
from redis import Redis

from bench import options
from bench.measuring import number, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import TEST_KINDS, Api, Program, Stack, User, stack
from tests.support.waiting import until

WORKERS: Final = 4
VICTIMS: Final = 2
WORK_MS: Final = 50.0
BATCHES: Final = 100_000
COMMITTED_BEFORE: Final = 5
"""Number of batches that a job has committed when its worker is killed, in the middle of the next batch."""

TIMEOUT_SECONDS: Final = 60.0
ARQ_SECONDS: Final = 330.0
"""ARQ retries an unfinished job after 300 s at the earliest, and polls a little later."""

_STATE: Final = """
SELECT j.id, j.attempt, j.status, j.next_batch, w.pid FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id
WHERE j.id = ANY ($1)"""
_STARTED: Final = """
SELECT extract(epoch FROM at)::float8 AS at FROM job_events
WHERE job_id = $1 AND type = 'started' AND (data ->> 'attempt')::int = 2"""


@dataclass(frozen=True)
class Kill:
    """Recovery of one job whose worker was killed."""

    seconds: float
    computed_again: int


async def measure(system: Stack, options: Options) -> Results:
    """Repeatedly kill workers, wait until their jobs run again, and replace them."""
    results = Results("recovery", options)
    kills = options.choose(30, 4)
    user = await system.user()
    found: list[Kill] = []
    with ExitStack() as running:
        api = running.enter_context(system.api(**TEST_KINDS))
        references = running.enter_context(_References(system))
        await references.kill_once()
        began = time.monotonic()
        workers = [
            running.enter_context(system.worker(WORKER_SLOTS="1", **TEST_KINDS)) for _ in range(WORKERS)
        ]
        # A process may rescue jobs only after two leases of uninterrupted contact with Postgres.
        await asyncio.sleep(2 * system.settings.lease_seconds + 1)
        while len(found) < kills:
            found += await _kill_some(system, api, user, workers)
            workers = [worker for worker in workers if worker.is_running]
            while len(workers) < WORKERS:
                workers.append(running.enter_context(system.worker(WORKER_SLOTS="1", **TEST_KINDS)))
        if not options.is_quick:
            await asyncio.sleep(max(0.0, ARQ_SECONDS - (time.monotonic() - began)))
        reference_seconds = references.seconds_until_restarted()
    _report(results, found, reference_seconds)
    return results


def _report(results: Results, found: Sequence[Kill], reference_seconds: dict[str, float | str]) -> None:
    waited = [kill.seconds for kill in found]
    again = [kill.computed_again for kill in found]
    results.table(
        "Time from SIGKILL of a worker until its job runs on another worker",
        ("", "kills", "p50 s", "p95 s", "max s", "max batches recomputed"),
        [
            [
                "Headrace",
                len(found),
                percentile(waited, 0.5),
                percentile(waited, 0.95),
                max(waited),
                max(again),
            ],
            *([name, 1, "", "", seconds, "all"] for name, seconds in reference_seconds.items()),
        ],
        "Default settings everywhere. Headrace: from the SIGKILL to the second attempt's `started` event.",
    )
    results.at_most("SIGKILL → running elsewhere, p95", percentile(waited, 0.95), 8.0, "s")
    results.at_most("batches recomputed per kill", float(max(again)), 1.0)
    results.rounds = {"kills": [asdict(kill) for kill in found], "references": reference_seconds}


async def _kill_some(system: Stack, api: Api, user: User, workers: Sequence[Program]) -> list[Kill]:
    counter = system.folder / f"computed-{time.monotonic_ns()}"
    body = {"batches": BATCHES, "work_ms": WORK_MS, "counter_path": str(counter)}
    jobs = [
        UUID(api.call("POST", "/jobs/count", user.headers, msgspec.json.encode(body))["job_id"])
        for _ in range(VICTIMS)
    ]
    pids = await until(partial(_pids, system, jobs), seconds=TIMEOUT_SECONDS)
    killed_at = time.time()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for worker in workers:
        if worker.pid in pids:
            worker.wait()
    await until(partial(_all_run_again, system, jobs), seconds=TIMEOUT_SECONDS)
    kills = [
        Kill((await system.fetch(_STARTED, job))[0]["at"] - killed_at, _computed_again(counter, job))
        for job in jobs
    ]
    for job in jobs:
        api.call("POST", f"/jobs/{job}/cancel", user.headers, b"")
    return kills


async def _pids(system: Stack, jobs: Sequence[UUID]) -> list[int]:
    """Return the pids of the jobs' workers once every job has committed enough batches, before that []."""
    rows = await system.fetch(_STATE, jobs)
    return [row["pid"] for row in rows] if all(row["next_batch"] >= COMMITTED_BEFORE for row in rows) else []


async def _all_run_again(system: Stack, jobs: Sequence[UUID]) -> bool:
    """Whether all second attempts have progressed beyond the batches that they may have to recompute."""
    rows = await system.fetch(_STATE, jobs)
    return all(row["attempt"] == 2 and row["next_batch"] > 3 * COMMITTED_BEFORE for row in rows)


def _computed_again(counter: Path, job: UUID) -> int:
    """Count the repeated computations of the job's batches."""
    lines = [line.split() for line in counter.read_text().splitlines()]
    times = Counter(batch for job_id, batch, _pid in lines if job_id == str(job))
    return sum(count - 1 for count in times.values())


@dataclass
class _References:
    """ARQ and Celery with two workers each. The worker that runs the job is killed."""

    system: Stack
    _stack: ExitStack = field(default_factory=ExitStack)
    _programs: dict[str, list[Program]] = field(default_factory=dict)
    _killed_at: float | None = None

    def __enter__(self) -> "_References":
        socket = {"REDIS_SOCKET": self.system.redis_socket}
        arq = ("-m", "arq", "bench.references.bare_arq.WorkerSettings")
        celery = ("-m", "celery", "-A", "bench.references.celery_tutorial:celery", "worker")
        try:
            self._programs = {
                "arq": [self._start(*arq, ready="Starting worker", **socket) for _ in range(2)],
                "celery": [
                    self._start(
                        *celery, "-c", "1", "-n", f"w{one}@bench", "-l", "INFO", ready="ready.", **socket
                    )
                    for one in range(2)
                ],
            }
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, *arguments: str, ready: str, **more: str) -> Program:
        program = self._stack.enter_context(self.system.python(*arguments, **more))
        program.wait_for_log(ready)
        return program

    async def kill_once(self) -> None:
        """Enqueue a job in each system and kill the worker that has started it."""
        pool = await create_pool(RedisSettings(unix_socket_path=self.system.redis_socket))
        await pool.enqueue_job("long_job", "job")
        await pool.aclose()
        # In a subprocess, because Celery reads its settings from the environment on import.
        send = "from bench.references.celery_tutorial import long_job; long_job.delay('job')"
        with self.system.python("-c", send, REDIS_SOCKET=self.system.redis_socket) as sender:
            assert sender.wait() == 0, sender.log
        for name, programs in self._programs.items():
            pid = await self._until_started(name)
            for program in programs:
                if pid in _process_tree(program.pid):
                    # Kill the whole worker, as if its machine had failed.
                    for one in _process_tree(program.pid):
                        os.kill(one, signal.SIGKILL)
                    program.wait()
        self._killed_at = time.time()

    async def _until_started(self, name: str) -> int:
        async def read_marks() -> list[tuple[float, int]]:
            return self._marks(name)

        [(_, pid)] = await until(read_marks, seconds=TIMEOUT_SECONDS)
        return pid

    def seconds_until_restarted(self) -> dict[str, float | str]:
        """Return, by system, the time until the job ran on another worker, or that it did not in this run."""
        assert self._killed_at is not None, "call kill_once first"
        elapsed = time.time() - self._killed_at
        names = {"arq": "ARQ", "celery": "Celery"}
        found: dict[str, float | str] = {}
        for name in self._programs:
            marks = self._marks(name)
            restarted = f"> {number(elapsed)}" if len(marks) < 2 else marks[1][0] - self._killed_at
            found[names[name]] = restarted
        return found

    def _marks(self, name: str) -> list[tuple[float, int]]:
        with Redis.from_url(self.system.redis_url) as client:
            found: Any = client.lrange(f"started:{name}:job", 0, -1)
        return [(float(at), int(pid)) for at, pid in (mark.split() for mark in found)]


def _process_tree(pid: int) -> list[int]:
    """Return a process and its descendants, the parent first, so that it cannot replace its children."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
