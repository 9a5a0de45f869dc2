"""Advisory locks: at most one process at a time performs a duty."""

from typing import Final

import asyncpg

from app.core.sql import Statement

# Takes the lock until the end of the transaction, if no other process has it.
_LOCK_TRANSACTION: Final = Statement("SELECT pg_try_advisory_xact_lock(hashtext(:name))")

# Takes the lock until the connection is closed, if no other process has it.
_LOCK_CONNECTION: Final = Statement("SELECT pg_try_advisory_lock(hashtext(:name))")


async def try_for_transaction(connection: asyncpg.Connection, duty: str) -> bool:
    """Take the lock of a duty until the end of the transaction. Return False if another process has it."""
    is_ours: bool = await _LOCK_TRANSACTION.fetchval(connection, name=f"maintenance:{duty}")
    return is_ours


async def try_for_connection(connection: asyncpg.Connection, duty: str) -> bool:
    """Take the lock of a duty until the connection is closed. Return False if another process has it."""
    is_ours: bool = await _LOCK_CONNECTION.fetchval(connection, name=f"maintenance:{duty}")
    return is_ours
