"""Changes of queues: pausing and resuming them."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Pause a queue, or give another reason for its pause. No row if it is paused for this reason.
_PAUSE: Final = Statement("""
INSERT INTO paused_queues AS p (name, reason, paused_by) VALUES (:name, :reason, :paused_by)
ON CONFLICT (name) DO UPDATE SET reason = excluded.reason, paused_by = excluded.paused_by
WHERE p.reason <> excluded.reason
RETURNING name""")

# Resume a queue. No row if it is not paused.
_RESUME: Final = Statement("DELETE FROM paused_queues WHERE name = :name RETURNING name")


async def pause(connection: asyncpg.Connection, name: str, *, reason: str, by: UUID) -> bool:
    """Pause a queue. Return False if it is already paused for this reason.

    No claim that begins after the commit takes a job of the queue.
    """
    return await _PAUSE.fetchval(connection, name=name, reason=reason, paused_by=by) is not None


async def resume(connection: asyncpg.Connection, name: str) -> bool:
    """Resume a queue. Return False if it was not paused."""
    return await _RESUME.fetchval(connection, name=name) is not None
