"""Changes of schedules on request. The firing loop has its own statements, in `firing`.

Every change locks the row first, and so comes before or after a firing, never into it.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement
from app.schedules import rules
from app.schedules.definitions import Definition, Timing
from app.schedules.states import ScheduleStatus
from app.schedules.values import Reason, ScheduleRow

FIRINGS_AT_ONCE: Final = 10_000
"""How many firings one statement deletes: a schedule of each second has millions."""

_COLUMNS: Final = (
    "name",
    "group_name",
    "trigger",
    "timezone",
    "starts_at",
    "ends_at",
    "max_runs",
    "pause_after_failures",
    "misfire_grace_seconds",
    "catch_up",
    "catch_up_limit",
    "catch_up_window_seconds",
    "overlap",
    "queue_limit",
    "jitter_seconds",
    "kind",
    "job",
    "rule",
    "tz_version",
    "status",
    "reason",
    "next_fire_at",
)
_NAMES: Final = ", ".join(_COLUMNS)
_VALUES: Final = ", ".join(f":{name}" for name in _COLUMNS)
_CHANGES: Final = ", ".join(f"{name} = :{name}" for name in _COLUMNS)

# What time is it? A transaction that has waited for a lock began earlier.
_NOW: Final = Statement("SELECT clock_timestamp()")

# Create a schedule.
_ADD: Final = Statement(f"""
INSERT INTO schedules (id, owner_id, created_at, updated_at, idempotency_key, request_digest, {_NAMES})
VALUES (:schedule_id, :owner_id, :created_at, :created_at, :key, :digest, {_VALUES}) RETURNING *""")

# Lock a schedule against firings and other changes until the commit, and return it.
_LOCK: Final = Statement("SELECT * FROM schedules WHERE id = :schedule_id FOR UPDATE")

# Replace the definition of a schedule, and say where it stands now.
_REDEFINE: Final = Statement(f"""
UPDATE schedules SET {_CHANGES}, revision = revision + 1, updated_at = clock_timestamp(),
    resumed_at = CASE WHEN status <> 'active' AND :status = 'active' THEN clock_timestamp()
        ELSE resumed_at END
WHERE id = :schedule_id RETURNING *""")

# Pause a schedule: it has no next tick.
_PAUSE: Final = Statement("""
UPDATE schedules SET status = 'paused', reason = NULL, next_fire_at = NULL, updated_at = clock_timestamp()
WHERE id = :schedule_id RETURNING *""")

# Resume a schedule at its next tick. Earlier failures do not pause it again.
_RESUME: Final = Statement("""
UPDATE schedules SET status = 'active', reason = NULL, next_fire_at = :next_fire_at, rule = :rule,
    tz_version = :tz_version, resumed_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE id = :schedule_id RETURNING *""")

# Record that a job was created on request, unless the schedule has a firing of this instant.
_RECORD_MANUAL: Final = Statement("""
INSERT INTO schedule_firings (schedule_id, fire_at, outcome, job_id)
VALUES (:schedule_id, :fire_at, 'manual', :job_id) ON CONFLICT DO NOTHING RETURNING true""")

# Record that no job was created on request, and why, unless the schedule has a firing of this instant.
_RECORD_REFUSED: Final = Statement("""
INSERT INTO schedule_firings (schedule_id, fire_at, outcome, reason)
VALUES (:schedule_id, :fire_at, 'refused', :reason) ON CONFLICT DO NOTHING RETURNING true""")

# Delete the oldest firings of a schedule.
_DELETE_FIRINGS: Final = Statement("""
DELETE FROM schedule_firings WHERE schedule_id = :schedule_id AND fire_at IN (
    SELECT fire_at FROM schedule_firings WHERE schedule_id = :schedule_id ORDER BY fire_at LIMIT :limit)""")

# Delete a schedule with the firings that are left.
_DELETE: Final = Statement("DELETE FROM schedules WHERE id = :schedule_id RETURNING id")

# Which schedules does this user have?
_OF_OWNER: Final = Statement("SELECT id FROM schedules WHERE owner_id = :owner_id ORDER BY id LIMIT :limit")

# Delete the oldest firings that are older than this. Waiting ticks are kept.
_PRUNE_FIRINGS: Final = Statement("""
DELETE FROM schedule_firings WHERE (schedule_id, fire_at) IN (
    SELECT schedule_id, fire_at FROM schedule_firings
    WHERE at < now() - :age::interval AND outcome <> 'waiting' ORDER BY at LIMIT :limit)""")

# Release idempotency keys that are older than this.
_RELEASE_KEYS: Final = Statement("""
UPDATE schedules SET idempotency_key = NULL
WHERE idempotency_key IS NOT NULL AND created_at < now() - :age::interval""")


@dataclass(frozen=True)
class Standing:
    """Whether a schedule fires, and when next."""

    status: ScheduleStatus
    next_fire_at: datetime | None = None
    reason: Reason | None = None


async def now(connection: asyncpg.Connection) -> datetime:
    """Return the time by the database's clock, also if the transaction has waited for a lock."""
    found: datetime = await _NOW.fetchval(connection)
    return found


