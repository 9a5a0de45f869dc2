"""What is left of the log of a job whose child or worker dies, and what a flood of lines costs others."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

import httpx
import psutil
import pytest

from app.core.database import Database
from app.jobs.logs.lines import MAX_LINES, MAX_PART_LINES
from tests.faults.conftest import System
from tests.faults.support import (
    EXIT_SECONDS,
    assert_consistent,
    outcomes,
    pids,
    submit,
    until_batches,
    until_job,
    wait_until_ended,
)
from tests.support import logs, rows
from tests.support.waiting import until
from worker.handler_log import FLUSH_SECONDS


def expected(attempt: int, batches: Sequence[int], lines: int) -> list[str]:
    return [f"attempt {attempt}, batch {batch}, line {line}" for batch in batches for line in range(lines)]


async def test_a_killed_child_loses_none_of_the_lines_that_it_has_sent(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("only"):
        job_id = await submit(
            ada, batches=8, work_ms=300, lines_per_batch=20, counter_path=str(system.counter)
        )
        await until_batches(database, job_id, 2)
        (child,) = pids(system.counter)
        psutil.Process(child).kill()
        died = await until_job(database, job_id, "failures = 1")
        written = await logs.texts(database, job_id)
        await wait_until_ended(database, job_id)

    before = [text for text in await logs.texts(database, job_id) if text.startswith("attempt 1")]
    computing = died["next_batch"]
    # The batch that was being computed, or the next one if the kill came between two.
    assert before in (
        expected(1, range(computing + 1), 20),
        expected(1, range(computing), 20),
        expected(1, range(computing + 2), 20),
    )
    assert written[: len(before)] == before  # they were there before the failure was
    await assert_consistent(database, [job_id])


async def test_a_killed_worker_loses_the_lines_of_the_last_second_at_most(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first") as first:
        job_id = await submit(ada, batches=60, work_ms=100, lines_per_batch=3)
        await until(lambda: _count(database, job_id), seconds=60)
        asked_at = monotonic()
        seen = await _count(database, job_id)
        while await _count(database, job_id) == seen:  # until it writes the next lines
            assert monotonic() - asked_at < 30
            await asyncio.sleep(0.05)
        await first.kill()
        kept = await logs.read(database, job_id)
        stored = (await rows.job(database, job_id))["next_batch"]
    async with system.worker("second"):
        await wait_until_ended(database, job_id)

    found = await logs.read(database, job_id)
    assert found[: len(kept)] == kept  # none was lost later, and the dead worker wrote none
    assert {attempt for _, attempt, _ in found[len(kept) :]} == {2}
    assert [number for number, _, _ in found] == [*range(1, len(found) + 1)]
    assert [text for _, _, text in kept] == expected(1, range(60), 3)[: len(kept)]
    # Lines are stored up to what a worker computes in about a second.
    assert len(kept) >= 3 * (stored - 10 * (FLUSH_SECONDS + 1))
    assert await outcomes(database, job_id) == ["rescued", "completed"]
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_killed_while_it_writes_lines_leaves_each_once(
    system: System, ada: httpx.AsyncClient, database: Database, moment: str
) -> None:
    async with system.worker("first", FAILPOINTS=f"log:{moment}=kill") as first:
        job_id = await submit(ada, batches=20, work_ms=200, lines_per_batch=2)
        assert await first.wait(EXIT_SECONDS) == -9
    async with system.worker("second"):
        job = await wait_until_ended(database, job_id)

    texts = await logs.texts(database, job_id)
    assert len(texts) == len(set(texts))
    assert any(text.startswith("attempt 1") for text in texts) == (moment == "after")
    assert job["status"] == "completed"


async def test_a_flood_of_lines_is_bounded_and_does_not_stop_the_jobs_beside_it(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("only"):
        flood = await submit(ada, batches=4, lines_per_batch=50_000)
        quiet = [await submit(ada, batches=5, work_ms=1) for _ in range(3)]
        for job_id in (flood, *quiet):
            assert (await wait_until_ended(database, job_id))["status"] == "completed"

    found = await logs.read(database, flood)
    assert MAX_LINES <= len(found) < MAX_LINES + 2 * MAX_PART_LINES
    assert [number for number, _, _ in found][-MAX_LINES:] == [*range(200_001 - MAX_LINES, 200_001)]
    assert found[-1][2] == "attempt 1, batch 3, line 49999"
    await assert_consistent(database, [flood, *quiet])


async def _count(database: Database, job_id: UUID) -> int:
    return len(await logs.read(database, job_id))
