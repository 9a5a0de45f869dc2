"""Faults of handlers affect only their own child process."""

import re

import httpx

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import assert_consistent, is_alive, outcomes, submit, wait_until_ended
from tests.kinds_for_tests.kinds import FAULTS
from tests.support import rows

MEMORY_LIMIT_BYTES = 256 * 1024**2

CODES = {
    "crash": "handler_error",
    "refuse": "refused",
    "sys_exit": "handler_exit",
    "exit": "child_died",
    "segfault": "child_died",
    "kill_itself": "child_died",
    "grow": "memory_limit",
    "grow_at_once": "memory_limit",
    "fill": "disk_limit",
    "scribble": "child_protocol_error",
    "return_nonsense": "unserialisable_output",
    "commit_nonsense": "unserialisable_output",
    "leave_helper": "child_died",
}
HARMLESS = {"print_garbage"}
ENDLESS = {"loop", "sleep_in_c"}
"""Kinds that only a limit or a cancel ends: see test_limits.py."""


async def test_every_fault_of_a_handler_ends_only_its_own_attempt(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    assert CODES.keys() | HARMLESS | ENDLESS == FAULTS.keys()
    limits = {
        "CHILD_MEMORY_LIMIT_BYTES": str(MEMORY_LIMIT_BYTES),
        "CHILD_MAX_SCRATCH_BYTES": str(32 * 1024**2),
    }
    async with system.worker("worker", WORKER_SLOTS="3", **limits) as worker:
        sibling = await submit(ada, batches=100, work_ms=40)
        wrong = {kind: await submit(ada, kind, batches=2, max_attempts=1) for kind in CODES}
        harmless = [await submit(ada, kind, batches=2) for kind in HARMLESS]
        for kind, code in CODES.items():
            job = await wait_until_ended(database, wrong[kind])
            assert (job["status"], job["error"]["code"]) == ("failed", code), (kind, job["error"])
            # A garbled message also loses the batches sent with it: a few milliseconds of work at most.
            assert job["next_batch"] == 2 or kind == "scribble", kind
        after = [*harmless, *[await submit(ada, batches=5) for _ in range(6)], sibling]
        for job_id in after:
            job = await wait_until_ended(database, job_id)
            assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running
        assert not is_alive(_helper(worker.log))

    for kind, how in {"exit": "exit code 3", "segfault": "SIGSEGV", "kill_itself": "SIGKILL"}.items():
        assert how in (await rows.job(database, wrong[kind]))["error"]["message"]
    measured = "cpu_seconds IS NOT NULL AND memory_peak_bytes > 0"
    assert await rows.value(database, f"SELECT bool_and({measured}) FROM job_attempts")
    grown = [tried["memory_peak_bytes"] for tried in await rows.attempts(database, wrong["grow"])]
    assert grown[0] > MEMORY_LIMIT_BYTES
    await assert_consistent(database, [*wrong.values(), *after])


async def test_transient_faults_are_retried_and_permanent_ones_are_not(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker():
        passing = [
            await submit(ada, "crash", batches=2, bad_attempts=2),
            await submit(ada, "segfault", batches=2, bad_attempts=2),
        ]
        final = [
            await submit(ada, "refuse", batches=2, bad_attempts=1),
            await submit(ada, "return_nonsense", batches=2, bad_attempts=1),
        ]
        for job_id in passing:
            job = await wait_until_ended(database, job_id)
            assert (job["status"], job["failures"]) == ("completed", 2)
            assert await outcomes(database, job_id) == ["failed", "failed", "completed"]
        for job_id in final:
            job = await wait_until_ended(database, job_id)
            assert (job["status"], job["error"]["retryable"]) == ("failed", False)
            assert await outcomes(database, job_id) == ["failed"]

    await assert_consistent(database, [*passing, *final])


def _helper(log: str) -> int:
    """Return the process id of the program that the kind `leave_helper` has left behind."""
    return int(re.findall(r"helper (\d+)", log)[0])
