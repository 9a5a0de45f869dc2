"""Time to stop an infinite loop after its cancel, and the effect on another job on the same worker."""

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import msgspec
import psutil

from bench import options
from bench.measuring import milliseconds, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import TEST_KINDS, Api, Program, Stack, User, stack
from tests.support.waiting import until

SIBLING_WORK_MS: Final = 20.0
LOOP_SECONDS: Final = 0.5
"""How long each job loops before its cancel."""

TIMEOUT_SECONDS: Final = 30.0

_STATUS: Final = "SELECT status FROM jobs WHERE id = $1"
_CANCEL_SECONDS: Final = """
SELECT extract(epoch FROM finished_at - cancel_requested_at)::float8 AS seconds FROM jobs WHERE id = $1"""
# `at` is the time of the commit's statement; the job commits as soon as it has computed a batch.
_COMMIT_INTERVALS: Final = """
SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY seq))::float8 AS seconds
FROM job_events
WHERE job_id = $1 AND type = 'progress' AND at BETWEEN to_timestamp($2) AND to_timestamp($3)"""


@dataclass(frozen=True)
class Cancel:
    """One cancel: time until the response, time by the job's row, and processes still running afterwards."""

    answer_seconds: float
    row_seconds: float
    left_running: int


async def measure(system: Stack, options: Options) -> Results:
    """Measure a job beside an undisturbed loop, then beside loops that are cancelled one by one."""
    results = Results("cancel", options)
    times = options.choose(30, 4)
    calm_seconds = options.choose(20.0, 3.0)
    user = await system.user()
    with system.api(**TEST_KINDS) as api, system.worker(WORKER_SLOTS="2", **TEST_KINDS) as worker:
        sibling = _submit(api, user, "count", {"batches": 100_000, "work_ms": SIBLING_WORK_MS})
        loop = _submit(api, user, "loop", {})
        await _until(system, loop, "running")
        began = time.time()
        await asyncio.sleep(calm_seconds)
        calm = await _commit_intervals(system, sibling, began, time.time())
        api.call("POST", f"/jobs/{loop}/cancel", user.headers, b"")
        began = time.time()
        cancels = [await _cancel_one(system, api, user, worker) for _ in range(times)]
        busy = await _commit_intervals(system, sibling, began, time.time())
        [row] = await system.fetch("SELECT attempt FROM jobs WHERE id = $1", sibling)
        assert row["attempt"] == 1, "the other job was restarted"
        api.call("POST", f"/jobs/{sibling}/cancel", user.headers, b"")
    answers = [cancel.answer_seconds for cancel in cancels]
    rows = [cancel.row_seconds for cancel in cancels]
    results.table(
        f"Cancelling `while True: pass`, {times} times",
        ("", "p50 ms", "p95 ms", "max ms"),
        [
            _row("until the response confirms the cancel", answers),
            _row("from cancel request to end, by the database", rows),
        ],
        f"Each job had looped for {LOOP_SECONDS:g} s. When the response arrives, its process has ended.",
    )
    results.table(
        f"Time between commits of another job with batches of {SIBLING_WORK_MS:g} ms on the same worker",
        ("other slot", "p50 ms", "p95 ms", "max ms", "batches"),
        [
            [*_row("a looping job, not cancelled", calm), len(calm)],
            [*_row("looping jobs, cancelled one by one", busy), len(busy)],
        ],
    )
    results.at_most("cancel → stopped, p95", percentile(answers, 0.95), 1.0, "s")
    running = max(cancel.left_running for cancel in cancels)
    results.at_most("processes still running after a cancel", float(running), 0.0)
    ratio = percentile(busy, 0.5) / percentile(calm, 0.5)
    results.at_most("batch time of another job, p50, relative to undisturbed", ratio, 1.1)
    results.rounds = {"cancels": [asdict(cancel) for cancel in cancels]}
    return results


def _row(name: str, seconds: list[float]) -> list[object]:
    return [name, *(milliseconds(percentile(seconds, share)) for share in (0.5, 0.95, 1.0))]


def _submit(api: Api, user: User, kind: str, body: dict[str, object]) -> UUID:
    return UUID(api.call("POST", f"/jobs/{kind}", user.headers, msgspec.json.encode(body))["job_id"])


async def _cancel_one(system: Stack, api: Api, user: User, worker: Program) -> Cancel:
    before = {process.pid for process in psutil.Process(worker.pid).children(recursive=True)}
    job_id = _submit(api, user, "loop", {})
    await _until(system, job_id, "running")
    await asyncio.sleep(LOOP_SECONDS)
    looping = [
        process
        for process in psutil.Process(worker.pid).children(recursive=True)
        if process.pid in before and process.cpu_percent(0.1) > 20
    ]
    began = time.monotonic()
    answer = api.call("POST", f"/jobs/{job_id}/cancel", user.headers, b"")
    seconds = time.monotonic() - began
    assert answer["message"] == "Job cancelled", answer
    # One of the two busy processes runs the other job, which continues.
    left = sum(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in looping) - 1
    [row] = await system.fetch(_CANCEL_SECONDS, job_id)
    return Cancel(seconds, row["seconds"], max(0, left))


async def _until(system: Stack, job_id: UUID, status: str) -> None:
    async def has_status() -> bool:
        return bool((await system.fetch(_STATUS, job_id))[0]["status"] == status)

    await until(has_status, seconds=TIMEOUT_SECONDS)


async def _commit_intervals(system: Stack, job_id: UUID, since: float, to: float) -> list[float]:
    rows = await system.fetch(_COMMIT_INTERVALS, job_id, since, to)
    return [row["seconds"] for row in rows if row["seconds"] is not None]


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
