"""Reads of workers."""

from datetime import timedelta
from typing import Final

import asyncpg

from app.core.sql import Statement

# How many workers were seen within a lease?
_ALIVE: Final = Statement("SELECT count(*) FROM workers WHERE seen_at > now() - :lease::interval")


async def alive(connection: asyncpg.Connection, lease: timedelta) -> int:
    """Return how many workers hold a valid lease."""
    count: int = await _ALIVE.fetchval(connection, lease=lease)
    return count
