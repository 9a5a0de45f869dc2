"""Reads of schedules and their firings. Nothing here changes anything."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import Page, to_page
from app.core.rows import Row
from app.core.sql import Statement
from app.jobs.states import Status
from app.schedules.states import FiringOutcome, ScheduleStatus
from app.schedules.values import Firing, ScheduleRow

RECENT_JOBS: Final = 20
MAX_ACTIVE_JOBS: Final = 100
"""The ids of at most so many active jobs are shown."""

MAX_SUMMARIES: Final = 10_000

JOBS_LOOKED_AT: Final = 1000
"""Failures in a row are counted among the newest jobs: of a schedule that replaces its jobs, most are
cancelled."""

# Which schedule has this id, if this user may see it?
_BY_ID: Final = Statement("""
SELECT * FROM schedules
WHERE id = :schedule_id AND (:owner_id::uuid IS NULL OR owner_id = :owner_id)""")

# Which schedule of this user has this name?
_BY_NAME: Final = Statement("SELECT * FROM schedules WHERE owner_id = :owner_id AND name = :name")

# Which schedule did this user create with this idempotency key?
_BY_KEY: Final = Statement("SELECT * FROM schedules WHERE owner_id = :owner_id AND idempotency_key = :key")

# How many schedules does this user have?
_COUNT: Final = Statement("SELECT count(*) FROM schedules WHERE owner_id = :owner_id")

_RECENT: Final = f"""ARRAY(SELECT j.status FROM jobs j WHERE j.schedule_id = s.id
    ORDER BY j.id DESC LIMIT {RECENT_JOBS}) AS recent"""


def _page(whose: str) -> Statement:
    return Statement(
        paging.bounded(
            f"""SELECT s.*, {_RECENT} FROM schedules s
            WHERE {whose} (:before::uuid IS NULL OR s.id < :before)
                AND (:status::text IS NULL OR s.status = :status)
                AND (:group_name::text IS NULL OR s.group_name = :group_name)
                AND (:kind::text IS NULL OR s.kind = :kind)
            ORDER BY s.id DESC LIMIT :limit""",
            size="octet_length(job::text)",
            order="id DESC",
        )
    )


# Which schedules has this user, newest first, from before this one, with the statuses of their last jobs?
_PAGE_OF_OWNER: Final = _page("s.owner_id = :owner_id AND")

# Which schedules have all users, newest first, from before this one, with the statuses of their last jobs?
_PAGE_OF_ALL: Final = _page("")

# Which jobs of this schedule are active, what became of its last tick, and how did its last jobs end?
_DETAILS: Final = Statement(f"""
SELECT
    ARRAY(SELECT j.id FROM jobs j WHERE j.schedule_id = :schedule_id AND j.status IN ('pending', 'running')
        ORDER BY j.id LIMIT {MAX_ACTIVE_JOBS}) AS active_job_ids,
    ARRAY(SELECT newest.status FROM (
        SELECT j.id, j.status FROM jobs j WHERE j.schedule_id = :schedule_id
        ORDER BY j.id DESC LIMIT {JOBS_LOOKED_AT}) newest
        WHERE newest.status IN ('completed', 'failed') ORDER BY newest.id DESC) AS ended""")

# Which firings has this schedule, newest first, from before this instant?
_FIRINGS: Final = Statement("""
SELECT * FROM schedule_firings
WHERE schedule_id = :schedule_id AND (:before::timestamptz IS NULL OR fire_at < :before)
    AND (:outcome::text IS NULL OR outcome = :outcome)
ORDER BY fire_at DESC LIMIT :limit""")

# Is a job of this schedule pending or running?
_IS_BUSY: Final = Statement("""
SELECT EXISTS (SELECT FROM jobs WHERE schedule_id = :schedule_id AND status IN ('pending', 'running'))""")

# Which jobs of this schedule are pending or running?
_ACTIVE_JOBS: Final = Statement("""
SELECT id FROM jobs WHERE schedule_id = :schedule_id AND status IN ('pending', 'running')
    AND (:after::uuid IS NULL OR id > :after)
