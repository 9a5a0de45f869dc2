"""A worker is killed at critical moments."""

import asyncio

import httpx
import pytest

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import (
    EXIT_SECONDS,
    assert_consistent,
    is_alive,
    outcomes,
    pids,
    recomputed_batches,
    submit,
    until_batches,
    until_started,
    wait_until_ended,
    worker_of,
)


async def test_a_worker_killed_in_mid_batch_costs_one_batch_at_most(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first") as first, system.worker("second") as second:
        job_id = await submit(ada, batches=16, work_ms=100, counter_path=str(system.counter))
        await until_batches(database, job_id, 3)
        holder = await worker_of(database, job_id)
        (child,) = pids(system.counter)
        await (first if holder == "first" else second).kill()
        job = await wait_until_ended(database, job_id)
        assert not is_alive(child)

    assert job["status"] == "completed"
    assert await outcomes(database, job_id) == ["rescued", "completed"]
    assert recomputed_batches(system.counter) <= 1
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("statement", "attempts"),
    [
        ("claim", {"before": ["completed"], "after": ["rescued", "completed"]}),
        ("advance", {"before": ["rescued", "completed"], "after": ["rescued", "completed"]}),
        ("complete", {"before": ["rescued", "completed"], "after": ["completed"]}),
    ],
)
async def test_a_worker_killed_at_a_statement_loses_nothing_and_repeats_one_batch_at_most(
    system: System,
    ada: httpx.AsyncClient,
    database: Database,
    statement: str,
    moment: str,
    attempts: dict[str, list[str]],
) -> None:
    times = 3 if statement == "advance" else 1
    async with system.worker("first", FAILPOINTS=f"{statement}:{moment}=kill@{times}") as first:
        job_id = await submit(ada, batches=6, work_ms=200, counter_path=str(system.counter))
        assert await first.wait(EXIT_SECONDS) == -9
    async with system.worker("second"):
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    assert await outcomes(database, job_id) == attempts[moment]
    assert recomputed_batches(system.counter) <= 1
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize(
    ("moment", "attempts"), [("before", ["rescued", "completed"]), ("after", ["failed", "completed"])]
)
async def test_a_worker_killed_while_it_records_a_failure_has_the_failure_counted_once(
    system: System, ada: httpx.AsyncClient, database: Database, moment: str, attempts: list[str]
) -> None:
    async with system.worker("first", FAILPOINTS=f"fail:{moment}=kill") as first:
        job_id = await submit(ada, "crash", batches=2, bad_attempts=1)
        assert await first.wait(EXIT_SECONDS) == -9
    async with system.worker("second"):
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    assert job["failures"] == 1
    assert await outcomes(database, job_id) == attempts
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize(
    ("moment", "attempts", "failures"),
    [("before", ["rescued", "completed"], 1), ("after", ["released", "completed"], 0)],
)
async def test_a_worker_killed_while_it_releases_a_job_leaves_it_to_the_others(
    system: System,
    ada: httpx.AsyncClient,
    database: Database,
    moment: str,
    attempts: list[str],
    failures: int,
) -> None:
    async with system.worker("first", FAILPOINTS=f"release:{moment}=kill") as first:
        job_id = await submit(ada, batches=30, work_ms=50, soft_limit_seconds=1)
        assert await first.wait(EXIT_SECONDS) == -9
    async with system.worker("second"):
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    assert job["failures"] == failures
    assert (await outcomes(database, job_id))[:1] == attempts[:1]
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_killed_while_it_cancels_a_job_leaves_it_cancelled(
    system: System, ada: httpx.AsyncClient, database: Database, moment: str
) -> None:
    async with system.worker("first", FAILPOINTS=f"stop:{moment}=kill") as first:
        job_id = await submit(ada, "loop", batches=2)
        await until_batches(database, job_id, 2)
        asking = asyncio.create_task(ada.delete(f"/jobs/{job_id}"))
        assert await first.wait(EXIT_SECONDS) == -9
        assert (await asking).status_code in (200, 202)
        # The API runs maintenance loops too, so no worker is needed.
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "cancelled"
    assert await outcomes(database, job_id) == ["cancelled"]
    await assert_consistent(database, [job_id])


async def test_a_job_that_kills_every_worker_fails_in_the_end(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    """A lost worker counts as a failure, so that such a job is not retried forever."""
    job_id = await submit(ada, "loop", max_attempts=2)
    for attempt in (1, 2):
        async with system.worker(f"victim-{attempt}") as victim:
            await until_started(database, job_id, attempt=attempt)
            await victim.kill()
    job = await wait_until_ended(database, job_id)

    assert job["status"] == "failed"
    assert job["error"]["code"] == "worker_lost"
    assert await outcomes(database, job_id) == ["rescued", "rescued"]
    await assert_consistent(database, [job_id])
