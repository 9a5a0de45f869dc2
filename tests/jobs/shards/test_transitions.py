"""Shards and their parents: created, rolled up, ended from outside, retried; what the database refuses."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs import transitions
from app.jobs.shards import tallies
from app.jobs.shards import transitions as shards
from app.jobs.states import Priority, Status
from app.jobs.transition_types import Batch, ClaimedJob, Report, TransitionResult
from app.jobs.unit_of_work import UnitOfWork
from tests.support import invariants, jobs, rows


async def statuses(database: Database, parent_id: UUID) -> list[str]:
    """The statuses of a parent's shards, in order."""
    return [shard["status"] for shard in await rows.shards(database, parent_id)]


async def claim_shards(database: Database, count: int, worker_id: UUID | None = None) -> list[ClaimedJob]:
    """Claim so many shards for one worker."""
    worker_id = worker_id or await jobs.worker(database)
    claimed = await jobs.claim_all(database, worker_id, limit=count)
    assert len(claimed) == count
    return claimed


async def run_all(database: Database, parent_id: UUID) -> None:
    """Claim and complete every shard that is due, then roll up."""
    for job in await jobs.claim_all(database, await jobs.worker(database)):
        await jobs.complete(database, job)
    await jobs.roll_up(database, parent_id)


# Creation


async def test_shards_are_jobs_for_ranges_of_rows(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3, rows_of_shard=20, rows=45, max_attempts=5)

    parent = await rows.job(database, parent_id)
    found = await rows.shards(database, parent_id)
    assert [(shard["first_row"], shard["total"]) for shard in found] == [(0, 20), (20, 20), (40, 5)]
    for shard in found:
        for column in ("owner_id", "kind", "queue", "priority", "params", "max_attempts", "run_at"):
            assert shard[column] == parent[column]
        assert await rows.event_types(database, shard["id"]) == ["created"]
    assert (parent["shards"], parent["max_failed_shards"], parent["status"]) == (3, 0, "pending")
    await invariants.all_hold(database)


async def test_later_shards_queue_as_if_submitted_later_within_the_head_start(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=4, priority=Priority.NORMAL)
    late = await jobs.sharded(database, shards=400, rows_of_shard=1, priority=Priority.NORMAL)
    low = await jobs.sharded(database, shards=4, priority=Priority.LOW)

    async def waits(parent_id: UUID) -> list[timedelta]:
        parent = await rows.job(database, parent_id)
        return [shard["sort_key"] - parent["sort_key"] for shard in await rows.shards(database, parent_id)]

    assert await waits(parent_id) == [timedelta(seconds=20 * shard) for shard in range(4)]
    assert max(await waits(late)) == timedelta(hours=1)
    assert set(await waits(low)) == {timedelta(0)}


async def test_a_parent_is_never_claimed(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)

    claimed = await jobs.claim_all(database, await jobs.worker(database), limit=10)

    assert sorted(job.first_row for job in claimed if job.first_row is not None) == [0, 20]
    assert parent_id not in {job.id for job in claimed}
    await invariants.all_hold(database)


async def test_shards_of_a_paused_queue_wait(database: Database) -> None:
    await jobs.sharded(database)
    await rows.execute(database, "INSERT INTO paused_queues (name, reason) VALUES ('default', 'tests')")

    assert await jobs.claim_all(database, await jobs.worker(database)) == []


async def test_a_shard_is_not_run_by_a_worker_that_does_not_know_its_rows(database: Database) -> None:
    await jobs.sharded(database)
    worker_id = await jobs.worker(database)
    await rows.execute(database, "UPDATE workers SET runs_shards = false")

    with pytest.raises(asyncpg.CheckViolationError, match="cannot run"):
        await jobs.claim_all(database, worker_id, limit=1)


# Roll-up


