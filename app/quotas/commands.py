"""Sets the quotas of users, and compacts the rows that count stored bytes (triggers of migration 0006)."""

from dataclasses import asdict
from typing import Final
from uuid import UUID

import asyncpg

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Actor, Entry
from app.auth.errors import UserNotFound
from app.core.sql import Statement
from app.quotas import queries
from app.quotas.values import OwnQuotas

# Set all quotas of a user.
_SET: Final = Statement("""
INSERT INTO user_quotas
    (user_id, max_active_jobs, max_running_jobs, max_stored_bytes, max_model_bytes, max_streams,
    max_schedules, max_subscriptions)
VALUES (:user_id, :max_active_jobs, :max_running_jobs, :max_stored_bytes, :max_model_bytes, :max_streams,
    :max_schedules, :max_subscriptions)
ON CONFLICT (user_id) DO UPDATE SET
    max_active_jobs = excluded.max_active_jobs, max_running_jobs = excluded.max_running_jobs,
    max_stored_bytes = excluded.max_stored_bytes, max_model_bytes = excluded.max_model_bytes,
    max_streams = excluded.max_streams, max_schedules = excluded.max_schedules,
    max_subscriptions = excluded.max_subscriptions""")

MANY_ROWS: Final = 16
"""Number of rows of a user above which they are replaced by their sum."""

OWNERS_AT_ONCE: Final = 1000

# Replace the rows of users who have many by their sum. Every other statement sees either the old rows or the
# new one, so the sum is right at every moment.
_ADD_UP: Final = Statement("""
WITH busy AS (
    SELECT owner_id FROM stored_bytes GROUP BY owner_id HAVING count(*) > :many_rows LIMIT :owners_at_once
), changes AS (
    DELETE FROM stored_bytes WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM stored_bytes WHERE owner_id = ANY (ARRAY(SELECT owner_id FROM busy))
        FOR UPDATE SKIP LOCKED))
    RETURNING owner_id, bytes
)
INSERT INTO stored_bytes (owner_id, bytes)
SELECT owner_id, sum(bytes) FROM changes GROUP BY owner_id HAVING sum(bytes) <> 0""")


async def set_quotas(connection: asyncpg.Connection, user_id: UUID, quotas: OwnQuotas, *, by: Actor) -> None:
    """Set all quotas of a user; None means the default. Call it in a transaction. Raises UserNotFound.

    The audit log records the quotas that change.
    """
    before = await queries.lock(connection, user_id)
    if before is None:
        raise UserNotFound(user=str(user_id))
    await _SET.execute(connection, user_id=user_id, **asdict(quotas))
    earlier = asdict(before)
    changed = {quota: limit for quota, limit in asdict(quotas).items() if limit != earlier[quota]}
    if changed:
        entry = Entry(Action.QUOTAS_CHANGED, ObjectType.USER, str(user_id), details=changed)
        await audit.record(connection, by, entry)


async def add_up(connection: asyncpg.Connection) -> None:
    """Replace the rows of users who have more than `MANY_ROWS` by their sum."""
    await _ADD_UP.execute(connection, many_rows=MANY_ROWS, owners_at_once=OWNERS_AT_ONCE)
