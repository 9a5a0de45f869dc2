"""What a handler does to its process stays in that process."""

import re

import httpx

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import ended, in_order, is_alive, outcomes, submit
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
"""Those that only a limit or a cancel ends: see the tests of the limits."""


async def test_every_way_to_go_wrong_ends_its_own_attempt_and_nothing_else(
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
            job = await ended(database, wrong[kind])
            assert (job["status"], job["error"]["code"]) == ("failed", code), (kind, job["error"])
            # What is garbled takes along what came with it: no more than a few milliseconds' work.
            assert job["next_batch"] == 2 or kind == "scribble", kind
        after = [*harmless, *[await submit(ada, batches=5) for _ in range(6)], sibling]
        for job_id in after:
            job = await ended(database, job_id)
            assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running
        assert not is_alive(_helper(worker.log))

    for kind, how in {"exit": "exit code 3", "segfault": "SIGSEGV", "kill_itself": "SIGKILL"}.items():
        assert how in (await rows.job(database, wrong[kind]))["error"]["message"]
    await in_order(database, [*wrong.values(), *after])


async def test_a_fault_that_passes_is_tried_again_and_one_that_will_not_is_not(
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
            job = await ended(database, job_id)
            assert (job["status"], job["failures"]) == ("completed", 2)
            assert await outcomes(database, job_id) == ["failed", "failed", "completed"]
        for job_id in final:
            job = await ended(database, job_id)
            assert (job["status"], job["error"]["retryable"]) == ("failed", False)
            assert await outcomes(database, job_id) == ["failed"]

    await in_order(database, [*passing, *final])


def _helper(log: str) -> int:
    """The process id of the program that `leave_helper` has left behind."""
    return int(re.findall(r"helper (\d+)", log)[0])