async def test_a_parent_begins_reports_and_completes_with_its_shards(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3, rows_of_shard=20)
    await jobs.roll_up(database, parent_id)
    assert (await rows.job(database, parent_id))["status"] == "pending"

    [first, second] = await claim_shards(database, 2)
    await jobs.roll_up(database, parent_id)
    await jobs.commit(database, second)
    await jobs.roll_up(database, parent_id)
    await jobs.complete(database, first)
    await jobs.advance(database, jobs.report(second, first=1, is_final=True))
    await jobs.roll_up(database, parent_id)
    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["done"], parent["step"]) == ("running", 40, "2 of 3 shards")
    await run_all(database, parent_id)

    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["done"], parent["attempt"]) == ("completed", 60, 1)
    assert parent["result"] == {"total": 60, "errors": 0}
    assert parent["started_at"] == min(
        [shard["started_at"] for shard in await rows.shards(database, parent_id)]
    )
    assert await rows.event_types(database, parent_id) == [
        *("created", "started", "progress", "progress", "completed")
    ]
    [end] = await rows.fetch(database, "SELECT * FROM job_ends")
    assert (end["job_id"], end["status"], end["code"]) == (parent_id, "completed", "")
    assert end["run_seconds"] > 0
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_the_differences_that_shards_found_are_in_the_result(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    drift = [{"column": "age", "kind": "missing", "value": 0.5, "message": "'age' is missing."}]
    for job in await claim_shards(database, 2):
        found = drift if job.first_row == 20 else []
        result = msgspec.json.encode({"total": 20, "errors": 0, "warnings": [], "drift": found})
        await jobs.advance(database, replace(jobs.report(job, count=2), result=result))

    await jobs.roll_up(database, parent_id)

    result = (await rows.job(database, parent_id))["result"]
    assert result["warnings"] == ["Rows 20-39: 'age' is missing."]
    assert [(one["first_row"], one["last_row"]) for one in result["drift"]] == [(20, 39)]


async def test_a_roll_up_without_news_writes_nothing(database: Database) -> None:
    parent_id = await jobs.sharded(database)
    [job] = await claim_shards(database, 1)
    await jobs.commit(database, job)
    assert len(await jobs.roll_up(database, parent_id)) == 2
    before = await rows.job(database, parent_id)

    assert await jobs.roll_up(database, parent_id) == ()
    assert await rows.job(database, parent_id) == before


async def test_the_end_of_a_shard_is_not_the_end_of_a_job(database: Database) -> None:
    """Statistics count the job once, and the attempts of its shards beside it."""
    parent_id = await jobs.sharded(database, shards=2)
    await run_all(database, parent_id)

    attempts = await rows.fetch(database, "SELECT job_status, outcome FROM job_attempts")

    assert {(attempt["job_status"], attempt["outcome"]) for attempt in attempts} == {("pending", "completed")}
    assert await rows.value(database, "SELECT count(*) FROM job_ends") == 1


async def test_results_of_shards_have_no_time_of_their_own_at_which_they_expire(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3)
    [done, failed] = await jobs.claim_all(database, await jobs.worker(database), limit=2)
    await jobs.complete(database, done)
    await jobs.fail(database, failed, is_retryable=False)
    await jobs.roll_up(database, parent_id)

    ended = "SELECT status FROM jobs WHERE parent_id = $1 AND finished_at IS NOT NULL ORDER BY status"
    assert [row["status"] for row in await rows.fetch(database, ended, parent_id)] == [
        "cancelled",
        "completed",
        "failed",
    ]
    expiring = "SELECT id FROM jobs WHERE expires_at IS NOT NULL"
    assert [row["id"] for row in await rows.fetch(database, expiring)] == [parent_id]


async def test_events_of_shards_are_in_no_log_of_the_owner(database: Database) -> None:
    owner_id = await jobs.user(database)
    parent_id = await jobs.sharded(database, owner_id, shards=2)
    await run_all(database, parent_id)

    logged = await rows.fetch(
        database, "SELECT DISTINCT job_id FROM job_events WHERE owner_id = $1", owner_id
    )

    assert [event["job_id"] for event in logged] == [parent_id]


async def test_two_roll_ups_at_once_begin_and_settle_once(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    await claim_shards(database, 2)

    await asyncio.gather(*(jobs.roll_up(database, parent_id) for _ in range(5)))

    assert await rows.event_types(database, parent_id) == ["created", "started"]
    await invariants.all_hold(database)


async def test_no_subscription_hears_of_a_shard(database: Database) -> None:
    owner_id = await jobs.user(database)
    await rows.execute(
        database,
        """INSERT INTO subscriptions (id, owner_id, name, channel, target, events, gather_seconds, status)
        VALUES (gen_random_uuid(), $1, 'All', 'webhook', '{}', ARRAY['job.started', 'job.completed'], 0,
            'active')""",
        owner_id,
    )
    parent_id = await jobs.sharded(database, owner_id, shards=2)
    await run_all(database, parent_id)

    told = await rows.fetch(database, "SELECT job_id, type FROM deliveries ORDER BY seq")

    assert [tuple(row) for row in told] == [(parent_id, "job.started"), (parent_id, "job.completed")]


# Decisions that another process has made void


async def test_a_begin_that_was_decided_before_another_one_changes_nothing(database: Database) -> None:
    begun = await jobs.sharded(database, shards=2)
    cancelled = await jobs.sharded(database, shards=2)
    async with database.connection() as connection:
        counted = await tallies.tally(connection, [begun, cancelled])
        await shards._begin(UnitOfWork(connection), counted[:1])  # between two steps
        await jobs.cancel(database, cancelled)
        before = await _everything(database)
        await shards._begin(UnitOfWork(connection), counted)

    assert await _everything(database) == before


async def test_an_end_that_was_decided_before_a_cancel_or_a_shard_changes_nothing(
    database: Database,
) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    for job in await claim_shards(database, 2):
        await jobs.commit(database, job)
    await jobs.roll_up(database, parent_id)
    async with database.connection() as connection:
        [open_still] = await tallies.tally(connection, [parent_id])
        whole = replace(open_still, open=0, completed=2, done=40)
        failed = replace(open_still, open=0, failed=1)
        for early in (whole, failed):
            await shards._settle(UnitOfWork(connection), [early])  # a shard is open
        assert (await rows.job(database, parent_id))["status"] == "running"
        for shard in await rows.shards(database, parent_id):
            claimed = shard["id"], shard["attempt"]
            report = Report(*claimed, 1, (Batch(10, 10, jobs.output(shard["first_row"] + 10, 10), "Last"),))
            await jobs.advance(database, replace(report, result=b"{}"))
        await jobs.cancel(database, parent_id)
        await shards._settle(UnitOfWork(connection), [whole])  # the cancel came before

    assert (await rows.job(database, parent_id))["status"] == "running"
    await jobs.roll_up(database, parent_id)
    assert (await rows.job(database, parent_id))["status"] == "cancelled"
    await invariants.all_hold(database, predict=jobs.prediction)


# Failure


async def test_a_failed_shard_beyond_the_limit_ends_the_others(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=4, rows_of_shard=20)
    [first, second] = await claim_shards(database, 2)
    await jobs.commit(database, first)
    await jobs.commit(database, second)
    await jobs.fail(database, second, is_retryable=False)

    changed = await jobs.roll_up(database, parent_id)

    assert await statuses(database, parent_id) == ["cancelled", "failed", "cancelled", "cancelled"]
    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["done"]) == ("failed", 20)
    assert parent["error"] == {
        "code": "shards_failed",
        "message": "1 of 4 shards failed. First: rows 20-39: It went wrong.",
        "retryable": True,
        "cause": "boom",
        "missing": [[10, 19], [30, 79]],
        "attempt": 1,
    }
    # The worker of the running shard is told to look.
    [lost] = [result for result in changed if result.job_id == first.id]
    assert lost.worker_id is not None
    [attempt] = await rows.attempts(database, first.id)
    assert (attempt["outcome"], attempt["rows"]) == ("cancelled", 10)
    assert await jobs.advance(database, jobs.report(first, first=1)) == {}
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_failed_shards_within_the_limit_leave_the_others_to_finish(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3, max_failed=1)
    [first] = await claim_shards(database, 1)
    await jobs.fail(database, first, is_retryable=False)

    await jobs.roll_up(database, parent_id)
    assert await statuses(database, parent_id) == ["failed", "pending", "pending"]
    await run_all(database, parent_id)

    assert await statuses(database, parent_id) == ["failed", "completed", "completed"]
    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["error"]["missing"]) == ("failed", [[0, 19]])
    await invariants.all_hold(database)