ORDER BY id LIMIT :limit""")

# Which groups of schedules has this user?
_GROUPS: Final = Statement("""
SELECT group_name, count(*) AS schedules, count(*) FILTER (WHERE status = 'active') AS active,
    min(next_fire_at) AS next_fire_at
FROM schedules WHERE owner_id = :owner_id AND group_name IS NOT NULL
GROUP BY group_name ORDER BY group_name""")

# Which schedules are in this group of this user?
_OF_GROUP: Final = Statement("""
SELECT id FROM schedules WHERE owner_id = :owner_id AND group_name = :group_name ORDER BY id""")

# Which schedules has this user, in this group if one is given, without their templates?
_SUMMARIES: Final = Statement("""
SELECT id, name, kind, group_name, status, next_fire_at, last_fire_at, fired FROM schedules
WHERE owner_id = :owner_id AND (:group_name::text IS NULL OR group_name = :group_name)
ORDER BY id LIMIT :limit""")

# How many schedules has this user, how many are active and paused, and how often did they fire?
_TOTALS: Final = Statement("""
SELECT count(*) AS schedules, count(*) FILTER (WHERE status = 'active') AS active,
    count(*) FILTER (WHERE status = 'paused') AS paused, coalesce(sum(fired), 0)::bigint AS fired
FROM schedules WHERE owner_id = :owner_id""")


@dataclass(frozen=True)
class ScheduleFilter:
    """Which schedules to list; None means any."""

    status: ScheduleStatus | None = None
    group: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class ListedSchedule:
    """A schedule, and the statuses of its last jobs, the newest first."""

    schedule: ScheduleRow
    recent: tuple[Status, ...]

    @classmethod
    def from_row(cls, row: Row) -> "ListedSchedule":
        """Read a row of the list."""
        return cls(ScheduleRow.from_row(row), tuple(Status(status) for status in row["recent"]))


@dataclass(frozen=True)
class Activity:
    """The jobs of a schedule that are active, and how many failed in a row before its last success."""

    active_job_ids: tuple[UUID, ...]
    failures: int


@dataclass(frozen=True)
class ScheduleGroup:
    """Schedules with the same label."""

    group: str
    schedules: int
    active: int
    next_fire_at: datetime | None


@dataclass(frozen=True)
class ScheduleSummary:
    """A schedule without its template."""

    id: UUID
    name: str
    kind: str
    group_name: str | None
    status: ScheduleStatus
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    fired: int

    @classmethod
    def from_row(cls, row: Row) -> "ScheduleSummary":
        """Read a row of the query."""
        return cls(
            id=row["id"],
            name=row["name"],
            kind=row["kind"],
            group_name=row["group_name"],
            status=ScheduleStatus(row["status"]),
            next_fire_at=row["next_fire_at"],
            last_fire_at=row["last_fire_at"],
            fired=row["fired"],
        )

    @classmethod
    def of(cls, schedule: ScheduleRow) -> "ScheduleSummary":
        """Return the summary of a schedule."""
        return cls(
            id=schedule.id,
            name=schedule.name,
            kind=schedule.kind,
            group_name=schedule.group_name,
            status=schedule.status,
            next_fire_at=schedule.next_fire_at,
            last_fire_at=schedule.last_fire_at,
            fired=schedule.fired,
        )


@dataclass(frozen=True)
class Totals:
    """How many schedules a user has, and how many ticks created a job."""

    schedules: int
    active: int
    paused: int
    fired: int


async def schedule(
    connection: asyncpg.Connection, owner_id: UUID | None, schedule_id: UUID
) -> ScheduleRow | None:
    """Return a schedule of this owner, None: of any."""
    row = await _BY_ID.fetchrow(connection, owner_id=owner_id, schedule_id=schedule_id)
    return None if row is None else ScheduleRow.from_row(row)


async def schedule_by_name(connection: asyncpg.Connection, owner_id: UUID, name: str) -> ScheduleRow | None:
    """Return the schedule of an owner with this name."""
    row = await _BY_NAME.fetchrow(connection, owner_id=owner_id, name=name)
    return None if row is None else ScheduleRow.from_row(row)


async def schedule_by_key(connection: asyncpg.Connection, owner_id: UUID, key: str) -> ScheduleRow | None:
    """Return the schedule that an owner created with an idempotency key."""
    row = await _BY_KEY.fetchrow(connection, owner_id=owner_id, key=key)
    return None if row is None else ScheduleRow.from_row(row)


async def count(connection: asyncpg.Connection, owner_id: UUID) -> int:
    """Return how many schedules a user has."""
    found: int = await _COUNT.fetchval(connection, owner_id=owner_id)
    return found


async def page(
    connection: asyncpg.Connection,
    owner_id: UUID | None,
    wanted: ScheduleFilter,
    *,
    before: UUID | None,
    limit: int,
) -> Page[ListedSchedule]:
    """Return a page of an owner's schedules, None: of all, newest first, after the schedule `before`."""
    parameters = {
        "before": before,
        "status": wanted.status,
        "group_name": wanted.group,
        "kind": wanted.kind,
        "limit": limit + 1,
    }
    if owner_id is None:
        rows = await _PAGE_OF_ALL.fetch(connection, **parameters)
    else:
        rows = await _PAGE_OF_OWNER.fetch(connection, owner_id=owner_id, **parameters)
    return to_page(rows, limit, ListedSchedule.from_row)


