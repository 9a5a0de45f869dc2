"""The lease: what a worker says with it, and which of its jobs it hears about."""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from app.core import ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.states import Status
from app.jobs.workers import queries
from app.jobs.workers.commands import WorkerIdentity, WorkerLoad
from tests.support import invariants, jobs, rows
from tests.support.clocks import Clock
from worker.lease import Lease
from worker.report_writer import ReportWriter


@dataclass
class Revoked:
    """Stands for a job that runs here, and notes what is asked of it."""

    reasons: list[str] = field(default_factory=list)

    def revoke_as_fenced(self) -> None:
        self.reasons.append("fenced")

    def revoke_as_cancelled(self) -> None:
        self.reasons.append("cancelled")


async def test_a_renewal_says_that_the_worker_is_alive(database: Database, lease: Lease) -> None:
    await jobs.expire_lease(database, lease.worker.id)
    async with database.connection() as connection:
        assert await queries.alive(connection, timedelta(seconds=60)) == 0
        await lease.register()
        assert await queries.alive(connection, timedelta(seconds=60)) == 1


@pytest.mark.parametrize("uptime_seconds", [0.0, 1e6])
async def test_a_renewal_says_what_the_worker_uses_which_is_measured_less_often(
    resources: Resources, report_writer: ReportWriter, uptime_seconds: float
) -> None:
    clock = Clock(uptime_seconds)
    worker = WorkerIdentity(ids.new_id(), "one", "here", 1, ("default",), (jobs.KIND,), 2)
    url = resources.settings.database_url
    loads = iter([WorkerLoad(None, 100, 1.0), WorkerLoad(50.0, 200, 2.0)])
    lease = Lease(
        worker, url, 30.0, report_writer, lease_seconds=6.0, clock=clock, measure_load=loads.__next__
    )

    async def shown() -> list[object]:
        await lease.register()
        [row] = await rows.fetch(
            resources.database, "SELECT cpu_percent, rss_bytes, memory_percent FROM workers"
        )
        return list(row.values())

    assert await shown() == [None, 100, 1.0]
    clock.now += 4.9
    assert await shown() == [None, 100, 1.0]
    clock.now += 0.2
    assert await shown() == [50.0, 200, 2.0]
    lease._disconnect()


@pytest.mark.parametrize("uptime_seconds", [0.0, 1e6])
async def test_a_lease_is_current_from_a_renewal_until_its_seconds_have_passed(
    resources: Resources, report_writer: ReportWriter, uptime_seconds: float
) -> None:
    clock = Clock(uptime_seconds)
    worker = WorkerIdentity(ids.new_id(), "one", "here", 1, ("default",), (jobs.KIND,), 2)
    url = resources.settings.database_url
    lease = Lease(worker, url, 30.0, report_writer, lease_seconds=6.0, clock=clock)
    assert not lease.is_current
    assert math.isnan(lease.age_seconds)

    await lease.register()
    clock.now += 5.9
    assert lease.is_current
    assert REGISTRY.get_sample_value("headrace_lease_age_seconds") == pytest.approx(5.9)
    clock.now += 0.2
    assert not lease.is_current

    await lease.register()
    assert lease.is_current
    lease._disconnect()


async def test_a_worker_hears_of_its_own_jobs_only(database: Database, lease: Lease) -> None:
    others = await jobs.running(database)
    for _ in range(3):
        await lease.register()

    assert (await rows.job(database, others.id))["status"] == Status.RUNNING


async def test_a_job_that_was_taken_away_is_revoked(database: Database, lease: Lease) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)
    revoked = Revoked()
    with lease.holding(job.id, job.attempt, revoked):
        await lease.register()
        assert revoked.reasons == []
        await jobs.release(database, job)
        await lease.register()

    assert revoked.reasons == ["fenced"]


async def test_a_job_whose_cancel_was_asked_for_is_revoked(database: Database, lease: Lease) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)
    revoked = Revoked()
    with lease.holding(job.id, job.attempt, revoked):
        await jobs.cancel(database, job.id)
        await lease.register()

    assert revoked.reasons == ["cancelled"]


async def test_a_job_claimed_while_the_question_was_on_its_way_stays(
    database: Database, lease: Lease
) -> None:
    await jobs.create(database)
    revoked = Revoked()
    async with rows.transaction(database) as connection:
        renewal = await _held_up(database, connection, lease)
        job = await jobs.claim(database, lease.worker.id)
        held = lease.holding(job.id, job.attempt, revoked)
        held.__enter__()
    await renewal

    assert revoked.reasons == []
    await lease.register()
    assert revoked.reasons == []
    held.__exit__(None, None, None)


async def test_a_job_that_ended_while_the_question_was_on_its_way_is_left_alone(
    database: Database, lease: Lease
) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)
    await jobs.complete(database, job)
    revoked = Revoked()
    async with rows.transaction(database) as connection:
        with lease.holding(job.id, job.attempt, revoked):
            renewal = await _held_up(database, connection, lease)
    await renewal

    assert revoked.reasons == []


async def test_a_claim_that_nobody_here_knows_of_is_given_back_the_second_time(
    database: Database, lease: Lease
) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)

    await lease.register()
    once = await rows.job(database, job.id)
    await lease.register()
    twice = await rows.job(database, job.id)

    assert (once["status"], twice["status"]) == (Status.RUNNING, Status.PENDING)
    assert twice["failures"] == 0
    await invariants.all_hold(database)


async def test_a_claim_that_is_in_flight_is_not_lost_however_long_it_takes(
    database: Database, lease: Lease
) -> None:
    await jobs.create(database)
    with lease.claiming():
        job = await jobs.claim(database, lease.worker.id)
        for _ in range(3):
            await lease.register()
        in_flight = await rows.job(database, job.id)
    await lease.register()
    lost = await rows.job(database, job.id)

    assert (in_flight["status"], lost["status"]) == (Status.RUNNING, Status.PENDING)


async def test_later_claims_do_not_hide_that_one_is_lost(database: Database, lease: Lease) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)
    await lease.register()
    with lease.claiming():
        await lease.register()

    assert (await rows.job(database, job.id))["status"] == Status.PENDING


async def test_a_job_that_waits_for_its_child_is_not_given_back(database: Database, lease: Lease) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)
    with lease.tracking_claim(job.id, job.attempt):
        for _ in range(3):
            await lease.register()

    assert (await rows.job(database, job.id))["status"] == Status.RUNNING


async def _held_up(database: Database, connection: asyncpg.Connection, lease: Lease) -> asyncio.Task[None]:
    """A renewal that has been sent, and waits in Postgres for the end of this transaction."""
    await connection.execute("SELECT FROM workers WHERE id = $1 FOR UPDATE", lease.worker.id)
    renewal = asyncio.create_task(lease.register())
    await rows.wait_until_blocked(database)
    return renewal
