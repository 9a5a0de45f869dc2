"""Queries in one call, and waiting for the end of a process."""

import os
import select

import asyncpg

from app.embedded.postgres import EmbeddedPostgres


async def ask(url: str, query: str) -> object:
    """Return the first value of the first row."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def tell(url: str, statement: str) -> None:
    """Run a statement and commit it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def note(postgres: EmbeddedPostgres, text: str) -> None:
    """Commit a text for `read_note`."""
    await tell(postgres.url, f"CREATE TABLE notes AS SELECT '{text}' AS text")


async def read_note(postgres: EmbeddedPostgres) -> object:
    """Return the text that `note` committed."""
    return await ask(postgres.url, "SELECT text FROM notes")


class Watch:
    """Watches a process that is not our child; a zombie counts as ended."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def sees_end(self, within_seconds: float) -> bool:
        """Wait at most `within_seconds` for the process to end; return whether it has."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        try:
            return bool(poll.poll(within_seconds * 1000))
        finally:
            os.close(self._fd)
