"""Schedules while processes die and Redis is away: a tick is fired once, and its job starts."""

import asyncio
import signal
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from app.core.database import Database
from app.embedded.valkey import EmbeddedValkey
from app.schedules.rules import Interval
from app.schedules.values import ScheduleRow
from tests.faults.conftest import System
from tests.faults.support import EXIT_SECONDS, assert_consistent, wait_until_ended
from tests.support import rows, schedules
from tests.support.waiting import until

COUNT = {"batches": 3}


@pytest.fixture
async def owner_id(system: System, database: Database) -> UUID:
    found: UUID = await rows.value(database, "SELECT id FROM users")
    return found


async def due_in(database: Database, owner_id: UUID, seconds: float = 0.0) -> ScheduleRow:
    """A schedule with a single tick."""
    tick: datetime = await rows.value(database, "SELECT now() + make_interval(secs => $1)", seconds)
    return await schedules.add(
        database,
        owner_id,
        Interval(tick, 3600, includes_anchor=True),
        next_fire_at=tick,
        ends_at=tick + timedelta(seconds=1),
        kind="count",
        job=COUNT,
    )


async def until_fired(database: Database, schedule: ScheduleRow) -> UUID:
    """Wait for the job of a schedule."""

    async def find() -> list[UUID]:
        return [job["id"] for job in await schedules.jobs_of(database, schedule.id)]

    [job_id] = await until(find)
    return job_id


async def assert_fired_once(database: Database, schedule: ScheduleRow) -> None:
    assert await schedules.outcomes(database, schedule.id) == [(schedule.next_fire_at, "fired")]
    assert len(await schedules.jobs_of(database, schedule.id)) == 1
    assert (await schedules.read(database, schedule.id)).fired == 1


async def test_a_schedule_fires_and_its_job_completes_while_redis_is_away(
    system: System, database: Database, valkey: EmbeddedValkey, owner_id: UUID
) -> None:
    async with system.worker():
        await asyncio.to_thread(valkey.kill)
        schedule = await due_in(database, owner_id)
        job = await wait_until_ended(database, await until_fired(database, schedule))

    assert job["status"] == "completed"
    await assert_fired_once(database, schedule)
    await assert_consistent(database, [job["id"]])


async def test_a_job_whose_token_redis_forgot_starts_by_itself(
    system: System, database: Database, valkey: EmbeddedValkey, owner_id: UUID
) -> None:
    schedule = await due_in(database, owner_id)
    async with system.api():
        job_id = await until_fired(database, schedule)
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()

    async with system.worker():
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    await assert_fired_once(database, schedule)


async def test_a_process_that_dies_between_commit_and_hint_has_fired_the_tick(
    system: System, database: Database, owner_id: UUID
) -> None:
    schedule = await due_in(database, owner_id)
    async with system.starting_worker("dying", FAILPOINTS="fire:after=kill") as dying:
        assert await dying.wait(EXIT_SECONDS) == -9
    [job] = await schedules.jobs_of(database, schedule.id)

    async with system.worker():
        job = await wait_until_ended(database, job["id"])

    assert job["status"] == "completed"
    await assert_fired_once(database, schedule)
    await assert_consistent(database, [job["id"]])


async def test_a_process_that_dies_before_its_commit_leaves_the_tick_to_the_next_one(
    system: System, database: Database, owner_id: UUID
) -> None:
    schedule = await due_in(database, owner_id)
    async with system.starting_worker("dying", FAILPOINTS="fire:recorded=kill") as dying:
        assert await dying.wait(EXIT_SECONDS) == -9
    left = await schedules.outcomes(database, schedule.id), await schedules.jobs_of(database, schedule.id)

    async with system.worker():
        job = await wait_until_ended(database, await until_fired(database, schedule))

    assert left == ([], [])
    assert job["status"] == "completed"
    await assert_fired_once(database, schedule)


async def test_a_process_that_freezes_in_a_round_holds_up_its_schedules_for_seconds_and_no_others(
    system: System, database: Database, owner_id: UUID
) -> None:
    held = await due_in(database, owner_id)
    async with system.starting_worker("frozen", FAILPOINTS="fire:recorded=stop") as frozen:
        await until(lambda: _is_stopped(frozen.pid))
        other = await due_in(database, owner_id)
        async with system.worker("awake"):
            first = await wait_until_ended(database, await until_fired(database, other))
            fired_by_then = await schedules.outcomes(database, held.id)
            second = await wait_until_ended(database, await until_fired(database, held))
            frozen.send(signal.SIGCONT)
            await frozen.wait_for_log("worker_started")

    assert (first["status"], second["status"]) == ("completed", "completed")
    assert fired_by_then in ([], [(held.next_fire_at, "fired")])
    await assert_fired_once(database, held)
    await assert_fired_once(database, other)
    await assert_consistent(database, [first["id"], second["id"]])


async def _is_stopped(pid: int) -> bool:
    status = await asyncio.to_thread(_read_status, pid)
    return status.startswith("T")


def _read_status(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
