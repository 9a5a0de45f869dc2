"""What can be asked about the bytes that users store, and how the changes are added up."""

from typing import Final
from uuid import UUID

import asyncpg

MANY_ROWS: Final = 16
"""How many rows a user may have before they are added up."""

OWNERS_AT_ONCE: Final = 1000

_USED: Final = "SELECT coalesce(sum(bytes), 0)::bigint FROM stored_bytes WHERE owner_id = $1"

# Each statement sees the rows before or the row after, so the sum is right at every moment.
_ADD_UP: Final = """
WITH busy AS (
    SELECT owner_id FROM stored_bytes GROUP BY owner_id HAVING count(*) > $1 LIMIT $2
), changes AS (
    DELETE FROM stored_bytes WHERE (owner_id, id) IN (
        SELECT s.owner_id, s.id FROM stored_bytes s JOIN busy USING (owner_id) FOR UPDATE OF s SKIP LOCKED)
    RETURNING owner_id, bytes
)
INSERT INTO stored_bytes (owner_id, bytes)
SELECT owner_id, sum(bytes) FROM changes GROUP BY owner_id HAVING sum(bytes) <> 0"""


async def used_bytes(connection: asyncpg.Connection, owner_id: UUID) -> int:
    """How many bytes a user stores: datasets, models, payloads, results and checkpoints of jobs."""
    used: int = await connection.fetchval(_USED, owner_id)
    return used


async def lock(connection: asyncpg.Connection, owner_id: UUID) -> bool:
    """Hold a user's row until the commit, as whoever checks a quota does; False if there is no such user."""
    # NO KEY: the lock that a new job's foreign key takes on this row does not wait for it.
    found = await connection.fetchval("SELECT true FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)
    return found is not None


async def add_up(connection: asyncpg.Connection) -> None:
    """Make one row of the many that busy users have."""
    await connection.execute(_ADD_UP, MANY_ROWS, OWNERS_AT_ONCE)
