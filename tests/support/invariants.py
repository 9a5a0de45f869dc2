"""What must be true of every database, whatever has happened to the processes that wrote it.

Each function is one invariant and fails with the jobs that break it; `all_hold` checks everything that can be
checked at any moment. `no_loss` is for the end, when whatever was accepted has to have ended.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate, groupby
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.database import Database
from app.core.storage import Storage
from app.jobs.states import FINAL, EventType, Status
from tests.support import rows

Predict = Callable[[int], Any]

# Where the log says that a job stands after each event, told from where it stood before.
_STORY: Final[dict[tuple[Status | None, EventType], Status]] = {
    (None, EventType.CREATED): Status.PENDING,
    (Status.PENDING, EventType.STARTED): Status.RUNNING,
    (Status.PENDING, EventType.CANCELLED): Status.CANCELLED,
    (Status.RUNNING, EventType.PROGRESS): Status.RUNNING,
    (Status.RUNNING, EventType.CANCEL_REQUESTED): Status.RUNNING,
    (Status.RUNNING, EventType.RETRYING): Status.PENDING,
    (Status.RUNNING, EventType.RELEASED): Status.PENDING,
    (Status.RUNNING, EventType.RESCUED): Status.PENDING,
    (Status.RUNNING, EventType.COMPLETED): Status.COMPLETED,
    (Status.RUNNING, EventType.FAILED): Status.FAILED,
    (Status.RUNNING, EventType.CANCELLED): Status.CANCELLED,
    (Status.FAILED, EventType.RETRIED): Status.PENDING,
    (Status.CANCELLED, EventType.RETRIED): Status.PENDING,
}


async def all_hold(
    database: Database, *, predict: Predict | None = None, storage: Storage | None = None
) -> None:
    """Everything that has to be true at every moment. Where there are part files it needs the storage."""
    await exactly_once(database, predict=predict, storage=storage)
    await events_are_whole(database)
    await fence_held(database)
    await running_means_on_a_worker(database)
    await bytes_are_counted(database, storage=storage)


async def no_loss(database: Database, accepted: Iterable[UUID]) -> None:
    """Every job that was answered 202 is there, and has ended."""
    found = {row["id"]: row["status"] for row in await rows.fetch(database, "SELECT id, status FROM jobs")}
    lost = {job_id: found.get(job_id) for job_id in accepted if found.get(job_id) not in FINAL}
    assert not lost, f"accepted, but lost or not ended: {lost}"


async def exactly_once(
    database: Database, *, predict: Predict | None = None, storage: Storage | None = None
) -> None:
    """A completed job has all its batches, any other a prefix of them: each once, with the right content.

    As many rows are in error as the job says. Where the results have expired there is nothing to check.
    """
    for job in await rows.fetch(database, "SELECT * FROM jobs WHERE pruned_at IS NULL"):
        batches = await rows.batches(database, job["id"])
        sizes = [batch["row_count"] for batch in batches]
        assert [batch["index"] for batch in batches] == list(range(job["next_batch"])), job["id"]
        assert [batch["first_row"] for batch in batches] == [0, *accumulate(sizes)][: len(sizes)], job["id"]
        assert job["done"] == sum(sizes), job["id"]
        if job["status"] == Status.COMPLETED and job["total"] is not None:
            assert job["done"] == job["total"], job["id"]
        errors = 0
        for batch in batches:
            errors += _errors_in(batch, await _lines(batch, storage), predict)
        assert job["errors"] == errors, job["id"]


async def _lines(batch: asyncpg.Record, storage: Storage | None) -> list[dict[str, Any]]:
    output = batch["output"]
    if output is None:
        assert storage is not None, f"{batch['job_id']}: {batch['part_key']} is in storage; where is that?"
        output = await storage.get(batch["part_key"])
    return [msgspec.json.decode(line) for line in output.splitlines()]


def _errors_in(batch: asyncpg.Record, lines: list[dict[str, Any]], predict: Predict | None) -> int:
    assert len(lines) == batch["row_count"], batch["job_id"]
    assert all(("prediction" in line) != ("error" in line) for line in lines), batch["job_id"]
    if predict is not None:
        said = [line.get("prediction") for line in lines]
        first, end = batch["first_row"], batch["first_row"] + batch["row_count"]
        assert said == [predict(row) for row in range(first, end)], batch["job_id"]
    return sum("error" in line for line in lines)


async def events_are_whole(database: Database) -> None:
    """The log is 1 … last_seq without a gap, tells of legal moves only, and ends as the row says.

    Between two explicit retries progress never falls; the number of `started` is the number of attempts.
    """
    jobs = await rows.fetch(database, "SELECT * FROM jobs")
    log = await rows.fetch(database, "SELECT * FROM job_events ORDER BY job_id, seq")
    by_job = {job_id: list(events) for job_id, events in groupby(log, lambda event: event["job_id"])}
    for job in jobs:
        _assert_log(job, by_job[job["id"]])


def _assert_log(job: asyncpg.Record, events: list[asyncpg.Record]) -> None:
    types = [EventType(event["type"]) for event in events]
    assert [event["seq"] for event in events] == list(range(1, job["last_seq"] + 1)), job["id"]
    state: Status | None = None
    for happened in types:
        assert (state, happened) in _STORY, f"{job['id']}: {happened} while {state} in {types}"
        state = _STORY[state, happened]
    assert state == job["status"], job["id"]
    assert events[-1]["data"]["status"] == job["status"], job["id"]
    ends = [happened for happened in types if happened.is_final]
    assert len(ends) == types.count(EventType.RETRIED) + (job["status"] in FINAL), job["id"]
    started = [event["data"]["attempt"] for event in events if event["type"] == EventType.STARTED]
    assert started == list(range(1, job["attempt"] + 1)), job["id"]
    reached = 0.0
    for event in events:
        if event["type"] != EventType.RETRIED:
            assert event["data"]["progress"] >= reached, job["id"]
        reached = event["data"]["progress"]
    assert reached == job["progress"], job["id"]


async def fence_held(database: Database) -> None:
    """Nothing was written by an attempt that had ended.

    Seen from what is stored: batches come from attempts in order, each event between the start and the end
    of its own attempt, and each ended attempt has ended once.
    """
    for job in await rows.fetch(database, "SELECT * FROM jobs"):
        writers = [batch["attempt"] for batch in await rows.batches(database, job["id"])]
        assert writers == sorted(writers), job["id"]
        assert all(1 <= writer <= job["attempt"] for writer in writers), job["id"]
        log = [event["data"]["attempt"] for event in await rows.events(database, job["id"])]
        assert log == sorted(log), job["id"]
        ended = [attempt["attempt"] for attempt in await rows.attempts(database, job["id"])]
        is_running = job["status"] == Status.RUNNING
        assert ended == list(range(1, job["attempt"] + (not is_running))), job["id"]


async def running_means_on_a_worker(database: Database) -> None:
    """A job names a worker while it runs, and only then."""
    wrong = await rows.fetch(
        database, "SELECT id FROM jobs WHERE (status = 'running') <> (worker_id IS NOT NULL)"
    )
    assert not wrong, wrong


async def bytes_are_counted(database: Database, *, storage: Storage | None = None) -> None:
    """What is counted for each user is what is stored: in Postgres and, where it is given, in the storage."""
    for batch in await rows.fetch(database, "SELECT * FROM job_batches"):
        if batch["output"] is not None:
            assert batch["bytes"] == len(batch["output"]), batch["job_id"]
        elif storage is not None:
            assert batch["bytes"] == len(await storage.get(batch["part_key"])), batch["part_key"]
    wrong = await rows.fetch(database, _MISCOUNTED_JOBS)
    assert not wrong, wrong
    wrong = await rows.fetch(database, _MISCOUNTED_USERS)
    assert not wrong, wrong


_MISCOUNTED_JOBS: Final = """
SELECT * FROM (
    SELECT j.id, j.stored_bytes,
        coalesce((SELECT octet_length(p.rows) FROM job_payloads p WHERE p.job_id = j.id), 0)
        + coalesce((SELECT sum(b.bytes) FROM job_batches b WHERE b.job_id = j.id), 0)
        + coalesce((SELECT coalesce(octet_length(c.data), (c.file ->> 'bytes')::bigint)
            FROM job_checkpoints c WHERE c.job_id = j.id), 0) AS found
    FROM jobs j) counted
WHERE stored_bytes <> found"""

_MISCOUNTED_USERS: Final = """
WITH held AS (
    SELECT owner_id, held_bytes AS bytes FROM jobs
    UNION ALL SELECT owner_id, bytes + rows_bytes FROM datasets
    UNION ALL SELECT m.owner_id, v.bytes FROM model_versions v JOIN models m ON m.id = v.model_id
), stored AS (
    SELECT owner_id, sum(bytes) AS bytes FROM held GROUP BY owner_id
), counted AS (
    SELECT owner_id, sum(bytes) AS bytes FROM stored_bytes GROUP BY owner_id
)
SELECT owner_id, coalesce(s.bytes, 0) AS stored, coalesce(c.bytes, 0) AS counted
FROM stored s FULL JOIN counted c USING (owner_id) WHERE coalesce(s.bytes, 0) <> coalesce(c.bytes, 0)"""
