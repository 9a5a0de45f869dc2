"""Deletes what has been kept long enough, and what belonged to deleted users."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Delete deliveries that ended long ago, with their tries.
_PRUNE: Final = Statement("""
DELETE FROM deliveries WHERE id = ANY (ARRAY(
    SELECT id FROM deliveries WHERE ended_at < now() - :retention::interval
    ORDER BY ended_at LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING id""")

# Delete the requests for a confirmation that count no longer.
_PRUNE_CONFIRMATIONS: Final = Statement("""
DELETE FROM confirmation_requests WHERE requested_at[1] < now() - interval '1 day'""")

# Delete deliveries of a user, whatever their state.
_DELETE_DELIVERIES: Final = Statement("""
DELETE FROM deliveries WHERE id = ANY (ARRAY(
    SELECT d.id FROM subscriptions s CROSS JOIN LATERAL (
        SELECT d.id FROM deliveries d WHERE d.subscription_id = s.id LIMIT :limit FOR UPDATE SKIP LOCKED) d
    WHERE s.owner_id = :owner_id LIMIT :limit))
RETURNING id""")

# Delete the subscriptions of a user that have no deliveries.
_DELETE_SUBSCRIPTIONS: Final = Statement("""
DELETE FROM subscriptions s WHERE s.owner_id = :owner_id
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.subscription_id = s.id)""")


async def prune(connection: asyncpg.Connection, retention: timedelta, *, limit: int) -> int:
    """Delete at most `limit` deliveries that ended before the retention. Return how many."""
    await _PRUNE_CONFIRMATIONS.execute(connection)
    return len(await _PRUNE.fetch(connection, retention=retention, limit=limit))


async def delete_of_owner(connection: asyncpg.Connection, owner_id: UUID, *, limit: int) -> None:
    """Delete the subscriptions of a user, with at most `limit` deliveries at a time."""
    await _DELETE_DELIVERIES.execute(connection, owner_id=owner_id, limit=limit)
    await _DELETE_SUBSCRIPTIONS.execute(connection, owner_id=owner_id)