async def test_row_errors_are_counted_over_all_shards(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3, max_row_errors=3)
    claimed = await claim_shards(database, 2)
    for job in claimed:
        report = jobs.report(job)
        bad = b'{"error": {"code": "bad", "message": "It is bad."}}\n' * 2
        [batch] = report.batches
        output = bad + b"".join((batch.output or b"").splitlines(keepends=True)[2:])
        await jobs.advance(
            database,
            jobs.replaced(report, output=output, errors=2),
        )

    await jobs.roll_up(database, parent_id)

    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["error"]["code"]) == ("failed", "too_many_row_errors")
    assert set(await statuses(database, parent_id)) == {"cancelled"}
    await invariants.all_hold(database)


async def test_a_limit_of_row_errors_that_no_bigint_holds_limits_nothing(database: Database) -> None:
    """And it does not stop the roll-up of the other parents, which the same statement counts."""
    parent_ids = [
        await jobs.sharded(database, shards=2, max_row_errors=10**30),
        await jobs.sharded(database, shards=2),
    ]
    for job in await claim_shards(database, 4):
        await jobs.complete(database, job)

    async with database.transaction() as connection:
        unit = UnitOfWork(connection)
        await shards.roll_up(unit, await shards.lock_next(unit, shards.FIRST, limit=10))

    assert [(await rows.job(database, each))["status"] for each in parent_ids] == ["completed"] * 2
    await invariants.all_hold(database)


