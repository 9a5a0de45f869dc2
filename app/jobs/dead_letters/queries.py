"""Reads of dead letters."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import to_page
from app.core.rows import Row
from app.core.sql import ScopedStatement, Statement
from app.jobs.dead_letters.filters import ANY, LetterFilter
from app.jobs.inputs import HAS_ITS_INPUTS
from app.jobs.job import Job
from app.jobs.model_name import MODEL_NAME, MODEL_REFERENCE
from app.jobs.names import names
from app.jobs.states import Priority

MAX_SUMMARIZED: Final = 10_000
"""The summary counts this many of the newest dead letters."""

MAX_GROUPS: Final = 200

MAX_SCANNED: Final = 5_000
"""Dead letters that a page looks at."""

_LETTERS: Final = "j.status = 'failed' AND j.dismissed_at IS NULL AND j.parent_id IS NULL"

_RETRYABLE: Final = f"(j.pruned_at IS NULL AND {HAS_ITS_INPUTS})"

_MATCHES: Final = f"""(:code::text IS NULL OR j.error ->> 'code' = :code)
    AND (:kind::text IS NULL OR j.kind = :kind)
    AND (:queue::text IS NULL OR j.queue = :queue)
    AND (:failed_before::timestamptz IS NULL OR j.finished_at < :failed_before)
    AND CASE
        WHEN :model::text IS NULL THEN true
        WHEN :model = '' THEN {MODEL_REFERENCE} IS NULL
        ELSE :model IN ({MODEL_REFERENCE}, {MODEL_NAME})
    END"""


# Which of the next dead letters before this one match?
# Only so many are looked at: no index has what the filters are about, and the errors are read one by one.
_PAGE: Final = ScopedStatement.of(
    lambda owned: paging.bounded(
        f"""SELECT j.*, {names("j")} FROM (
            SELECT j.id FROM jobs j WHERE {owned} {_LETTERS} AND (:before::uuid IS NULL OR j.id < :before)
            ORDER BY j.id DESC LIMIT :scanned) next
        JOIN jobs j ON j.id = next.id
        WHERE {_MATCHES} ORDER BY next.id DESC LIMIT :limit""",
        size="octet_length(params::text) + octet_length(metadata::text) + octet_length(error::text)",
        order="id DESC",
    ),
    column="j.owner_id",
)

# Which is the last of the dead letters that a page has looked at, if more may follow?
_LAST_SCANNED: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT j.id FROM jobs j WHERE {owned} {_LETTERS} AND (:before::uuid IS NULL OR j.id < :before)
ORDER BY j.id DESC OFFSET :scanned - 1 LIMIT 1"""
    ),
    column="j.owner_id",
)

# Which of these jobs, or of all after this one that the filter selects, are dead letters, and may they be
# retried?
_SELECTED: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT j.id, j.owner_id, j.priority FROM jobs j
WHERE {owned} {_LETTERS}
    AND (:job_ids::uuid[] IS NULL OR j.id = ANY (:job_ids))
    AND (:after::uuid IS NULL OR j.id > :after)
    AND (NOT :only_retryable OR {_RETRYABLE})
    AND {_MATCHES}
ORDER BY j.id LIMIT :limit"""
    ),
    column="j.owner_id",
)

# How many dead letters are there, counted up to a limit?
_COUNT: Final = ScopedStatement.of(
    lambda owned: f"SELECT count(*) FROM (SELECT FROM jobs j WHERE {owned} {_LETTERS} LIMIT :limit) counted",
    column="j.owner_id",
)

# How many dead letters does each of these owners have, counted up to a limit?
_COUNTS_OF_OWNERS: Final = Statement(f"""
SELECT o.id AS owner_id, (
    SELECT count(*) FROM (
        SELECT FROM jobs j WHERE j.owner_id = o.id AND {_LETTERS} LIMIT :limit) counted) AS letters
FROM unnest(:owner_ids::uuid[]) o (id)""")

# How many dead letters does a filter select, counted up to a limit, and how many of them may be retried?
_MATCHED: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT count(*) AS letters, count(*) FILTER (WHERE is_retryable) AS retryable
FROM (
    SELECT {_RETRYABLE} AS is_retryable FROM jobs j WHERE {owned} {_LETTERS} AND {_MATCHES} LIMIT :limit
) counted"""
    ),
    column="j.owner_id",
)

