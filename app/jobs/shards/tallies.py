"""Reads for parents: the count of their shards, and the slots for which a job is divided."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.rows import Row
from app.core.sql import Statement
from app.jobs.shards.decisions import FailedShard, ShardDrift, Tally
from app.jobs.states import Status

_IS_MISSING: Final = (
    "p.cancel_requested_at IS NULL AND s.status IN ('failed', 'cancelled') AND s.done < s.total"
)

# What have the shards of these parents done, and how many of them are open, completed and failed?
# Of the shards that have ended without completing: which rows are missing, unless the job is cancelled, and
# why did the first one fail?
# A request may allow more errors than a bigint holds; no more than all rows can have one.
_TALLY: Final = Statement(f"""
SELECT p.id, p.status, p.shards, p.total, p.max_failed_shards,
    least((p.params ->> 'max_row_errors')::numeric, p.total)::bigint AS max_row_errors,
    p.cancel_requested_at IS NOT NULL AS is_cancel_requested,
    sum(s.done)::bigint AS done, sum(s.errors)::bigint AS errors,
    count(*) FILTER (WHERE s.status IN ('pending', 'running')) AS open,
    count(*) FILTER (WHERE s.status = 'completed') AS completed,
    count(*) FILTER (WHERE s.status = 'failed') AS failed,
    min(s.attempt_started_at) FILTER (WHERE s.attempt_started_at >= p.run_at) AS began_at,
    (array_agg(s.error ORDER BY s.shard_no) FILTER (WHERE s.status = 'failed'))[1] AS first_error,
    min(s.first_row) FILTER (WHERE s.status = 'failed') AS first_failed_row,
    min(s.first_row + s.total - 1) FILTER (WHERE s.status = 'failed') AS last_failed_row,
    array_agg(s.first_row + s.done ORDER BY s.shard_no)
        FILTER (WHERE {_IS_MISSING}) AS missing_from,
    array_agg(s.first_row + s.total - 1 ORDER BY s.shard_no)
        FILTER (WHERE {_IS_MISSING}) AS missing_to
FROM jobs p JOIN jobs s ON s.parent_id = p.id
WHERE p.id = ANY (:parent_ids)
GROUP BY p.id ORDER BY p.id""")

# Where do the rows of the shards of these parents differ from those of the training?
_DRIFT: Final = Statement("""
SELECT parent_id, first_row, first_row + total - 1 AS last_row, result -> 'drift' AS drift
FROM jobs WHERE parent_id = ANY (:parent_ids) AND result ? 'drift' ORDER BY parent_id, shard_no""")

# Is any parent open?
_IS_ANY_OPEN: Final = Statement("""
SELECT EXISTS (SELECT FROM jobs WHERE shards IS NOT NULL AND status IN ('pending', 'running'))""")

# How many slots with so many GPUs have the live workers that serve this queue, and can all run shards?
_SLOTS: Final = Statement("""
SELECT coalesce(sum(slots) FILTER (WHERE gpus >= :gpus::smallint), 0)::int AS slots,
    coalesce(bool_and(runs_shards), true) AS can_run_shards
FROM workers
WHERE seen_at > now() - :lease::interval AND stopping_at IS NULL AND :queue = ANY (queues)""")


@dataclass(frozen=True)
class Slots:
    """The slots of live workers, and whether all of these run shards: those of an older version cannot."""

    slots: int
    can_run_shards: bool


async def tally(connection: asyncpg.Connection, parent_ids: Sequence[UUID]) -> list[Tally]:
    """Count the shards of each of the parents."""
    return [_to_tally(row) for row in await _TALLY.fetch(connection, parent_ids=list(parent_ids))]


async def drift(connection: asyncpg.Connection, parent_ids: Sequence[UUID]) -> dict[UUID, list[ShardDrift]]:
    """Return where shards differ from the rows of the training, by parent, for those that have compared."""
    found: dict[UUID, list[ShardDrift]] = {}
    for row in await _DRIFT.fetch(connection, parent_ids=list(parent_ids)):
        shard = ShardDrift(row["first_row"], row["last_row"], row["drift"])
        found.setdefault(row["parent_id"], []).append(shard)
    return found


async def is_any_parent_open(connection: asyncpg.Connection) -> bool:
    """Whether any job with shards has not ended."""
    found: bool = await _IS_ANY_OPEN.fetchval(connection)
    return found


async def slots(connection: asyncpg.Connection, queue: str, gpus: int, lease: timedelta) -> Slots:
    """Return the slots that serve a queue and have so many GPUs, of workers seen within the lease."""
    row = await _SLOTS.fetchrow(connection, queue=queue, gpus=gpus, lease=lease)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Slots(row["slots"], row["can_run_shards"])


def _to_tally(row: Row) -> Tally:
    return Tally(
        id=row["id"],
        status=Status(row["status"]),
        shards=row["shards"],
        total=row["total"],
        max_failed_shards=row["max_failed_shards"],
        max_row_errors=row["max_row_errors"],
        is_cancel_requested=row["is_cancel_requested"],
        done=row["done"],
        errors=row["errors"],
        open=row["open"],
        completed=row["completed"],
        failed=row["failed"],
        began_at=row["began_at"],
        first_failed=FailedShard(row["first_failed_row"], row["last_failed_row"], row["first_error"])
        if row["failed"]
        else None,
        missing=list(zip(row["missing_from"] or (), row["missing_to"] or (), strict=True)),
    )