# Cancel


async def test_a_cancel_marks_the_parent_and_the_roll_up_ends_pending_and_running_shards(
    database: Database,
) -> None:
    parent_id = await jobs.sharded(database, shards=3)
    [running] = await claim_shards(database, 1)
    await jobs.commit(database, running)

    cancelled = await jobs.cancel(database, parent_id)
    assert cancelled is not None
    assert cancelled.status is Status.PENDING
    await jobs.roll_up(database, parent_id)

    assert await statuses(database, parent_id) == ["cancelled"] * 3
    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["done"], parent["attempt"]) == ("cancelled", 10, 0)
    assert await rows.event_types(database, parent_id) == ["created", "cancel_requested", "cancelled"]
    assert await jobs.advance(database, jobs.report(running, first=1, is_final=True)) == {}
    assert await jobs.cancel(database, parent_id) is None
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_shard_cannot_be_cancelled_or_retried_by_itself(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    [job] = await claim_shards(database, 1)
    await jobs.fail(database, job, is_retryable=False)
    [failed, pending] = await rows.shards(database, parent_id)

    assert await jobs.cancel(database, pending["id"]) is None
    assert await jobs.retry(database, failed["id"]) is None
    assert await statuses(database, parent_id) == ["failed", "pending"]


async def test_a_shard_that_is_being_written_is_left_to_the_next_roll_up(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    [first, second] = await claim_shards(database, 2)
    async with rows.transaction(database) as connection:
        unit = UnitOfWork(connection)
        await transitions.advance(unit, worker_id=ids.new_id(), reports=[jobs.report(second)])
        await jobs.cancel(database, parent_id)
        async with asyncio.timeout(30):
            await jobs.roll_up(database, parent_id)
        assert await statuses(database, parent_id) == ["cancelled", "running"]
        assert (await rows.job(database, parent_id))["status"] == "pending"

    await jobs.roll_up(database, parent_id)

    assert (await rows.job(database, parent_id))["status"] == "cancelled"
    assert first.id != second.id
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_after_a_cancel_that_came_before_the_last_shard_ended_the_parent_is_cancelled(
    database: Database,
) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    claimed = await claim_shards(database, 2)
    await jobs.roll_up(database, parent_id)
    await jobs.cancel(database, parent_id)
    for job in claimed:
        await jobs.complete(database, job)

    await jobs.roll_up(database, parent_id)

    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["done"], parent["result"]) == ("cancelled", 40, None)
    await invariants.all_hold(database)


# Retry


async def test_a_retry_reopens_what_did_not_complete(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3, max_attempts=1)
    [first, second] = await claim_shards(database, 2)
    await jobs.complete(database, first)
    await jobs.commit(database, second)
    await jobs.fail(database, second)
    await jobs.roll_up(database, parent_id)
    assert await statuses(database, parent_id) == ["completed", "failed", "cancelled"]
    completed_before = (await rows.shards(database, parent_id))[0]

    retried = await jobs.retry(database, parent_id)

    assert retried is not None
    assert (retried.shards, retried.is_due) == (3, True)
    found = await rows.shards(database, parent_id)
    assert [shard["status"] for shard in found] == ["completed", "pending", "pending"]
    assert found[0] == completed_before
    assert [(shard["failures"], shard["done"]) for shard in found[1:]] == [(0, 10), (0, 0)]
    await run_all(database, parent_id)
    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["attempt"], parent["done"]) == ("completed", 2, 60)
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_retried_job_begins_with_its_next_shard(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2, max_attempts=1)
    [first] = await claim_shards(database, 1)
    await jobs.fail(database, first)
    await jobs.roll_up(database, parent_id)
    await jobs.retry(database, parent_id)

    await jobs.roll_up(database, parent_id)
    assert (await rows.job(database, parent_id))["status"] == "pending"
    await claim_shards(database, 1)
    await jobs.roll_up(database, parent_id)

    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["attempt"]) == ("running", 2)
    assert parent["attempt_started_at"] >= parent["run_at"]