async def activity(connection: asyncpg.Connection, schedule_id: UUID) -> Activity:
    """Return what the jobs of a schedule are doing."""
    row = await _DETAILS.fetchrow(connection, schedule_id=schedule_id)
    assert row is not None  # noqa: S101  # a row of arrays
    ended: list[str] = row["ended"]
    failures = ended.index(Status.COMPLETED) if Status.COMPLETED in ended else len(ended)
    return Activity(tuple(row["active_job_ids"]), failures)


async def firings(
    connection: asyncpg.Connection,
    schedule_id: UUID,
    *,
    outcome: FiringOutcome | None = None,
    before: datetime | None = None,
    limit: int,
) -> Page[Firing]:
    """Return a page of the firings of a schedule, newest first, starting after the one of `before`."""
    rows = await _FIRINGS.fetch(
        connection, schedule_id=schedule_id, outcome=outcome, before=before, limit=limit + 1
    )
    return Page(tuple(Firing.from_row(row) for row in rows[:limit]), has_next=len(rows) > limit)


async def is_busy(connection: asyncpg.Connection, schedule_id: UUID) -> bool:
    """Whether a job of a schedule is pending or running."""
    found: bool = await _IS_BUSY.fetchval(connection, schedule_id=schedule_id)
    return found


async def active_jobs(
    connection: asyncpg.Connection, schedule_id: UUID, *, after: UUID | None, limit: int
) -> list[UUID]:
    """Return the jobs of a schedule that are pending or running, at most `limit`, from after this one."""
    return [
        row["id"]
        for row in await _ACTIVE_JOBS.fetch(connection, schedule_id=schedule_id, after=after, limit=limit)
    ]


async def groups(connection: asyncpg.Connection, owner_id: UUID) -> list[ScheduleGroup]:
    """Return the groups of a user's schedules, by name."""
    return [
        ScheduleGroup(row["group_name"], row["schedules"], row["active"], row["next_fire_at"])
        for row in await _GROUPS.fetch(connection, owner_id=owner_id)
    ]


async def ids_of_group(connection: asyncpg.Connection, owner_id: UUID, group: str) -> list[UUID]:
    """Return the schedules in a group of a user."""
    return [row["id"] for row in await _OF_GROUP.fetch(connection, owner_id=owner_id, group_name=group)]


async def summaries(
    connection: asyncpg.Connection, owner_id: UUID, *, group: str | None
) -> list[ScheduleSummary]:
    """Return the schedules of a user, or those in a group, at most `MAX_SUMMARIES`, the oldest first."""
    rows = await _SUMMARIES.fetch(connection, owner_id=owner_id, group_name=group, limit=MAX_SUMMARIES)
    return [ScheduleSummary.from_row(row) for row in rows]


async def totals(connection: asyncpg.Connection, owner_id: UUID) -> Totals:
    """Return how many schedules a user has."""
    row = await _TOTALS.fetchrow(connection, owner_id=owner_id)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Totals(row["schedules"], row["active"], row["paused"], row["fired"])
