"""Changes to groups."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Creates a group, unless the owner's idempotency key is taken.
_ADD: Final = Statement("""
INSERT INTO job_groups (id, owner_id, idempotency_key, request_digest)
VALUES (:group_id, :owner_id, :key, :digest)
ON CONFLICT (owner_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id""")

# Locks a group and reads the state of its search.
_LOCK_SEARCH: Final = Statement("SELECT search FROM job_groups WHERE id = :group_id FOR NO KEY UPDATE")

# Stores the state of a search.
_STORE_SEARCH: Final = Statement("UPDATE job_groups SET search = :search WHERE id = :group_id")

# Releases idempotency keys that are older than this.
_RELEASE_KEYS: Final = Statement("""
UPDATE job_groups SET idempotency_key = NULL
WHERE idempotency_key IS NOT NULL AND created_at < now() - :age::interval""")


def _deletion(selected: str) -> Statement:
    return Statement(f"""
DELETE FROM job_groups WHERE id IN (
    SELECT g.id FROM job_groups g
    WHERE {selected} AND NOT EXISTS (SELECT FROM jobs j WHERE j.group_id = g.id)
    ORDER BY g.id LIMIT :limit)""")


# Deletes groups that are older than this and have no jobs any more.
_DELETE_EMPTY: Final = _deletion("g.created_at < now() - :age::interval")

# Deletes groups of this owner that have no jobs any more.
_DELETE_EMPTY_OF_OWNER: Final = _deletion("g.owner_id = :owner_id")


async def add(
    connection: asyncpg.Connection, group_id: UUID, owner_id: UUID, key: str | None, digest: bytes | None
) -> bool:
    """Create a group. Return False if the owner's idempotency key is taken."""
    added = await _ADD.fetchval(connection, group_id=group_id, owner_id=owner_id, key=key, digest=digest)
    return added is not None


async def lock_search(connection: asyncpg.Connection, group_id: UUID) -> dict[str, Any] | None:
    """Return the state of a group's search, locked until the commit; None if the group is not a search."""
    search: dict[str, Any] | None = await _LOCK_SEARCH.fetchval(connection, group_id=group_id)
    return search


async def store_search(connection: asyncpg.Connection, group_id: UUID, search: dict[str, Any]) -> None:
    """Store the state of a search."""
    await _STORE_SEARCH.execute(connection, group_id=group_id, search=search)


async def release_keys(connection: asyncpg.Connection, age: timedelta) -> None:
    """Release the idempotency keys of groups older than `age`."""
    await _RELEASE_KEYS.execute(connection, age=age)


async def delete_empty(connection: asyncpg.Connection, age: timedelta, *, limit: int) -> None:
    """Delete groups older than `age` whose jobs are all deleted, at most `limit`."""
    await _DELETE_EMPTY.execute(connection, age=age, limit=limit)


async def delete_empty_of_owner(connection: asyncpg.Connection, owner_id: UUID, *, limit: int) -> None:
    """Delete groups of an owner whose jobs are all deleted, at most `limit`."""
    await _DELETE_EMPTY_OF_OWNER.execute(connection, owner_id=owner_id, limit=limit)
