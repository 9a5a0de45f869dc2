"""Rescue: who may take the jobs of a silent worker, and who hears of it."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.core import background, keys
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import events, transitions
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.jobs.states import Status
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from app.maintenance.connectivity import Connectivity
from app.maintenance.loop import Loop
from app.maintenance.maintenance import Maintenance
from app.maintenance.rescue import Rescue
from tests.maintenance.support import be_in_touch
from tests.support import invariants, jobs, rows
from tests.support.clocks import Clock
from tests.support.waiting import until

LEASE_SECONDS = 6.0


@pytest.fixture
def eager(settings: Settings) -> Settings:
    """A lease so short that Postgres is up for longer."""
    return settings.model_copy(update={"lease_seconds": jobs.LEASE.total_seconds()})


async def a_lost_job(database: Database, owner_id: UUID | None = None) -> ClaimedJob:
    """A job that runs on a worker which is silent."""
    worker_id = await jobs.worker(database)
    await jobs.create(database, owner_id)
    job = await jobs.claim(database, worker_id)
    await jobs.expire_lease(database, worker_id)
    return job


def entitled(resources: Resources, settings: Settings) -> Rescue:
    """Somebody who has been in touch for long enough, and stays so."""
    clock = Clock(1000.0)
    rescue = Rescue(settings, resources.hints)
    rescue.contact = Connectivity(LEASE_SECONDS, clock)
    be_in_touch(rescue.contact, clock, 13)
    return rescue


def rescuing(resources: Resources, settings: Settings) -> Loop:
    return Loop("rescue", 0.01, resources.database, entitled(resources, settings))


async def is_pending(database: Database, job: ClaimedJob) -> bool:
    return bool((await rows.job(database, job.id))["status"] == "pending")


async def test_a_lost_job_is_taken_and_a_living_workers_job_is_not(
    resources: Resources, database: Database, eager: Settings
) -> None:
    lost = await a_lost_job(database)
    await jobs.create(database)
    kept = await jobs.claim(database)

    async with background.running(rescuing(resources, eager).run_forever()):
        await until(lambda: is_pending(database, lost))

    assert (await rows.job(database, kept.id))["status"] == "running"
    await invariants.all_hold(database)


async def test_a_process_that_has_just_started_takes_nothing(
    resources: Resources, database: Database, settings: Settings
) -> None:
    job = await a_lost_job(database)
    rescue = Rescue(settings.model_copy(update={"lease_seconds": 3600.0}), resources.hints)

    for _ in range(3):
        async with database.transaction() as connection:
            assert await rescue(connection) is None

    assert (await rows.job(database, job.id))["status"] == "running"


async def test_two_processes_at_once_rescue_each_job_once(
    resources: Resources, database: Database, eager: Settings
) -> None:
    lost = [await a_lost_job(database) for _ in range(20)]
    loops = [rescuing(resources, eager) for _ in range(3)]

    async with background.running(*(loop.run_forever() for loop in loops)):
        for job in lost:
            await until(lambda job=job: is_pending(database, job))  # type: ignore[misc]  # mypy#15459

    for job in lost:
        assert await rows.event_types(database, job.id) == ["created", "started", "rescued"]
        assert (await rows.job(database, job.id))["failures"] == 1
    await invariants.all_hold(database)


async def test_two_rescues_in_one_moment_take_each_job_once(database: Database) -> None:
    """Without the lock that lets one process at a time rescue, the row locks suffice."""
    lost = await a_lost_job(database)
    async with rows.transaction(database) as held:
        first = await transitions.rescue(UnitOfWork(held), lease=jobs.LEASE, delays_seconds=[0.0], limit=10)
        second = await jobs.rescue(database)

    assert [transition.job_id for transition in first] == [lost.id]
    assert second == []


async def listen(pubsub: PubSub) -> bytes:
    """The next message."""

    async def next_message() -> bytes | None:
        message = await pubsub.get_message(ignore_subscribe_messages=True)
        return None if message is None else message["data"]

    return await until(next_message) or b""


async def test_the_owner_hears_of_a_rescue(resources: Resources, database: Database, eager: Settings) -> None:
    owner_id = await jobs.user(database)
    job = await a_lost_job(database, owner_id)

    async with Redis(connection_pool=resources.redis_pool).pubsub() as pubsub:
        await pubsub.subscribe(keys.events(owner_id))
        async with background.running(rescuing(resources, eager).run_forever()):
            sealed = await listen(pubsub)

    opened = resources.signer.verify(keys.events(owner_id).encode(), sealed)
    assert opened is not None
    heard = events.decode(opened)
    assert (heard.job_id, heard.seq, heard.type) == (job.id, 3, "rescued")


async def test_nobody_hears_of_a_rescue_that_was_not_committed(
    resources: Resources, database: Database, eager: Settings
) -> None:
    owner_id = await jobs.user(database)
    job = await a_lost_job(database, owner_id)
    rescue = entitled(resources, eager)

    class Broken(Exception):
        """The connection was lost before the commit."""

    async with Redis(connection_pool=resources.redis_pool) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(keys.events(owner_id))
        with suppress(Broken):
            async with database.transaction() as connection:
                await rescue(connection)
                assert await connection.fetchval("SELECT status FROM jobs WHERE id = $1", job.id) == "pending"
                raise Broken
        await resources.hints.flush()
        await redis.publish(keys.events(owner_id), b"the end")

        assert await listen(pubsub) == b"the end"
    assert (await rows.job(database, job.id))["status"] == "running"


async def test_the_first_failure_of_a_rescued_job_costs_no_wait(
    resources: Resources, database: Database, settings: Settings
) -> None:
    """The worker is most likely to blame; after that, the job itself."""
    patient = settings.model_copy(
        update={"lease_seconds": jobs.LEASE.total_seconds(), "retry_base_seconds": 3600.0}
    )
    job = await a_lost_job(database)

    async with background.running(rescuing(resources, patient).run_forever()):
        await until(lambda: is_pending(database, job))
        [again] = await jobs.claim_all(database, await jobs.worker(database))
        await rows.execute(database, "UPDATE workers SET seen_at = now() - interval '1 hour'")
        await until(lambda: is_pending(database, job))

    assert again.failures == 1
    assert await rows.value(database, "SELECT run_at - now() > $1 FROM jobs", timedelta(minutes=2))


async def test_a_process_that_has_just_started_rescues_no_job(
    resources: Resources, database: Database
) -> None:
    job = await jobs.running(database)
    await rows.execute(database, "DELETE FROM workers")
    # A Postgres that has just started is reason enough by itself.
    old = f"SELECT now() > pg_postmaster_start_time() + interval '{resources.settings.lease_seconds} s'"
    await until(lambda: rows.value(database, old))

    async with database.transaction() as connection:
        await Rescue(resources.settings, resources.hints)(connection)

    assert (await rows.job(database, job.id))["status"] == Status.RUNNING


async def test_a_process_that_leaves_the_duty_to_others_counts_as_connected(
    resources: Resources, database: Database
) -> None:
    """Among hundreds of processes one seldom gets to do it, and none could ever be in touch for long."""
    loop = next(
        loop
        for loop in Maintenance(resources, registry.BUILT_IN, JobSeries(registry.BUILT_IN)).loops
        if loop.name == "rescue"
    )
    assert isinstance(loop.duty, Rescue)
    job = await jobs.running(database)
    await rows.execute(database, "DELETE FROM workers")
    loop.interval_seconds = 0.05

    async with rows.transaction(database) as connection, background.running(loop.run_forever()):
        # The other one, which asks now and then so that it is not taken for frozen.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('maintenance:rescue'))")
        await until(lambda: _is_long_in_touch(loop, connection))
    assert (await rows.job(database, job.id))["status"] == Status.RUNNING


async def _is_long_in_touch(loop: Loop, other: asyncpg.Connection) -> bool:
    await other.execute("SELECT")
    assert isinstance(loop.duty, Rescue)
    return loop.duty.contact.is_long_enough