# Which errors, kinds and models do the newest dead letters have in common?
_SUMMARY: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT code, kind, model, count(*) AS count, max(finished_at) AS newest_at
FROM (
    SELECT j.error ->> 'code' AS code, j.kind, {MODEL_REFERENCE} AS model, j.finished_at
    FROM jobs j WHERE {owned} {_LETTERS} AND {_MATCHES}
    ORDER BY j.id DESC LIMIT {MAX_SUMMARIZED}
) dead
GROUP BY code, kind, model ORDER BY count DESC, newest_at DESC, code, kind, model LIMIT {MAX_GROUPS}"""
    ),
    column="j.owner_id",
)


@dataclass(frozen=True)
class DeadLetter:
    """A job that failed for good and was neither retried nor dismissed."""

    job_id: UUID
    owner_id: UUID
    priority: Priority


@dataclass(frozen=True)
class LetterPage:
    """A page of dead letters, and the one after which the next page begins; None at the end."""

    items: tuple[Job, ...]
    next_before: UUID | None


@dataclass(frozen=True)
class LetterGroup:
    """Dead letters with the same error code, kind and model."""

    code: str
    kind: str
    model: str | None
    count: int
    newest_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the summary."""
        return cls(row["code"], row["kind"], row["model"], row["count"], row["newest_at"])


@dataclass(frozen=True)
class LetterCount:
    """How many dead letters there are, and how many of them can be retried."""

    letters: int
    retryable: int


async def page(
    connection: asyncpg.Connection,
    owner_id: UUID | None,
    wanted: LetterFilter = ANY,
    *,
    before: UUID | None,
    limit: int,
    max_scanned: int = MAX_SCANNED,
) -> LetterPage:
    """Return a page of an owner's dead letters, None: of all, newest first, starting after `before`.

    It may have few or none though there is a next one: it looks at `max_scanned` of them.
    """
    rows = await _PAGE.fetch(
        connection, owner_id, before=before, limit=limit + 1, scanned=max_scanned, **asdict(wanted)
    )
    found = to_page(rows, limit, Job.from_row)
    if found.has_next:
        return LetterPage(found.items, found.items[-1].id)
    last = await _LAST_SCANNED.fetch(connection, owner_id, before=before, scanned=max_scanned)
    return LetterPage(found.items, last[0]["id"] if last else None)


async def count(connection: asyncpg.Connection, owner_id: UUID | None, *, limit: int) -> int:
    """Return how many dead letters an owner has, None: all users have, at most `limit`."""
    ((found,),) = await _COUNT.fetch(connection, owner_id, limit=limit)
    return int(found)


async def counts_of_owners(
    connection: asyncpg.Connection, owner_ids: Sequence[UUID], *, limit: int
) -> dict[UUID, int]:
    """Return how many dead letters each of these owners has, at most `limit`."""
    rows = await _COUNTS_OF_OWNERS.fetch(connection, owner_ids=list(owner_ids), limit=limit)
    return {row["owner_id"]: row["letters"] for row in rows}


async def matched(
    connection: asyncpg.Connection, owner_id: UUID | None, wanted: LetterFilter, *, limit: int
) -> LetterCount:
    """Return how many dead letters of an owner, None: of all, a filter selects, at most `limit`."""
    (row,) = await _MATCHED.fetch(connection, owner_id, limit=limit, **asdict(wanted))
    return LetterCount(row["letters"], row["retryable"])


async def summary(
    connection: asyncpg.Connection, owner_id: UUID | None, wanted: LetterFilter = ANY
) -> list[LetterGroup]:
    """Return the newest dead letters of an owner, None: of all, by error code, kind and model."""
    rows = await _SUMMARY.fetch(connection, owner_id, **asdict(wanted))
    return [LetterGroup.from_row(row) for row in rows]


async def dead_letters(
    connection: asyncpg.Connection,
    owner_id: UUID | None,
    job_ids: Sequence[UUID] | None,
    limit: int,
    *,
    wanted: LetterFilter = ANY,
    after: UUID | None = None,
    only_retryable: bool = False,
) -> list[DeadLetter]:
    """Return those of the given jobs, or of all, that are dead letters of this owner, None: of any.

    The oldest come first, starting after `after`. `only_retryable` leaves out those whose rows were pruned
    or whose input was deleted.
    """
    rows = await _SELECTED.fetch(
        connection,
        owner_id,
        job_ids=None if job_ids is None else list(job_ids),
        after=after,
        limit=limit,
        only_retryable=only_retryable,
        **asdict(wanted),
    )
    return [DeadLetter(row["id"], row["owner_id"], Priority(row["priority"])) for row in rows]
