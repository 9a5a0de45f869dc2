"""Compacts the rows that count stored bytes, which triggers insert (migration 0006)."""

from typing import Final

import asyncpg

from app.core.sql import Statement

MANY_ROWS: Final = 16
"""Number of rows of a user above which they are replaced by their sum."""

OWNERS_AT_ONCE: Final = 1000

# Replace the rows of users who have many by their sum. Every other statement sees either the old rows or the
# new one, so the sum is right at every moment.
_ADD_UP: Final = Statement("""
WITH busy AS (
    SELECT owner_id FROM stored_bytes GROUP BY owner_id HAVING count(*) > :many_rows LIMIT :owners_at_once
), changes AS (
    DELETE FROM stored_bytes WHERE (owner_id, id) IN (
        SELECT s.owner_id, s.id FROM stored_bytes s JOIN busy USING (owner_id) FOR UPDATE OF s SKIP LOCKED)
    RETURNING owner_id, bytes
)
INSERT INTO stored_bytes (owner_id, bytes)
SELECT owner_id, sum(bytes) FROM changes GROUP BY owner_id HAVING sum(bytes) <> 0""")


async def add_up(connection: asyncpg.Connection) -> None:
    """Replace the rows of users who have more than `MANY_ROWS` by their sum."""
    await _ADD_UP.execute(connection, many_rows=MANY_ROWS, owners_at_once=OWNERS_AT_ONCE)