async def add(
    connection: asyncpg.Connection,
    schedule_id: UUID,
    owner_id: UUID,
    definition: Definition,
    timing: Timing,
    standing: Standing,
    *,
    created_at: datetime,
    key: str | None,
    digest: bytes | None,
) -> ScheduleRow:
    """Create a schedule. Its name and its key must be free: the caller has locked the owner and looked."""
    row = await _ADD.fetchrow(
        connection,
        schedule_id=schedule_id,
        owner_id=owner_id,
        created_at=created_at,
        key=key,
        digest=digest,
        **_parameters(definition, timing, standing),
    )
    return _only(row)


async def lock(connection: asyncpg.Connection, schedule_id: UUID) -> ScheduleRow | None:
    """Return a schedule, locked until the commit; None if it was deleted."""
    row = await _LOCK.fetchrow(connection, schedule_id=schedule_id)
    return None if row is None else ScheduleRow.from_row(row)


async def redefine(
    connection: asyncpg.Connection,
    schedule_id: UUID,
    definition: Definition,
    timing: Timing,
    standing: Standing,
) -> ScheduleRow:
    """Replace the definition of a schedule that the caller has locked, as its next revision."""
    row = await _REDEFINE.fetchrow(
        connection, schedule_id=schedule_id, **_parameters(definition, timing, standing)
    )
    return _only(row)


async def pause(connection: asyncpg.Connection, schedule_id: UUID) -> ScheduleRow:
    """Pause a schedule that the caller has locked."""
    return _only(await _PAUSE.fetchrow(connection, schedule_id=schedule_id))


async def resume(
    connection: asyncpg.Connection, schedule_id: UUID, timing: Timing, next_fire_at: datetime
) -> ScheduleRow:
    """Resume a schedule that the caller has locked."""
    row = await _RESUME.fetchrow(
        connection,
        schedule_id=schedule_id,
        next_fire_at=next_fire_at,
        rule=rules.encode(timing.rule),
        tz_version=timing.tz_version,
    )
    return _only(row)


async def record_manual(
    connection: asyncpg.Connection, schedule_id: UUID, fire_at: datetime, job_id: UUID
) -> bool:
    """Record a run on request. Return False if the schedule has a firing of this instant."""
    is_recorded = await _RECORD_MANUAL.fetchval(
        connection, schedule_id=schedule_id, fire_at=fire_at, job_id=job_id
    )
    return is_recorded is not None


async def record_refused(
    connection: asyncpg.Connection, schedule_id: UUID, fire_at: datetime, reason: Reason
) -> bool:
    """Record that a run on request created no job. False if the schedule has a firing of this instant."""
    is_recorded = await _RECORD_REFUSED.fetchval(
        connection, schedule_id=schedule_id, fire_at=fire_at, reason=reason
    )
    return is_recorded is not None


async def delete_firings(connection: asyncpg.Connection, schedule_id: UUID, *, limit: int) -> int:
    """Delete the oldest firings of a schedule, at most `limit`. Return how many there were."""
    status = await _DELETE_FIRINGS.execute(connection, schedule_id=schedule_id, limit=limit)
    return int(status.removeprefix("DELETE "))


async def delete(connection: asyncpg.Connection, schedule_id: UUID) -> bool:
    """Delete a schedule. Its jobs stay. Return False if it was deleted before."""
    return await _DELETE.fetchval(connection, schedule_id=schedule_id) is not None


async def delete_of_owner(connection: asyncpg.Connection, owner_id: UUID, *, limit: int) -> bool:
    """Delete schedules of a user, as many as have at most `limit` firings. Return whether all are gone."""
    left = limit
    for row in await _OF_OWNER.fetch(connection, owner_id=owner_id, limit=limit):
        left -= await delete_firings(connection, row["id"], limit=left)
        if left <= 0:
            return False
        await delete(connection, row["id"])
        left -= 1
    return left > 0


async def prune_firings(connection: asyncpg.Connection, age: timedelta, *, limit: int) -> None:
    """Delete firings older than `age`, at most `limit`."""
    await _PRUNE_FIRINGS.execute(connection, age=age, limit=limit)


async def release_keys(connection: asyncpg.Connection, age: timedelta) -> None:
    """Release the idempotency keys of schedules older than `age`."""
    await _RELEASE_KEYS.execute(connection, age=age)


def _parameters(definition: Definition, timing: Timing, standing: Standing) -> dict[str, Any]:
    return {
        **{name: getattr(definition, name) for name in asdict(definition)},
        "rule": rules.encode(timing.rule),
        "tz_version": timing.tz_version,
        "status": standing.status,
        "reason": standing.reason,
        "next_fire_at": standing.next_fire_at,
    }


def _only(row: asyncpg.Record | None) -> ScheduleRow:
    assert row is not None  # noqa: S101  # the caller has locked it
    return ScheduleRow.from_row(row)
