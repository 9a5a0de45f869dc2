"""Reads of groups."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import msgspec

from app.core.rows import Row
from app.core.sql import Statement
from app.jobs.params import TrialPart
from app.jobs.states import Status

MAX_METRICS_BYTES: Final = 4096

# How many jobs of this group have each status, and what is their progress? A group without jobs has one row.
_GROUP: Final = Statement("""
SELECT g.id, g.owner_id, g.created_at, g.search, j.status, count(j.id) AS jobs, sum(j.progress) AS progress
FROM job_groups g LEFT JOIN jobs j ON j.group_id = g.id
WHERE g.id = :group_id GROUP BY g.id, j.status""")

# Which jobs has this search, of which trials, with which params and metrics?
_TRIALS: Final = Statement(f"""
SELECT j.id, j.status, j.progress, j.params->'params' AS params, j.params->'part' AS part,
    coalesce(j.result->>'algorithm', j.params->>'algorithm') AS algorithm, j.result->>'model' AS model,
    j.error,
    CASE WHEN octet_length((j.result->'metrics')::text) <= {MAX_METRICS_BYTES} THEN j.result->'metrics'
        WHEN g.search->>'metric' IS NOT NULL AND j.result ? 'metrics' THEN jsonb_build_object(
            g.search->>'metric', j.result->'metrics'->(g.search->>'metric'))
    END AS metrics
FROM jobs j JOIN job_groups g ON g.id = j.group_id
WHERE j.group_id = :group_id ORDER BY j.id""")

# Which other jobs of a trial have completed, and what has each measured or registered?
_COMPLETED_PARTS: Final = Statement("""
SELECT j.id, (j.params #>> '{part,fold}')::int AS fold, j.result->'metrics' AS metrics,
    j.result->>'model' AS model, (j.result->>'model_id')::uuid AS version_id
FROM jobs j
WHERE j.group_id = :group_id AND (j.params #>> '{part,trial}')::int = :trial
    AND j.status = 'completed' AND j.id <> :job_id
ORDER BY j.id""")

# Which group did this owner create with this idempotency key?
_OF_KEY: Final = Statement("""
SELECT id, request_digest FROM job_groups WHERE owner_id = :owner_id AND idempotency_key = :key""")

# Which jobs are in this group, in the order of the request?
_JOB_IDS: Final = Statement("SELECT id FROM jobs WHERE group_id = :group_id ORDER BY id")


@dataclass(frozen=True)
class Group:
    """A group, how many of its jobs have each status, and the sum of their progress in percent.

    `search` is the state of the search, None for a group that is not a search.
    """

    id: UUID
    owner_id: UUID
    created_at: datetime
    search: dict[str, Any] | None
    statuses: dict[Status, int]
    progress: float


@dataclass(frozen=True)
class KeyedGroup:
    """A group that was created with an idempotency key, and the digest of its request."""

    id: UUID
    request_digest: bytes


@dataclass(frozen=True)
class TrialJob:
    """A job of a search: what it trains, and its metrics and model once it has completed.

    With folds, `part` says which job of which trial it is.
    """

    id: UUID
    status: Status
    progress: float
    algorithm: str
    params: dict[str, Any]
    metrics: dict[str, Any] | None
    model: str | None
    error: dict[str, Any] | None
    part: TrialPart | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(
            id=row["id"],
            status=Status(row["status"]),
            progress=row["progress"],
            algorithm=row["algorithm"],
            params=row["params"],
            metrics=row["metrics"],
            model=row["model"],
            error=row["error"],
            part=msgspec.convert(row["part"], TrialPart | None),
        )


@dataclass(frozen=True)
class CompletedPart:
    """A completed job of a trial with folds: the metrics of a fold, or the version that was registered."""

    job_id: UUID
    fold: int | None
    metrics: dict[str, Any]
    model: str | None
    version_id: UUID | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["id"], row["fold"], row["metrics"], row["model"], row["version_id"])


async def group(connection: asyncpg.Connection, group_id: UUID) -> Group | None:
    """Return a group with the current statuses of its jobs."""
    rows = await _GROUP.fetch(connection, group_id=group_id)
    if not rows:
        return None
    first = rows[0]
    return Group(
        id=first["id"],
        owner_id=first["owner_id"],
        created_at=first["created_at"],
        search=first["search"],
        statuses={Status(row["status"]): row["jobs"] for row in rows if row["status"] is not None},
        progress=sum(row["progress"] or 0.0 for row in rows),
    )


async def trials(connection: asyncpg.Connection, group_id: UUID) -> list[TrialJob]:
    """Return the jobs of a search, in the order of the request.

    If the metrics exceed MAX_METRICS_BYTES, only the one that the search optimises is included.
    """
    return [TrialJob.from_row(row) for row in await _TRIALS.fetch(connection, group_id=group_id)]


async def completed_parts(
    connection: asyncpg.Connection, group_id: UUID, trial: int, *, other_than: UUID
) -> list[CompletedPart]:
    """Return the completed jobs of a trial with folds, without one of its jobs."""
    rows = await _COMPLETED_PARTS.fetch(connection, group_id=group_id, trial=trial, job_id=other_than)
    return [CompletedPart.from_row(row) for row in rows]


async def group_by_key(connection: asyncpg.Connection, owner_id: UUID, key: str) -> KeyedGroup | None:
    """Return the group that an owner created with an idempotency key."""
    row = await _OF_KEY.fetchrow(connection, owner_id=owner_id, key=key)
    return None if row is None else KeyedGroup(row["id"], row["request_digest"])


async def job_ids(connection: asyncpg.Connection, group_id: UUID) -> list[UUID]:
    """Return the jobs of a group, in the order of the request."""
    return [row["id"] for row in await _JOB_IDS.fetch(connection, group_id=group_id)]