async def test_a_retry_from_the_start_computes_every_shard_again(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    [first, second] = await claim_shards(database, 2)
    await jobs.complete(database, first)
    await jobs.fail(database, second, is_retryable=False)
    await jobs.roll_up(database, parent_id)
    ids_before = [shard["id"] for shard in await rows.shards(database, parent_id)]

    await jobs.retry(database, parent_id, from_start=True)

    assert (await rows.job(database, parent_id))["done"] == 0
    found = await rows.shards(database, parent_id)
    assert [(shard["id"], shard["status"], shard["done"], shard["next_batch"]) for shard in found] == [
        (shard_id, "pending", 0, 0) for shard_id in ids_before
    ]
    assert await rows.fetch(database, "SELECT FROM job_batches") == []
    assert await jobs.advance(database, jobs.report(first, first=0)) == {}
    await run_all(database, parent_id)
    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["attempt"], parent["done"]) == ("completed", 2, 40)
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_retry_of_a_job_whose_shards_have_all_completed_ends_again(database: Database) -> None:
    """Too many rows failed over all shards: nothing is computed again, and the parent fails as before."""
    parent_id = await jobs.sharded(database, shards=2, max_row_errors=0)
    for job in await claim_shards(database, 2):
        report = jobs.report(job, count=2, is_final=True)
        bad = b'{"error": {"code": "bad", "message": "It is bad."}}\n'
        output = bad + b"".join((report.batches[0].output or b"").splitlines(keepends=True)[1:])
        await jobs.advance(database, jobs.replaced(report, output=output, errors=1))
    await jobs.roll_up(database, parent_id)
    assert await statuses(database, parent_id) == ["completed"] * 2

    await jobs.retry(database, parent_id)
    await jobs.roll_up(database, parent_id)

    parent = await rows.job(database, parent_id)
    assert (parent["status"], parent["attempt"]) == ("failed", 2)
    await invariants.all_hold(database)


# Rescue


