"""The door through which a job changes state: what each move does, and what it never does twice."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.core import ids
from app.core.config import ClaimOrder
from app.core.database import Database
from app.jobs import transitions
from app.jobs.states import LEGAL_TRANSITIONS, Priority, Status
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from tests.support import invariants, jobs, rows

EVERY_STATE = list(Status)


# Creating and claiming


async def test_a_new_job_waits_with_its_payload_and_its_first_event(database: Database) -> None:
    job_id = await jobs.create(database, rows=3)

    row = await rows.job(database, job_id)
    assert (row["status"], row["attempt"], row["done"], row["total"]) == ("pending", 0, 0, 3)
    assert await rows.event_types(database, job_id) == ["created"]
    [payload] = await rows.fetch(database, "SELECT rows FROM job_payloads WHERE job_id = $1", job_id)
    assert msgspec.json.decode(payload["rows"]) == ["text 0", "text 1", "text 2"]
    await invariants.all_hold(database)


async def test_a_claim_gives_the_worker_all_it_needs(database: Database) -> None:
    owner_id = await jobs.user(database)
    job_id = await jobs.create(database, owner_id, rows=3)
    worker_id = await jobs.worker(database)

    job = await jobs.claim(database, worker_id)

    assert (job.id, job.owner_id, job.attempt, job.next_batch, job.done) == (job_id, owner_id, 1, 0, 0)
    assert msgspec.json.decode(job.params) == jobs.PARAMS
    assert job.rows is not None
    assert len(msgspec.json.decode(job.rows)) == 3
    assert (await rows.job(database, job_id))["worker_id"] == worker_id
    assert await rows.event_types(database, job_id) == ["created", "started"]
    await invariants.all_hold(database)


async def test_jobs_of_one_priority_start_in_the_order_they_came(database: Database) -> None:
    created = [await jobs.create(database) for _ in range(5)]

    claimed = await jobs.claim_all(database, await jobs.worker(database))

    assert [job.id for job in claimed] == created


async def test_the_more_urgent_job_starts_first_however_late_it_came(database: Database) -> None:
    owner_id = await jobs.user(database)
    created = {
        priority: await jobs.create(database, owner_id, priority=priority)
        for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.CRITICAL)
    }

    claimed = await jobs.claim_all(database, await jobs.worker(database))

    assert [job.id for job in claimed] == [
        created[Priority.CRITICAL],
        created[Priority.HIGH],
        created[Priority.NORMAL],
        created[Priority.LOW],
    ]


async def test_a_job_that_waited_longer_than_the_head_start_is_not_overtaken(database: Database) -> None:
    owner_id = await jobs.user(database)
    patient = await jobs.create(database, owner_id, priority=Priority.LOW)
    await rows.execute(
        database, "UPDATE jobs SET sort_key = sort_key - interval '61 minutes' WHERE id = $1", patient
    )
    await jobs.create(database, owner_id, priority=Priority.NORMAL)

    first = await jobs.claim(database)

    assert first.id == patient


async def test_a_start_in_the_past_does_not_jump_the_queue(database: Database) -> None:
    first = await jobs.create(database)
    await jobs.create(database, run_at=datetime(2001, 1, 1, tzinfo=UTC))

    assert (await jobs.claim(database)).id == first


async def test_a_delayed_job_is_not_claimed_before_it_is_due(database: Database) -> None:
    delayed = await jobs.create(database, delay=timedelta(hours=1), priority=Priority.CRITICAL)
    at_once = await jobs.create(database, priority=Priority.LOW)
    worker_id = await jobs.worker(database)

    early = await jobs.claim_all(database, worker_id)
    await rows.execute(database, "UPDATE jobs SET run_at = now() WHERE id = $1", delayed)
    due = await jobs.claim_all(database, worker_id)

    assert [job.id for job in early] == [at_once]
    assert [job.id for job in due] == [delayed]


async def test_a_worker_gets_no_kind_that_it_does_not_know(database: Database) -> None:
    await jobs.create(database, kind="from_the_future")
    known = await jobs.create(database)

    claimed = await jobs.claim_all(database, await jobs.worker(database))

    assert [job.id for job in claimed] == [known]


async def test_a_worker_gets_nothing_from_another_queue(database: Database) -> None:
    await jobs.create(database, queue="gpu")
    worker_id = await jobs.worker(database)

    assert await jobs.claim_all(database, worker_id) == []
    assert len(await jobs.claim_all(database, worker_id, queue="gpu")) == 1


@pytest.mark.parametrize("order", ClaimOrder)
async def test_two_workers_that_claim_at_once_get_different_jobs(
    database: Database, order: ClaimOrder
) -> None:
    first, second = [await jobs.create(database) for _ in range(2)]
    async with database.transaction() as connection:
        held = await transitions.claim(
            UnitOfWork(connection),
            queue="default",
            kinds=[jobs.KIND],
            worker_id=await jobs.worker(database),
            limit=1,
            order=order,
        )
        # The first claim is not committed yet: the second one passes it over and does not wait for it.
        [other] = await jobs.claim_all(database, await jobs.worker(database), limit=1, order=order)

    assert [job.id for job in held] == [first]
    assert other.id == second
    await invariants.all_hold(database)


async def test_many_claims_at_once_give_each_job_to_one_worker(database: Database) -> None:
    created = {await jobs.create(database) for _ in range(30)}
    workers = [await jobs.worker(database) for _ in range(8)]

    async def claim_until_nothing_is_left(worker_id: UUID) -> list[UUID]:
        claimed: list[UUID] = []
        # One that claims more than there are has claimed one twice: it need not go on.
        while len(claimed) <= len(created) and (found := await jobs.claim_all(database, worker_id, limit=2)):
            claimed += [job.id for job in found]
        return claimed

    claimed = list(
        itertools.chain(
            *await asyncio.gather(*(claim_until_nothing_is_left(worker_id) for worker_id in workers))
        )
    )

    assert len(claimed) == len(created)
    assert set(claimed) == created
    await invariants.all_hold(database)


async def test_a_key_that_is_taken_creates_nothing(database: Database) -> None:
    owner_id = await jobs.user(database)
    await jobs.create(database, owner_id, idempotency_key="once")

    with pytest.raises(AssertionError):
        await jobs.create(database, owner_id, idempotency_key="once")
    await jobs.create(database, idempotency_key="once")  # another owner's key is another key

    assert await rows.value(database, "SELECT count(*) FROM jobs") == 2
    assert await rows.value(database, "SELECT count(*) FROM job_payloads") == 2


# Committing batches


async def test_each_batch_moves_progress_on_and_the_result_completes_the_job(database: Database) -> None:
    job = await jobs.running(database, rows=25)

    for index in range(3):
        await jobs.commit(database, job, first=index)
    [transition] = (await jobs.advance(database, jobs.report(job, first=3, count=0, is_final=True))).values()

    assert transition.status is Status.COMPLETED
    log = await rows.events(database, job.id)
    assert [event["type"] for event in log] == ["created", "started", *["progress"] * 3, "completed"]
    assert [event["data"]["progress"] for event in log] == [0, 0, 40, 80, 100, 100]
    assert [event["data"]["done"] for event in log] == [0, 0, 10, 20, 25, 25]
    assert log[-1]["data"]["result"] == jobs.RESULT
    assert [attempt["outcome"] for attempt in await rows.attempts(database, job.id)] == ["completed"]
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_batches_that_go_together_have_an_event_each(database: Database) -> None:
    job = await jobs.running(database, rows=25)

    transition = await jobs.complete(database, job)

    assert [event.seq for event in transition.events] == [3, 4, 5, 6]
    assert [event["data"].get("batch") for event in await rows.events(database, job.id)] == [
        *(None, None),
        *(0, 1, 2),
        None,
    ]
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_reports_of_several_jobs_go_in_one_statement_and_each_stands_for_itself(
    database: Database,
) -> None:
    worker_id = await jobs.worker(database)
    for _ in range(4):
        await jobs.create(database, rows=25)
    one, done, fenced, ahead = await jobs.claim_all(database, worker_id)
    await jobs.release(database, fenced)

    transition = await jobs.advance(
        database,
        jobs.report(fenced, count=2),
        jobs.report(one, count=1),
        jobs.report(ahead, first=1),
        jobs.report(done, count=3, is_final=True),
        worker_id=worker_id,
    )

    assert {job_id: move.status for job_id, move in transition.items()} == {
        one.id: Status.RUNNING,
        done.id: Status.COMPLETED,
    }
    assert await rows.batches(database, fenced.id) == []
    assert await rows.batches(database, ahead.id) == []
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_batch_that_is_sent_twice_is_stored_once(database: Database) -> None:
    job = await jobs.running(database)
    report = jobs.report(job)

    first = await jobs.advance(database, report)
    second = await jobs.advance(database, report)

    assert list(first) == [job.id]
    assert second == {}
    assert len(await rows.batches(database, job.id)) == 1
    await invariants.all_hold(database, predict=jobs.prediction)


@pytest.mark.parametrize("first", [0, 2, 3])
async def test_a_batch_that_is_not_the_next_one_is_refused(database: Database, first: int) -> None:
    job = await jobs.running(database, rows=100)
    await jobs.commit(database, job)

    assert await jobs.advance(database, jobs.report(job, first=first)) == {}
    assert len(await rows.batches(database, job.id)) == 1


async def test_a_job_cannot_complete_with_rows_missing(database: Database) -> None:
    job = await jobs.running(database, rows=25)

    with pytest.raises(asyncpg.CheckViolationError, match="completed_is_whole"):
        await jobs.advance(database, jobs.report(job, count=2, is_final=True))

    assert await rows.batches(database, job.id) == []
    await invariants.all_hold(database)


async def test_an_attempt_goes_on_where_the_one_before_it_stopped(database: Database) -> None:
    first = await jobs.running(database, rows=25)
    await jobs.advance(database, jobs.report(first, count=2, checkpoint=b"so far"))
    await jobs.release(database, first)

    second = await jobs.claim(database)
    await jobs.complete(database, second)

    assert (second.attempt, second.next_batch, second.done, second.checkpoint) == (2, 2, 20, b"so far")
    assert [batch["attempt"] for batch in await rows.batches(database, first.id)] == [1, 1, 2]
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_checkpoint_takes_the_place_of_the_one_before(database: Database) -> None:
    job = await jobs.running(database, rows=25)

    for index, checkpoint in enumerate((b"one", b"two", None)):
        await jobs.advance(database, jobs.report(job, first=index, checkpoint=checkpoint))

    kept = await rows.fetch(database, "SELECT next_batch, data FROM job_checkpoints")
    assert [tuple(row) for row in kept] == [(2, b"two")]


async def test_a_job_of_unknown_length_completes_with_what_it_has(database: Database) -> None:
    await jobs.create(database, total_is_known=False)
    job = await jobs.claim(database)

    await jobs.commit(database, job, count=2)
    running = await rows.job(database, job.id)
    await jobs.advance(database, jobs.report(job, first=2, count=0, is_final=True))

    assert (running["progress"], running["done"]) == (0, 20)
    assert (await rows.job(database, job.id))["progress"] == 100
    await invariants.exactly_once(database, predict=jobs.prediction)


# The ends that are not success


async def test_a_failed_attempt_is_tried_again_after_its_delay(database: Database) -> None:
    job = await jobs.running(database)

    transition = await jobs.fail(database, job, delay_seconds=3600)

    assert transition is not None
    assert (transition.status, transition.is_due) == (Status.PENDING, False)
    row = await rows.job(database, job.id)
    assert (row["failures"], row["error"]["code"], row["error"]["attempt"]) == (1, "boom", 1)
    assert await rows.value(database, "SELECT run_at > now() + interval '59 minutes' FROM jobs")
    assert await rows.event_types(database, job.id) == ["created", "started", "retrying"]
    assert await jobs.claim_all(database, await jobs.worker(database)) == []
    await invariants.all_hold(database)


async def test_a_job_whose_budget_is_used_up_has_failed(database: Database) -> None:
    job_id = await jobs.create(database, max_attempts=3)

    for _ in range(3):
        await jobs.fail(database, await jobs.claim(database))

    row = await rows.job(database, job_id)
    assert (row["status"], row["failures"], row["attempt"]) == ("failed", 3, 3)
    assert row["expires_at"] is not None
    assert [attempt["outcome"] for attempt in await rows.attempts(database, job_id)] == ["failed"] * 3
    assert await jobs.claim_all(database, await jobs.worker(database)) == []
    await invariants.all_hold(database)


async def test_an_error_that_is_never_retried_fails_the_job_at_once(database: Database) -> None:
    job = await jobs.running(database)

    transition = await jobs.fail(database, job, is_retryable=False)

    assert transition is not None
    assert transition.status is Status.FAILED
    assert (await rows.job(database, job.id))["failures"] == 1
    await invariants.all_hold(database)


async def test_an_attempt_keeps_its_traceback_and_the_log_does_not(database: Database) -> None:
    job = await jobs.running(database)

    await jobs.fail(database, job)

    [attempt] = await rows.attempts(database, job.id)
    assert attempt["traceback"] == "Traceback: boom"
    assert "Traceback" not in str(await rows.events(database, job.id))


async def test_a_failed_job_keeps_what_it_has_committed(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.commit(database, job, count=2)

    await jobs.fail(database, job, is_retryable=False)

    assert (await rows.job(database, job.id))["done"] == 20
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_release_costs_nothing_of_the_budget(database: Database) -> None:
    job_id = await jobs.create(database, max_attempts=1)

    for _ in range(3):
        transition = await jobs.release(database, await jobs.claim(database))
        assert transition is not None
        assert (transition.status, transition.is_due) == (Status.PENDING, True)

    row = await rows.job(database, job_id)
    assert (row["failures"], row["attempt"], row["error"]) == (0, 3, None)
    assert [attempt["outcome"] for attempt in await rows.attempts(database, job_id)] == ["released"] * 3
    await invariants.all_hold(database)


async def test_a_released_job_keeps_its_place_in_the_queue(database: Database) -> None:
    owner_id = await jobs.user(database)
    early = await jobs.running(database, owner_id)
    await jobs.create(database, owner_id)

    await jobs.release(database, early)

    assert (await jobs.claim(database)).id == early.id


async def test_a_stopped_job_is_cancelled_with_what_it_has_committed(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.commit(database, job)
    await jobs.cancel(database, job.id)

    transition = await jobs.stop(database, job)

    assert transition is not None
    assert transition.status is Status.CANCELLED
    assert (await rows.job(database, job.id))["done"] == 10
    assert [attempt["outcome"] for attempt in await rows.attempts(database, job.id)] == ["cancelled"]
    await invariants.all_hold(database, predict=jobs.prediction)


# Cancel


async def test_a_cancelled_pending_job_never_runs(database: Database) -> None:
    job_id = await jobs.create(database)

    transition = await jobs.cancel(database, job_id)

    assert transition is not None
    assert transition.status is Status.CANCELLED
    assert await rows.event_types(database, job_id) == ["created", "cancelled"]
    assert await jobs.claim_all(database, await jobs.worker(database)) == []
    await invariants.all_hold(database)


async def test_the_cancel_of_a_running_job_is_asked_for_once(database: Database) -> None:
    job = await jobs.running(database)

    first = await jobs.cancel(database, job.id)
    second = await jobs.cancel(database, job.id)

    assert first is not None
    assert first.status is Status.RUNNING
    assert first.worker_id is not None
    assert second is None
    assert await rows.event_types(database, job.id) == ["created", "started", "cancel_requested"]
    await invariants.all_hold(database)


async def test_a_finished_job_is_not_cancelled(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.complete(database, job)

    assert await jobs.cancel(database, job.id) is None
    assert (await rows.job(database, job.id))["status"] == "completed"


async def test_a_job_never_completes_once_its_cancel_was_asked_for(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.cancel(database, job.id)

    transition = await jobs.complete(database, job)

    assert transition.status is Status.CANCELLED
    row = await rows.job(database, job.id)
    assert (row["status"], row["result"], row["done"]) == ("cancelled", None, 25)
    await invariants.all_hold(database, predict=jobs.prediction)


@pytest.mark.parametrize("leave", [jobs.fail, jobs.release])
async def test_a_job_whose_cancel_was_asked_for_does_not_wait_for_another_attempt(
    database: Database, leave: Callable[[Database, ClaimedJob], Awaitable[Any]]
) -> None:
    job = await jobs.running(database)
    await jobs.cancel(database, job.id)

    await leave(database, job)

    assert (await rows.job(database, job.id))["status"] == "cancelled"
    await invariants.all_hold(database)


# Rescue


async def test_the_jobs_of_a_silent_worker_go_on_elsewhere(database: Database) -> None:
    worker_id = await jobs.worker(database)
    await jobs.create(database)
    job = await jobs.claim(database, worker_id)
    await jobs.commit(database, job)
    await jobs.expire_lease(database, worker_id)

    [transition] = await jobs.rescue(database)

    assert (transition.job_id, transition.status, transition.is_due) == (job.id, Status.PENDING, True)
    assert (await rows.job(database, job.id))["failures"] == 1
    assert (await rows.event_types(database, job.id))[-1] == "rescued"
    assert (await jobs.claim(database)).next_batch == 1
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_worker_that_nobody_knows_counts_as_gone(database: Database) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, ids.new_id())

    assert [transition.job_id for transition in await jobs.rescue(database)] == [job.id]


async def test_a_worker_that_stopped_in_good_order_is_gone_at_once(database: Database) -> None:
    worker_id = await jobs.worker(database)
    await jobs.create(database)
    job = await jobs.claim(database, worker_id)
    async with database.connection() as connection:
        await workers.remove(connection, worker_id)

    assert [transition.job_id for transition in await jobs.rescue(database)] == [job.id]


async def test_the_jobs_of_a_living_worker_are_left_alone(database: Database) -> None:
    silent = await jobs.worker(database)
    for _ in range(2):
        await jobs.create(database)
    lost = await jobs.claim(database, silent)
    kept = await jobs.claim(database)
    await jobs.expire_lease(database, silent)

    rescued = await jobs.rescue(database)

    assert [transition.job_id for transition in rescued] == [lost.id]
    assert (await rows.job(database, kept.id))["status"] == "running"


async def test_a_job_that_loses_its_worker_each_time_fails_in_the_end(database: Database) -> None:
    job_id = await jobs.create(database, max_attempts=2)

    for _ in range(2):
        await jobs.claim(database, ids.new_id())
        await jobs.rescue(database)

    row = await rows.job(database, job_id)
    assert (row["status"], row["error"]["code"], row["error"]["attempt"]) == ("failed", "worker_lost", 2)
    await invariants.all_hold(database)


async def test_a_rescued_job_whose_cancel_was_asked_for_is_cancelled(database: Database) -> None:
    await jobs.create(database)
    job = await jobs.claim(database, ids.new_id())
    await jobs.cancel(database, job.id)

    [transition] = await jobs.rescue(database)

    assert transition.status is Status.CANCELLED
    await invariants.all_hold(database)


async def test_nobody_is_rescued_from_while_postgres_is_up_for_less_than_a_lease(database: Database) -> None:
    await jobs.create(database)
    worker_id = await jobs.worker(database)
    await jobs.claim(database, worker_id)
    await jobs.expire_lease(database, worker_id)
    await rows.execute(database, "UPDATE workers SET seen_at = now() - interval '1 year'")

    assert await jobs.rescue(database, lease=timedelta(days=200)) == []


async def test_the_wait_after_a_rescue_grows_with_the_failures(database: Database) -> None:
    await jobs.create(database, max_attempts=10)
    waits = []

    for _ in range(4):
        await jobs.claim(database, ids.new_id())
        async with database.connection() as connection:
            await transitions.rescue(
                UnitOfWork(connection), lease=jobs.LEASE, delays_seconds=[0.0, 1000.0, 2000.0], limit=10
            )
        waits.append(
            await rows.value(
                database,
                """SELECT extract(epoch FROM j.run_at - e.at)::float8 FROM jobs j
                JOIN job_events e ON e.job_id = j.id AND e.seq = j.last_seq""",
            )
        )
        await rows.execute(database, "UPDATE jobs SET run_at = now()")

    assert waits == [0, 1000, 2000, 2000]


# An explicit retry


async def test_a_failed_job_that_is_tried_again_goes_on_with_its_whole_budget(database: Database) -> None:
    job_id = await jobs.create(database, rows=25, max_attempts=1)
    first = await jobs.claim(database)
    await jobs.commit(database, first)
    await jobs.fail(database, first)

    transition = await jobs.retry(database, job_id)
    second = await jobs.claim(database)
    await jobs.fail(database, second)

    assert transition is not None
    assert (transition.status, transition.is_due) == (Status.PENDING, True)
    assert (second.attempt, second.next_batch, second.failures) == (2, 1, 0)
    assert (await rows.event_types(database, job_id))[-4:] == ["failed", "retried", "started", "failed"]
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_job_that_is_tried_from_its_start_has_nothing_left_of_what_it_did(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.advance(database, jobs.report(job, count=2, checkpoint=b"so far"))
    await jobs.cancel(database, job.id)
    await jobs.stop(database, job)

    await jobs.retry(database, job.id, from_start=True)
    again = await jobs.claim(database)

    assert (again.attempt, again.next_batch, again.done, again.checkpoint) == (2, 0, 0, None)
    assert await rows.batches(database, job.id) == []
    await jobs.complete(database, again)
    await invariants.all_hold(database, predict=jobs.prediction)


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.COMPLETED])
async def test_only_a_job_that_ended_badly_is_tried_again(database: Database, status: Status) -> None:
    job_id = await _job_that_is(database, status)

    assert await jobs.retry(database, job_id, from_start=True) is None
    assert (await rows.job(database, job_id))["status"] == status


# The stale-write matrix: whoever has lost an attempt writes into the void.

Takeover = Callable[[Database, ClaimedJob, UUID], Awaitable[None]]
Write = Callable[[Database, ClaimedJob], Awaitable[object]]


async def _is_rescued(database: Database, _job: ClaimedJob, worker_id: UUID) -> None:
    await jobs.expire_lease(database, worker_id)
    assert len(await jobs.rescue(database)) == 1


async def _is_claimed_again_by_another_worker(database: Database, job: ClaimedJob, worker_id: UUID) -> None:
    await _is_rescued(database, job, worker_id)
    assert (await jobs.claim(database)).attempt == 2


async def _is_claimed_again_by_the_same_worker(database: Database, job: ClaimedJob, worker_id: UUID) -> None:
    await _is_rescued(database, job, worker_id)
    assert (await jobs.claim(database, worker_id)).attempt == 2


async def _is_final(database: Database, job: ClaimedJob, _worker_id: UUID) -> None:
    await jobs.cancel(database, job.id)
    assert await jobs.stop(database, job) is not None


async def _is_tried_again_from_the_start(database: Database, job: ClaimedJob, worker_id: UUID) -> None:
    await _is_final(database, job, worker_id)
    await jobs.retry(database, job.id, from_start=True)
    again = await jobs.claim(database, worker_id)
    await jobs.commit(database, again)  # so that its cursor stands where the old attempt's did


async def _batch(database: Database, job: ClaimedJob) -> object:
    return await jobs.advance(database, jobs.report(job, first=1))


async def _settle_ok(database: Database, job: ClaimedJob) -> object:
    return await jobs.advance(database, jobs.report(job, first=1, count=2, is_final=True))


async def _settle_failed(database: Database, job: ClaimedJob) -> object:
    return await jobs.fail(database, job)


async def _release(database: Database, job: ClaimedJob) -> object:
    return await jobs.release(database, job)


async def _stop(database: Database, job: ClaimedJob) -> object:
    return await jobs.stop(database, job)


@pytest.mark.parametrize("write", [_batch, _settle_ok, _settle_failed, _release, _stop])
@pytest.mark.parametrize(
    "takeover",
    [
        _is_rescued,
        _is_claimed_again_by_another_worker,
        _is_claimed_again_by_the_same_worker,
        _is_final,
        _is_tried_again_from_the_start,
    ],
)
async def test_a_write_of_an_attempt_that_is_over_changes_nothing(
    database: Database, takeover: Takeover, write: Write
) -> None:
    worker_id = await jobs.worker(database)
    await jobs.create(database, rows=25)
    job = await jobs.claim(database, worker_id)
    await jobs.commit(database, job)
    await takeover(database, job, worker_id)
    before = await _everything(database)

    answer = await write(database, job)

    assert not answer
    assert await _everything(database) == before
    await invariants.all_hold(database, predict=jobs.prediction)


async def _everything(database: Database) -> list[list[asyncpg.Record]]:
    tables = ("jobs", "job_batches", "job_events", "job_attempts", "job_checkpoints", "job_payloads")
    return [await rows.fetch(database, f"SELECT * FROM {table}") for table in tables]


# Races


async def test_whoever_wins_the_race_for_a_job_it_ends_once(database: Database) -> None:
    """A hundred rounds of cancel, complete, claim, rescue, fail and release at the same moment."""
    chance = random.Random(2029)
    owner_id = await jobs.user(database)
    accepted = []
    for _ in range(100):
        job_id = await jobs.create(database, owner_id, rows=25, max_attempts=2)
        accepted.append(job_id)
        job = await jobs.claim(database, ids.new_id())  # nobody's, so that it may be rescued
        assert job.id == job_id
        racers: list[Callable[[], Awaitable[object]]] = [
            partial(jobs.cancel, database, job.id),
            partial(jobs.rescue, database),
            partial(_claim_and_complete, database),
            partial(jobs.advance, database, jobs.report(job, count=3, is_final=True)),
            partial(jobs.advance, database, jobs.report(job, count=1)),
            partial(jobs.fail, database, job),
            partial(jobs.release, database, job),
        ]
        runners = chance.sample(racers, k=chance.randint(2, len(racers)))
        await asyncio.gather(*(racer() for racer in runners))
        await jobs.rescue(database)
        await _claim_and_complete(database)

    await invariants.no_loss(database, accepted)
    await invariants.all_hold(database, predict=jobs.prediction)
    ends = await rows.fetch(database, "SELECT DISTINCT status FROM jobs")
    assert {row["status"] for row in ends} >= {"completed", "cancelled"}, "these races decided nothing"


async def _claim_and_complete(database: Database) -> None:
    for job in await jobs.claim_all(database, await jobs.worker(database)):
        report = jobs.report(job, count=3 - job.next_batch, is_final=True)
        await jobs.advance(database, report)


# What the database itself refuses

_SHAPE = """
UPDATE jobs SET status = $2,
    worker_id = CASE WHEN $2 = 'running' THEN gen_random_uuid() END,
    finished_at = CASE WHEN $2 IN ('completed', 'failed', 'cancelled') THEN now() END,
    error = CASE WHEN $2 = 'failed' THEN '{}'::jsonb END,
    done = CASE WHEN $2 = 'completed' THEN total ELSE done END
