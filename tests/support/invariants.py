"""Invariants of the database that must hold whatever happened to the processes that wrote to it.

Each function asserts one invariant and names the jobs that violate it. `all_hold` asserts all that must hold
at any time; `no_loss` must hold once all work has ended.
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

# The job's status after each event, by its status before.
_TRANSITIONS: Final[dict[tuple[Status | None, EventType], Status]] = {
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

# A parent ends after its shards, also if it has not begun.
_TRANSITIONS_OF_PARENTS: Final[dict[tuple[Status | None, EventType], Status]] = {
    (Status.PENDING, EventType.CANCEL_REQUESTED): Status.PENDING
}

# A shard that has completed starts over with its parent.
_TRANSITIONS_OF_SHARDS: Final[dict[tuple[Status | None, EventType], Status]] = {
    (Status.COMPLETED, EventType.RETRIED): Status.PENDING
}


async def all_hold(
    database: Database, *, predict: Predict | None = None, storage: Storage | None = None
) -> None:
    """Assert everything that must hold at any time. Pass `storage` if there are part files."""
    await exactly_once(database, predict=predict, storage=storage)
    await event_logs_are_complete(database)
    await fence_held(database)
    await running_jobs_have_a_worker(database)
    await parents_follow_their_shards(database)
    await stored_bytes_are_counted(database, storage=storage)


async def no_loss(database: Database, accepted: Iterable[UUID]) -> None:
    """Every accepted job (202) exists and has ended."""
    found = {row["id"]: row["status"] for row in await rows.fetch(database, "SELECT id, status FROM jobs")}
    lost = {job_id: found.get(job_id) for job_id in accepted if found.get(job_id) not in FINAL}
    assert not lost, f"accepted jobs that are lost or have not ended: {lost}"


async def exactly_once(
    database: Database, *, predict: Predict | None = None, storage: Storage | None = None
) -> None:
    """A completed job has all its batches, any other job a prefix: each stored once, with correct content.

    The job's error count matches its rows. Skips jobs whose results have been pruned, and parents, whose rows
    are those of their shards.
    """
    for job in await rows.fetch(database, "SELECT * FROM jobs WHERE pruned_at IS NULL AND shards IS NULL"):
        batches = await rows.batches(database, job["id"])
        sizes = [batch["row_count"] for batch in batches]
        assert [batch["index"] for batch in batches] == list(range(job["next_batch"])), job["id"]
        assert [batch["first_row"] for batch in batches] == [0, *accumulate(sizes)][: len(sizes)], job["id"]
        assert job["done"] == sum(sizes), job["id"]
        if job["status"] == Status.COMPLETED and job["total"] is not None:
            assert job["done"] == job["total"], job["id"]
        errors = 0
        for batch in batches:
            lines = await _read_lines(batch, storage)
            errors += _count_errors(batch, lines, predict, job["first_row"])
        assert job["errors"] == errors, job["id"]


async def _read_lines(batch: asyncpg.Record, storage: Storage | None) -> list[dict[str, Any]]:
    output = batch["output"]
    if output is None:
        assert storage is not None, f"{batch['job_id']}: pass `storage` to read {batch['part_key']}"
        output = await storage.get(batch["part_key"])
    return [msgspec.json.decode(line) for line in output.splitlines()]


def _count_errors(
    batch: asyncpg.Record, lines: list[dict[str, Any]], predict: Predict | None, first_row: int
) -> int:
    assert len(lines) == batch["row_count"], batch["job_id"]
    assert all(("prediction" in line) != ("error" in line) for line in lines), batch["job_id"]
    if predict is not None:
        predictions = [line.get("prediction") for line in lines]
        first = first_row + batch["first_row"]
        expected = [predict(row) for row in range(first, first + batch["row_count"])]
        assert predictions == expected, batch["job_id"]
    return sum("error" in line for line in lines)


async def event_logs_are_complete(database: Database) -> None:
    """Each log is 1 … last_seq without gaps, has only legal transitions, and ends in the job's status.

    Progress never decreases between two explicit retries, and every attempt has one `started` event.
    """
    jobs = await rows.fetch(database, "SELECT * FROM jobs")
    log = await rows.fetch(database, "SELECT * FROM job_events ORDER BY job_id, seq")
    by_job = {job_id: list(events) for job_id, events in groupby(log, lambda event: event["job_id"])}
    for job in jobs:
        _assert_log(job, by_job[job["id"]])
        owners = {event["owner_id"] for event in by_job[job["id"]]}
        assert owners == {job["owner_id"] if job["parent_id"] is None else None}, job["id"]


def _assert_log(job: asyncpg.Record, events: list[asyncpg.Record]) -> None:
    types = [EventType(event["type"]) for event in events]
    assert [event["seq"] for event in events] == list(range(1, job["last_seq"] + 1)), job["id"]
    legal = dict(_TRANSITIONS)
    if job["shards"] is not None:
        legal |= _TRANSITIONS_OF_PARENTS
    if job["parent_id"] is not None:
        legal |= _TRANSITIONS_OF_SHARDS
    state: Status | None = None
    for event_type in types:
        assert (state, event_type) in legal, f"{job['id']}: {event_type} while {state} in {types}"
        state = legal[state, event_type]
    assert state == job["status"], job["id"]
    assert events[-1]["data"]["status"] == job["status"], job["id"]
    ends = [event_type for event_type in types if event_type.is_final]
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
    """No attempt has written anything after its end.

    Derived from the stored rows: attempt numbers never decrease over batches and events, and each ended
    attempt is recorded once.
    """
    for job in await rows.fetch(database, "SELECT * FROM jobs"):
        writers = [batch["attempt"] for batch in await rows.batches(database, job["id"])]
        assert writers == sorted(writers), job["id"]
        assert all(1 <= writer <= job["attempt"] for writer in writers), job["id"]
        log = [event["data"]["attempt"] for event in await rows.events(database, job["id"])]
        assert log == sorted(log), job["id"]
        ended = [attempt["attempt"] for attempt in await rows.attempts(database, job["id"])]
        if job["shards"] is not None:
            assert (writers, ended) == ([], []), job["id"]
            continue
        is_running = job["status"] == Status.RUNNING
        assert ended == list(range(1, job["attempt"] + (not is_running))), job["id"]


async def running_jobs_have_a_worker(database: Database) -> None:
    """A job has a worker if and only if it is running, except that a parent never has one."""
    wrong = await rows.fetch(
        database,
        "SELECT id FROM jobs WHERE (status = 'running' AND shards IS NULL) <> (worker_id IS NOT NULL)",
    )
    assert not wrong, wrong


async def parents_follow_their_shards(database: Database) -> None:
    """The shards of a parent cover its rows, and a parent says of them what is true.

    The ranges follow each other without a gap or an overlap. While the parent is open, it claims no more rows
    than the shards have done; when it has ended, no shard is open, and it has counted all rows and errors.
    """
    shards: dict[UUID, list[asyncpg.Record]] = {}
    found = await rows.fetch(
        database, "SELECT * FROM jobs WHERE parent_id IS NOT NULL ORDER BY parent_id, shard_no"
    )
    for shard in found:
        shards.setdefault(shard["parent_id"], []).append(shard)
    parents = await rows.fetch(database, "SELECT * FROM jobs WHERE shards IS NOT NULL")
    assert {parent["id"] for parent in parents} == shards.keys()
    for parent in parents:
        _assert_follows(parent, shards[parent["id"]])
    stored = "SELECT job_id FROM {} WHERE job_id = ANY ($1)"
    for table in ("job_batches", "job_payloads", "job_checkpoints", "job_attempts"):
        assert not await rows.fetch(database, stored.format(table), list(shards)), table


def _assert_follows(parent: asyncpg.Record, shards: list[asyncpg.Record]) -> None:
    assert [shard["shard_no"] for shard in shards] == list(range(parent["shards"])), parent["id"]
    ends = list(accumulate(shard["total"] for shard in shards))
    assert [shard["first_row"] for shard in shards] == [0, *ends[:-1]], parent["id"]
    assert ends[-1] == parent["total"], parent["id"]
    assert {shard["owner_id"] for shard in shards} == {parent["owner_id"]}, parent["id"]
    done = sum(shard["done"] for shard in shards)
    if parent["status"] not in FINAL:
        assert parent["done"] <= done, parent["id"]
        return
    assert all(shard["status"] in FINAL for shard in shards), parent["id"]
    assert parent["done"] == done, parent["id"]
    assert parent["errors"] == sum(shard["errors"] for shard in shards), parent["id"]
    if parent["status"] == Status.COMPLETED:
        assert {shard["status"] for shard in shards} == {Status.COMPLETED}, parent["id"]


async def stored_bytes_are_counted(database: Database, *, storage: Storage | None = None) -> None:
    """Each user's counted bytes equal the bytes stored in Postgres and, if given, in storage."""
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