async def test_a_rescue_takes_shards_and_never_their_parent(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    worker_id = await jobs.worker(database)
    [job] = await claim_shards(database, 1, worker_id)
    await jobs.commit(database, job)
    await jobs.roll_up(database, parent_id)
    await jobs.expire_lease(database, worker_id)

    rescued = await jobs.rescue(database)

    assert [result.job_id for result in rescued] == [job.id]
    assert (await rows.job(database, parent_id))["status"] == "running"
    await run_all(database, parent_id)
    assert (await rows.job(database, parent_id))["status"] == "completed"
    await invariants.all_hold(database, predict=jobs.prediction)


# Stale writes

Takeover = Callable[[Database, UUID, ClaimedJob, UUID], Awaitable[None]]


async def _is_cancelled(database: Database, parent_id: UUID, _job: ClaimedJob, _worker_id: UUID) -> None:
    await jobs.cancel(database, parent_id)
    await jobs.roll_up(database, parent_id)


async def _is_reopened(database: Database, parent_id: UUID, job: ClaimedJob, worker_id: UUID) -> None:
    await _is_cancelled(database, parent_id, job, worker_id)
    await jobs.retry(database, parent_id)


async def _is_claimed_again(database: Database, parent_id: UUID, job: ClaimedJob, worker_id: UUID) -> None:
    await _is_reopened(database, parent_id, job, worker_id)
    assert (await jobs.claim(database, worker_id)).id == job.id


async def _starts_over(database: Database, parent_id: UUID, job: ClaimedJob, worker_id: UUID) -> None:
    await _is_cancelled(database, parent_id, job, worker_id)
    await jobs.retry(database, parent_id, from_start=True)
    again = await jobs.claim(database, worker_id)
    await jobs.commit(database, again)  # so that its cursor stands where the old attempt's did


async def _ends_with_a_failed_one(
    database: Database, parent_id: UUID, _job: ClaimedJob, worker_id: UUID
) -> None:
    other = await jobs.claim(database, worker_id)
    await jobs.fail(database, other, is_retryable=False)
    await jobs.roll_up(database, parent_id)


@pytest.mark.parametrize(
    "write",
    [
        lambda database, job: jobs.advance(database, jobs.report(job, first=1)),
        lambda database, job: jobs.advance(database, jobs.report(job, first=1, is_final=True)),
        jobs.fail,
        jobs.release,
        jobs.stop,
    ],
    ids=["batch", "end", "fail", "release", "stop"],
)
@pytest.mark.parametrize(
    "takeover", [_is_cancelled, _is_reopened, _is_claimed_again, _starts_over, _ends_with_a_failed_one]
)
async def test_a_write_of_an_attempt_that_lost_its_shard_changes_nothing(
    database: Database, takeover: Takeover, write: Callable[[Database, ClaimedJob], Awaitable[object]]
) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    worker_id = await jobs.worker(database)
    [job] = await claim_shards(database, 1, worker_id)
    await jobs.commit(database, job)
    await takeover(database, parent_id, job, worker_id)
    before = await _everything(database)

    assert not await write(database, job)

    assert await _everything(database) == before
    await invariants.all_hold(database, predict=jobs.prediction)


async def _everything(database: Database) -> list[list[asyncpg.Record]]:
    tables = ("jobs", "job_batches", "job_events", "job_attempts", "job_checkpoints", "job_ends")
    return [await rows.fetch(database, f"SELECT * FROM {table}") for table in tables]


# Races


@pytest.mark.parametrize(
    "rounds",
    [60, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.huge, pytest.mark.timeout(1200)])],
)
async def test_a_cancel_that_races_the_last_shard_leaves_one_end(database: Database, rounds: int) -> None:
    chance = random.Random(2026)
    owner_id = await jobs.user(database)
    accepted = []
    for _ in range(rounds):
        parent_id = await jobs.sharded(database, owner_id, shards=2, rows_of_shard=10)
        accepted.append(parent_id)
        [first, last] = await claim_shards(database, 2, ids.new_id())
        await jobs.complete(database, first)
        racers: list[Callable[[], Awaitable[object]]] = [
            partial(jobs.cancel, database, parent_id),
            partial(jobs.advance, database, jobs.report(last, is_final=True)),
            partial(jobs.roll_up, database, parent_id),
            partial(jobs.roll_up, database, parent_id),
            partial(jobs.fail, database, last),
            partial(jobs.retry, database, parent_id),
        ]
        await asyncio.gather(*(racer() for racer in chance.sample(racers, k=chance.randint(3, len(racers)))))
        for job in await jobs.claim_all(database, await jobs.worker(database)):
            await jobs.complete(database, job)
        await jobs.rescue(database)
        for job in await jobs.claim_all(database, await jobs.worker(database)):
            await jobs.complete(database, job)
        await jobs.roll_up(database, parent_id)

    await invariants.no_loss(database, accepted)
    await invariants.all_hold(database, predict=jobs.prediction)
    ends = await rows.fetch(database, "SELECT DISTINCT status FROM jobs WHERE shards IS NOT NULL")
    assert {row["status"] for row in ends} >= {"completed", "cancelled"}, "these races decided nothing"


