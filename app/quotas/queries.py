"""Reads of the bytes that users store."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# The bytes that a user stores.
_USED: Final = Statement(
    "SELECT coalesce(sum(bytes), 0)::bigint FROM stored_bytes WHERE owner_id = :owner_id"
)

# Lock a user against other quota checks, and tell whether there is such a user. NO KEY: the lock that the
# foreign key of a new job takes on this row does not wait for it.
_LOCK: Final = Statement(
    "SELECT true FROM users WHERE id = :owner_id AND deleted_at IS NULL FOR NO KEY UPDATE"
)


async def used_bytes(connection: asyncpg.Connection, owner_id: UUID) -> int:
    """How many bytes a user stores: datasets, models, payloads, results and checkpoints of jobs."""
    used: int = await _USED.fetchval(connection, owner_id=owner_id)
    return used


async def lock(connection: asyncpg.Connection, owner_id: UUID) -> bool:
    """Lock a user's row until the commit, as every quota check does; False if there is no such user."""
    return await _LOCK.fetchval(connection, owner_id=owner_id) is not None