WHERE id = $1"""


async def _job_that_is(database: Database, status: Status) -> UUID:
    if status is Status.PENDING:
        return await jobs.create(database)
    if status is Status.CANCELLED:
        job_id = await jobs.create(database)
        await jobs.cancel(database, job_id)
        return job_id
    job = await jobs.running(database)
    if status is Status.COMPLETED:
        await jobs.complete(database, job)
    elif status is Status.FAILED:
        await jobs.fail(database, job, is_retryable=False)
    return job.id


@pytest.mark.parametrize("before", EVERY_STATE)
async def test_the_database_accepts_the_legal_moves_and_no_others(database: Database, before: Status) -> None:
    accepted = set()
    for after in EVERY_STATE:
        if after is before:
            continue
        job_id = await _job_that_is(database, before)
        if await _accepts(database, job_id, after):
            accepted.add((before, after))
        await rows.execute(database, "DELETE FROM jobs")

    assert accepted == {move for move in LEGAL_TRANSITIONS if move[0] is before}


async def _accepts(database: Database, job_id: UUID, after: Status) -> bool:
    try:
        await rows.execute(database, _SHAPE, job_id, after)
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "jobs_guard_moves":
            raise
        return False
    return True


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize(
    "change",
    [
        "result = '{}'",
        'error = \'{"code": "other"}\'',
        "last_seq = last_seq + 1",
        "params = '{}'",
        "owner_id = gen_random_uuid()",
    ],
)
async def test_a_job_that_has_ended_does_not_change(database: Database, status: Status, change: str) -> None:
    await _job_that_is(database, status)

    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await rows.execute(database, f"UPDATE jobs SET {change}")

    assert refused.value.constraint_name == "jobs_guard_final"


async def test_bookkeeping_goes_on_after_the_end(database: Database) -> None:
    await _job_that_is(database, Status.COMPLETED)

    await rows.execute(database, "UPDATE jobs SET pruned_at = now(), idempotency_key = NULL")


@pytest.mark.parametrize("counter", ["attempt", "next_batch", "last_seq"])
async def test_the_counters_of_a_job_never_fall(database: Database, counter: str) -> None:
    job = await jobs.running(database)
    await jobs.commit(database, job)

    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await rows.execute(database, f"UPDATE jobs SET {counter} = {counter} - 1")

    assert refused.value.constraint_name == "jobs_guard_counters"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'paused'", "jobs_guard_moves"),
        ("priority = 'urgent'", "ck_jobs_priority"),
        ("worker_id = NULL", "ck_jobs_running_has_worker"),
        ("finished_at = now()", "ck_jobs_final_has_end"),
        ("status = 'failed', worker_id = NULL, finished_at = now()", "ck_jobs_failed_has_error"),
        ("status = 'completed', worker_id = NULL, finished_at = now()", "ck_jobs_completed_is_whole"),
        ("done = total + 1", "ck_jobs_counts"),
        ("failures = -1", "ck_jobs_counts"),
        ("max_attempts = 0", "ck_jobs_counts"),
        ("soft_limit_seconds = 0", "ck_jobs_limits"),
        ("time_limit_seconds = soft_limit_seconds - 1", "ck_jobs_limits"),
        ("retention_seconds = 0", "ck_jobs_limits"),
    ],
)
async def test_the_database_refuses_a_job_that_makes_no_sense(
    database: Database, change: str, constraint: str
) -> None:
    await jobs.running(database)

    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await rows.execute(database, f"UPDATE jobs SET {change}")

    assert refused.value.constraint_name == constraint