async def test_workers_that_commit_many_shards_and_a_cancel_never_deadlock(database: Database) -> None:
    """Four workers commit several shards of a parent in one statement, in any order, during a cancel."""
    chance = random.Random(7)
    for _ in range(5):
        parent_id = await jobs.sharded(database, shards=12, rows_of_shard=30)
        claimed = [await claim_shards(database, 3) for _ in range(4)]

        async def work(held: list[ClaimedJob]) -> dict[UUID, TransitionResult]:
            found: dict[UUID, TransitionResult] = {}
            for batch in range(3):
                order = chance.sample(held, k=len(held))
                found |= await jobs.advance(database, *(jobs.report(job, first=batch) for job in order))
            return found

        async def cancel(parent_id: UUID = parent_id) -> None:
            await jobs.cancel(database, parent_id)
            for _ in range(20):
                await jobs.roll_up(database, parent_id)

        await asyncio.gather(*(work(held) for held in claimed), cancel(), jobs.roll_up(database, parent_id))
        await jobs.roll_up(database, parent_id)
        assert (await rows.job(database, parent_id))["status"] == "cancelled"
    await invariants.all_hold(database, predict=jobs.prediction)


# What the database itself refuses


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE jobs SET first_row = first_row + 1 WHERE parent_id IS NOT NULL", "jobs_guard_plan"),
        ("UPDATE jobs SET shard_no = shard_no + 10 WHERE parent_id IS NOT NULL", "jobs_guard_plan"),
        ("UPDATE jobs SET shards = 7 WHERE shards IS NOT NULL", "jobs_guard_plan"),
        ("UPDATE jobs SET max_failed_shards = 7 WHERE shards IS NOT NULL", "jobs_guard_plan"),
        (
            "UPDATE jobs SET parent_id = NULL, shard_no = NULL, first_row = 0 WHERE parent_id IS NOT NULL",
            "jobs_guard_plan",
        ),
        (
            "UPDATE jobs SET worker_id = gen_random_uuid() WHERE shards IS NOT NULL",
            "ck_jobs_running_has_worker",
        ),
        (
            "UPDATE jobs SET status = 'cancelled', finished_at = now() WHERE shards IS NOT NULL",
            "jobs_guard_parent",
        ),
        ("UPDATE jobs SET group_id = gen_random_uuid() WHERE parent_id IS NOT NULL", "ck_jobs_shards"),
        ("UPDATE jobs SET idempotency_key = 'x' WHERE parent_id IS NOT NULL", "ck_jobs_shards"),
        ("UPDATE jobs SET total = NULL", "ck_jobs_shards"),
    ],
)
async def test_the_database_refuses_what_would_lose_rows(
    database: Database, change: str, constraint: str
) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    await claim_shards(database, 1)
    await jobs.roll_up(database, parent_id)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await rows.execute(database, change)

    assert refused.value.constraint_name == constraint


