"""Each guard seen at work, for those that no other test would miss."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from app.core import background, ids
from app.core.database import IDLE_IN_TRANSACTION_SECONDS, Database, open_database
from app.core.errors import DatabaseUnavailable
from app.core.resources import Resources
from app.jobs import leases
from app.jobs.errors import TooManyActiveJobs
from app.jobs.leases import WorkerIdentity
from app.jobs.moves import Batch, Report
from app.jobs.queries import Standing
from app.jobs.quota import Quota
from app.jobs.states import Priority, Status
from app.keeper.contact import Contact
from app.keeper.keeper import Keeper
from app.keeper.loop import Loop
from app.keeper.rescue import Rescue
from tests.conftest import Servers
from tests.machine.database import OneConnection
from tests.support import invariants, jobs, proxy, rows
from tests.support.waiting import until
from worker.children import messages
from worker.children.child_handle import Child, Inbox
from worker.children.errors import ChildProtocolError, KillReason
from worker.children.pool import ChildPool
from worker.claimer import Claimer
from worker.files import Files
from worker.lease import Lease
from worker.ledger import Fate, Fenced, Ledger, fate_of
from worker.run_next import Runner, Running


@pytest.fixture
def database(resources: Resources) -> Database:
    return resources.database


async def test_a_single_slot_gets_the_most_urgent_job(database: Database) -> None:
    await jobs.create(database, priority=Priority.LOW)
    urgent = await jobs.create(database, priority=Priority.CRITICAL)

    assert (await jobs.claim(database)).id == urgent


# The row lock: whoever takes a job away decides on what is true then, and waits for nobody


async def test_an_attempt_that_two_end_at_once_ends_once(database: Database) -> None:
    job = await jobs.running(database)
    async with database.transaction() as connection:
        assert await jobs.release(OneConnection(connection), job) is not None
        second = asyncio.create_task(jobs.fail(database, job))
        await _until_somebody_waits_for_a_lock(database)

    assert await second is None
    assert (await rows.job(database, job.id))["failures"] == 0
    await invariants.all_hold(database)


async def test_a_rescue_passes_over_a_job_that_is_being_settled(database: Database) -> None:
    job = await jobs.running(database)
    await rows.execute(database, "DELETE FROM workers")
    async with database.transaction() as connection:
        await jobs.advance(OneConnection(connection), jobs.report(job, count=3, is_final=True))
        async with asyncio.timeout(5):
            assert await jobs.rescue(database) == []

    assert (await rows.job(database, job.id))["status"] == Status.COMPLETED
    await invariants.all_hold(database)


async def test_a_rescue_leaves_alone_what_does_not_run(database: Database) -> None:
    waiting = await jobs.create(database)
    done = await jobs.create(database)
    await jobs.cancel(database, done)

    assert await jobs.rescue(database) == []
    assert (await rows.job(database, waiting))["attempt"] == 0


async def test_a_worker_is_alive_until_a_lease_has_passed(database: Database) -> None:
    worker_id = await jobs.worker(database)
    await jobs.create(database)
    await jobs.claim(database, worker_id)

    for age, is_taken in ((0.5, False), (1.5, True)):
        async with database.transaction() as connection:  # in which the clock stands still
            await connection.execute(
                "UPDATE workers SET seen_at = now() - $1 * $2::interval", age, jobs.LEASE
            )
            assert bool(await jobs.rescue(OneConnection(connection))) is is_taken


async def test_a_keeper_that_has_just_started_rescues_nobody(
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


async def test_a_keeper_that_leaves_the_duty_to_others_is_in_touch_all_the_same(
    resources: Resources, database: Database
) -> None:
    """Among hundreds of processes one seldom gets to do it, and none could ever be in touch for long."""
    loop = next(loop for loop in Keeper(resources).loops if loop.name == "rescue")
    assert isinstance(loop.duty, Rescue)
    job = await jobs.running(database)
    await rows.execute(database, "DELETE FROM workers")
    loop.interval_seconds = 0.05

    async with database.transaction() as connection, background.running(loop.run_forever()):
        # The other one, which asks now and then so that it is not taken for frozen.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('keeper:rescue'))")
        await until(lambda: _is_long_in_touch(loop, connection))
    assert (await rows.job(database, job.id))["status"] == Status.RUNNING


async def _is_long_in_touch(loop: Loop, other: asyncpg.Connection) -> bool:
    await other.execute("SELECT")
    assert isinstance(loop.duty, Rescue)
    return loop.duty.contact.is_long_enough


async def test_a_process_that_is_frozen_in_mid_transaction_loses_its_locks(database: Database) -> None:
    """Or the keeper that froze in the middle of a round would keep all others from theirs."""
    limit = await rows.value(database, "SHOW idle_in_transaction_session_timeout")

    assert limit == f"{IDLE_IN_TRANSACTION_SECONDS}s"
    assert 0 < IDLE_IN_TRANSACTION_SECONDS <= 5


# Retry


async def test_a_job_whose_rows_are_pruned_is_not_tried_again(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.fail(database, job, is_retryable=False)
    await rows.execute(database, "UPDATE jobs SET pruned_at = now()")

    assert await jobs.retry(database, job.id) is None


async def test_a_cancelled_job_that_is_tried_again_can_complete(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.cancel(database, job.id)
    await jobs.stop(database, job)
    assert await jobs.retry(database, job.id) is not None

    moved = await jobs.complete(database, await jobs.claim(database))

    assert moved.status is Status.COMPLETED
    await invariants.all_hold(database)


# What the tables hold once


@pytest.mark.parametrize(
    "copied",
    [
        """INSERT INTO job_batches
        SELECT job_id, index, first_row, row_count, attempt + 1, output FROM job_batches""",
        "INSERT INTO job_events SELECT * FROM job_events",
        "INSERT INTO job_attempts SELECT * FROM job_attempts",
    ],
)
async def test_the_database_itself_keeps_nothing_twice(database: Database, copied: str) -> None:
    await jobs.complete(database, await jobs.running(database))

    with pytest.raises(asyncpg.UniqueViolationError):
        await rows.execute(database, copied)


# The quota


async def test_requests_at_the_same_moment_do_not_get_past_the_quota(database: Database) -> None:
    owner_id = await jobs.user(database)
    quota = Quota(database, limit=5)

    async def submit() -> None:
        with suppress(TooManyActiveJobs):
            async with quota.admit(owner_id) as connection:
                await jobs.create(OneConnection(connection), owner_id)

    await asyncio.gather(*(submit() for _ in range(8)))
    await asyncio.gather(*(submit() for _ in range(8)))

    assert await rows.value(database, "SELECT count(*) FROM jobs") == 5


# The grace rule


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _in_touch(contact: Contact, clock: Clock, seconds: float) -> None:
    for _ in range(int(seconds)):
        clock.now += 1
        contact.touch()


def test_whoever_has_just_come_may_not_judge(clock: Clock) -> None:
    contact = Contact(6, clock)
    assert not contact.is_long_enough
    contact.touch()
    _in_touch(contact, clock, 11)
    assert not contact.is_long_enough
    _in_touch(contact, clock, 1)
    assert contact.is_long_enough


def test_whoever_was_out_of_touch_starts_anew(clock: Clock) -> None:
    contact = Contact(6, clock)
    _in_touch(contact, clock, 20)
    clock.now += 4
    contact.touch()
    assert not contact.is_long_enough
    _in_touch(contact, clock, 12)
    assert contact.is_long_enough


# The lease


@dataclass
class Revoked:
    """Stands for a job that runs here, and notes what is asked of it."""

    reasons: list[str] = field(default_factory=list)

    def revoke_as_fenced(self) -> None:
        self.reasons.append("fenced")

    def revoke_as_cancelled(self) -> None:
        self.reasons.append("cancelled")


@pytest.fixture
async def ledger(resources: Resources) -> AsyncIterator[Ledger]:
    opened = Ledger(resources.database, resources.hints, ids.new_id())
    async with background.running(opened.write_forever()):
        yield opened


@pytest.fixture
async def files(resources: Resources, tmp_path: Path) -> AsyncIterator[Files]:
    async with Files(resources.storage, tmp_path, 2**30) as opened:
        yield opened


@pytest.fixture
async def lease(resources: Resources, ledger: Ledger) -> AsyncIterator[Lease]:
    """The lease of a worker that is registered; each `register` renews it once more."""
    worker = WorkerIdentity(ids.new_id(), "one", "here", 1, ("default",), (jobs.KIND,), 2)
    opened = Lease(worker, resources.settings.database_url, 30.0, ledger)
    await opened.register()
    yield opened
    opened._disconnect()


async def test_a_renewal_says_that_the_worker_is_alive(database: Database, lease: Lease) -> None:
    await jobs.silence(database, lease.worker.id)
    async with database.connection() as connection:
        assert await leases.alive(connection, timedelta(seconds=60)) == 0
        await lease.register()
        assert await leases.alive(connection, timedelta(seconds=60)) == 1


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
    async with database.transaction() as connection:
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
    async with database.transaction() as connection:
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


async def test_a_job_that_waits_for_its_child_is_not_given_back(database: Database, lease: Lease) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, lease.worker.id)
    with lease.knowing(job.id, job.attempt):
        for _ in range(3):
            await lease.register()

    assert (await rows.job(database, job.id))["status"] == Status.RUNNING


async def _held_up(database: Database, connection: asyncpg.Connection, lease: Lease) -> asyncio.Task[None]:
    """A renewal that has been sent, and waits in Postgres for the end of this transaction."""
    await connection.execute("SELECT FROM workers WHERE id = $1 FOR UPDATE", lease.worker.id)
    renewal = asyncio.create_task(lease.register())
    await _until_somebody_waits_for_a_lock(database)
    return renewal


async def _until_somebody_waits_for_a_lock(database: Database) -> None:
    async def look() -> bool:
        waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        return bool(await rows.value(database, f"{waiting} AND wait_event_type = 'Lock')"))

    await until(look)


# What became of a report whose reply was lost

JOB = UUID(int=1)
BATCHES = tuple(Batch(row, 1, b"1", "") for row in range(2))


def _report(*, is_final: bool = False) -> Report:
    """Attempt 3 reports batches 5 and 6."""
    return Report(JOB, 3, 5, BATCHES, result=b"{}" if is_final else None)


@pytest.mark.parametrize("is_final", [False, True])
@pytest.mark.parametrize(
    ("standing", "fates"),
    [
        (None, (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.RUNNING, 4, 5), (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.RUNNING, 4, 7), (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.COMPLETED, 4, 7), (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.RUNNING, 3, 5), (Fate.NOT_APPLIED, Fate.NOT_APPLIED)),
        (Standing(Status.RUNNING, 3, 6), (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.RUNNING, 3, 7), (Fate.APPLIED, Fate.FENCED)),
        (Standing(Status.PENDING, 3, 5), (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.PENDING, 3, 7), (Fate.FENCED, Fate.FENCED)),
        (Standing(Status.CANCELLED, 3, 5), (Fate.FENCED, Fate.APPLIED)),
        (Standing(Status.COMPLETED, 3, 7), (Fate.FENCED, Fate.APPLIED)),
    ],
)
def test_the_standing_of_a_job_tells_what_became_of_a_report(
    standing: Standing | None, fates: tuple[Fate, Fate], is_final: bool
) -> None:
    assert fate_of(_report(is_final=is_final), standing) is fates[is_final]


@pytest.mark.parametrize("is_lost_before", [True, False])
async def test_a_report_that_was_lost_on_its_way_is_sent_again(
    servers: Servers, resources: Resources, is_lost_before: bool
) -> None:
    """Or not, if only the reply was lost: either way it is stored once."""
    job = await jobs.running(resources.database)
    async with (
        proxy.before_postgres(servers.embedded.postgres) as network,
        open_database(proxy.postgres_url(network, resources.settings.database_url), pool_size=2) as far_away,
    ):
        ledger = Ledger(far_away, resources.hints, ids.new_id())
        fault = network.break_before if is_lost_before else network.lose_reply
        happened = fault("WITH report AS")
        async with background.running(ledger.write_forever()):
            await ledger.advance(jobs.report(job))
            await ledger.advance(jobs.report(job, first=1, count=2, is_final=True))
        assert happened.is_set()

    assert (await rows.job(resources.database, job.id))["status"] == Status.COMPLETED
    await invariants.all_hold(resources.database, predict=jobs.prediction)


async def test_a_report_of_an_attempt_that_is_over_is_answered_as_fenced(
    database: Database, ledger: Ledger
) -> None:
    job = await jobs.running(database)
    await jobs.release(database, job)

    with pytest.raises(Fenced):
        await ledger.advance(jobs.report(job))


# What a worker takes, and what it believes


async def test_a_worker_that_drains_takes_nothing_more(
    resources: Resources, lease: Lease, ledger: Ledger, files: Files
) -> None:
    job_id = await jobs.create(resources.database)
    claimer = Claimer(resources.database, resources.hints, lease.worker.id, (jobs.KIND,))
    children = ChildPool(slots=1, memory_limit_bytes=2**30, max_jobs_per_child=1)
    runner = Runner(resources.settings, {}, claimer, ledger, lease, children, files)
    runner.drain()

    async with asyncio.timeout(5):
        assert await runner.run_next("default") is False
    assert (await rows.job(resources.database, job_id))["attempt"] == 0


async def test_two_attempts_at_one_job_on_one_worker_are_kept_apart(
    resources: Resources, lease: Lease, ledger: Ledger, files: Files
) -> None:
    """A frozen worker that wakes up may claim a job again before it learns that it had lost it."""
    claimer = Claimer(resources.database, resources.hints, lease.worker.id, (jobs.KIND,))
    children = ChildPool(slots=2, memory_limit_bytes=2**30, max_jobs_per_child=1)
    runner = Runner(resources.settings, {}, claimer, ledger, lease, children, files)
    await jobs.create(resources.database)
    first = await jobs.claim(resources.database, lease.worker.id)
    await jobs.release(resources.database, first)
    second = await jobs.claim(resources.database, lease.worker.id)
    child = Child(0, Inbox(), lambda _pid: None)

    with runner._watched(Running(second, child)):
        with runner._watched(Running(first, Child(0, Inbox(), lambda _pid: None))):
            pass
        runner.give_everything_back()

    assert child.kill_reason is KillReason.RELEASED


async def test_a_child_that_leaves_a_batch_out_is_not_believed(
    resources: Resources, lease: Lease, ledger: Ledger, files: Files
) -> None:
    job = await jobs.running(resources.database)
    claimer = Claimer(resources.database, resources.hints, lease.worker.id, (jobs.KIND,))
    children = ChildPool(slots=1, memory_limit_bytes=2**30, max_jobs_per_child=1)
    runner = Runner(resources.settings, {}, claimer, ledger, lease, children, files)
    second = messages.Batch(index=1, first_row=10, row_count=1, output=b"1\n", step="", seconds=0.0)

    with pytest.raises(ChildProtocolError):
        await runner._report(job, 0, [second], None)


@pytest.mark.parametrize("rounds", range(5))
async def test_a_connection_that_was_told_of_its_end_counts_as_away(database: Database, rounds: int) -> None:
    """Between a server's last words on an idle connection and its end asyncpg is beside itself."""

    async def ask_a_dying_server() -> None:
        async with database.connection() as connection:
            os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGTERM)
            time.sleep(0.1)  # by now both have come, and our loop has read neither
            for _ in range(rounds):
                await asyncio.sleep(0)
            await connection.fetchval("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await ask_a_dying_server()
