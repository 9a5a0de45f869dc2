"""Reads of quotas, and of what users have."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement
from app.quotas.values import OwnQuotas, Usage

_STORED_SUM: Final = "SELECT coalesce(sum(bytes), 0)::bigint FROM stored_bytes WHERE owner_id = :owner_id"

_MODEL_SUM: Final = """SELECT coalesce(sum(v.bytes), 0)::bigint
FROM models m JOIN model_versions v ON v.model_id = m.id WHERE m.owner_id = :owner_id"""

_ACTIVE: Final = "SELECT FROM jobs WHERE owner_id = :owner_id AND status IN ('pending', 'running')"
"""The rows of `jobs` that the quota of active jobs counts: unfinished jobs, and their unfinished shards."""

_OWN: Final = """
SELECT q.max_active_jobs, q.max_running_jobs, q.max_stored_bytes, q.max_model_bytes, q.max_streams,
    q.max_schedules, q.max_subscriptions
FROM users u LEFT JOIN user_quotas q ON q.user_id = u.id
WHERE u.id = :owner_id AND u.deleted_at IS NULL"""

# The bytes that a user stores.
_USED: Final = Statement(_STORED_SUM)

# The bytes of a user's models.
_MODEL_BYTES: Final = Statement(_MODEL_SUM)

# Which quotas are set for this user, if there is such a user?
_GET: Final = Statement(_OWN)

# Lock a user against other quota checks, and return the quotas that are set for the user, if there is such a
# user. NO KEY: the lock that the foreign key of a new job takes on this row does not wait for it.
_LOCK: Final = Statement(f"{_OWN} FOR NO KEY UPDATE OF u")

# How much does this user have?
_USAGE: Final = Statement(f"""
SELECT
    (SELECT count(*) FROM ({_ACTIVE}) active) AS active_jobs,
    (SELECT count(*) FROM jobs WHERE owner_id = :owner_id AND status = 'running' AND shards IS NULL)
        AS running_jobs,
    ({_STORED_SUM}) AS stored_bytes,
    ({_MODEL_SUM}) AS model_bytes,
    (SELECT count(*) FROM schedules WHERE owner_id = :owner_id) AS schedules,
    (SELECT count(*) FROM subscriptions WHERE owner_id = :owner_id) AS subscriptions""")  # made of constants

# How many unfinished jobs, and unfinished shards of these, does this user have, counted up to a limit?
_ACTIVE_JOBS: Final = Statement(f"SELECT count(*) FROM ({_ACTIVE} LIMIT :limit) active")  # made of constants

# Is the number of running jobs set for any user?
_LIMITS_RUNNING: Final = Statement("""
SELECT EXISTS (SELECT FROM user_quotas WHERE max_running_jobs IS NOT NULL)""")


async def used_bytes(connection: asyncpg.Connection, owner_id: UUID) -> int:
    """How many bytes a user stores: datasets, models, payloads, results and checkpoints of jobs."""
    used: int = await _USED.fetchval(connection, owner_id=owner_id)
    return used


async def model_bytes(connection: asyncpg.Connection, owner_id: UUID) -> int:
    """How many of these bytes are models."""
    used: int = await _MODEL_BYTES.fetchval(connection, owner_id=owner_id)
    return used


async def active_jobs(connection: asyncpg.Connection, owner_id: UUID, *, limit: int) -> int:
    """Return how many unfinished jobs a user has, counted up to `limit`. An unfinished shard is one more."""
    found: int = await _ACTIVE_JOBS.fetchval(connection, owner_id=owner_id, limit=limit)
    return found


async def lock(connection: asyncpg.Connection, owner_id: UUID) -> OwnQuotas | None:
    """Lock a user's row until the commit, as every quota check does, and return the quotas set for the user.

    None if there is no such user.
    """
    row = await _LOCK.fetchrow(connection, owner_id=owner_id)
    return None if row is None else OwnQuotas.from_row(row)


async def get(connection: asyncpg.Connection, owner_id: UUID) -> OwnQuotas | None:
    """The quotas that are set for a user; None if there is no such user."""
    row = await _GET.fetchrow(connection, owner_id=owner_id)
    return None if row is None else OwnQuotas.from_row(row)


async def usage(connection: asyncpg.Connection, owner_id: UUID) -> Usage:
    """How much a user has."""
    row = await _USAGE.fetchrow(connection, owner_id=owner_id)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Usage.from_row(row)


async def limits_running_jobs(connection: asyncpg.Connection) -> bool:
    """Whether the number of running jobs is set for any user."""
    found: bool = await _LIMITS_RUNNING.fetchval(connection)
    return found