_SHARD = """
INSERT INTO jobs (id, parent_id, shard_no, first_row, total, owner_id, kind, queue, priority, sort_key,
    params, max_attempts, soft_limit_seconds, time_limit_seconds, retention_seconds, shards,
    max_failed_shards)
SELECT gen_random_uuid(), {parent_id}, {shard_no}, {first_row}, {total}, owner_id, kind, queue, priority,
    sort_key, params, max_attempts, 60, 60, 60, {shards}, {max_failed_shards}
FROM jobs WHERE shards IS NOT NULL"""


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({}, None),
        ({"shard_no": "0"}, "uq_jobs_shard_of_parent"),
        ({"shard_no": "NULL"}, "ck_jobs_shards"),
        ({"shard_no": "-1"}, "ck_jobs_shards"),
        ({"parent_id": "NULL"}, "ck_jobs_shards"),
        ({"parent_id": "NULL", "shard_no": "NULL"}, "ck_jobs_shards"),
        ({"first_row": "-1"}, "ck_jobs_shards"),
        ({"total": "NULL"}, "ck_jobs_shards"),
        ({"shards": "3", "max_failed_shards": "0"}, "ck_jobs_shards"),
        ({"max_failed_shards": "0"}, "ck_jobs_shards"),
        *(
            (
                {"parent_id": "NULL", "shard_no": "NULL", "first_row": "0"}
                | {"shards": shards, "max_failed_shards": failed, "total": total},
                constraint,
            )
            for shards, failed, total, constraint in (
                ("1", "0", "5", "ck_jobs_shards"),
                ("1001", "0", "5", "ck_jobs_shards"),
                ("2", "NULL", "5", "ck_jobs_shards"),
                ("2", "-1", "5", "ck_jobs_shards"),
                ("2", "0", "NULL", "ck_jobs_shards"),
                ("2", "0", "5", None),
                ("1000", "7", "5", None),
            )
        ),
    ],
    ids=str,
)
async def test_the_database_refuses_a_shard_or_a_parent_that_is_none(
    database: Database, changes: dict[str, str], constraint: str | None
) -> None:
    await jobs.sharded(database, shards=2)
    columns = {"parent_id": "id", "shard_no": "7", "first_row": "40", "total": "5"}
    statement = _SHARD.format(**{**columns, "shards": "NULL", "max_failed_shards": "NULL", **changes})

    if constraint is None:
        await rows.execute(database, statement)
        return
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await rows.execute(database, statement)
    assert refused.value.constraint_name == constraint


async def test_a_parent_cannot_complete_without_all_its_shards(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2, max_failed=1)
    [first, second] = await claim_shards(database, 2)
    await jobs.roll_up(database, parent_id)
    await jobs.complete(database, first)
    await jobs.fail(database, second, is_retryable=False)

    with pytest.raises(asyncpg.CheckViolationError, match="unless all its shards have"):
        await rows.execute(
            database,
            "UPDATE jobs SET status = 'completed', done = total, finished_at = now() WHERE id = $1",
            parent_id,
        )


async def test_only_shards_leave_completed_and_only_for_their_first_batch(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    await run_all(database, parent_id)
    again = "UPDATE jobs SET status = 'pending', finished_at = NULL, expires_at = NULL"

    for where in ("id = $1", "parent_id = $1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await rows.execute(database, f"{again} WHERE {where}", parent_id)
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.execute(database, f"{again}, next_batch = 0, done = 0 WHERE id = $1", parent_id)


async def test_open_parents_are_taken_in_turns(database: Database) -> None:
    created = [await jobs.sharded(database, shards=2) for _ in range(5)]
    async with database.transaction() as connection:
        unit = UnitOfWork(connection)

        first = await shards.lock_next(unit, shards.FIRST, limit=3)
        rest = await shards.lock_next(unit, first[-1], limit=3)

    assert [*first, *rest] == created
