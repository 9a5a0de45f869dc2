"""Short ways to ask a server something, and to see that a process has ended."""

import os
import select

import asyncpg

from app.embedded.postgres import EmbeddedPostgres


async def ask(url: str, query: str) -> object:
    """The first value of the first row."""
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
    """Commit something that `read_note` finds again."""
    await tell(postgres.url, f"CREATE TABLE notes AS SELECT '{text}' AS text")


async def read_note(postgres: EmbeddedPostgres) -> object:
    """What `note` has committed."""
    return await ask(postgres.url, "SELECT text FROM notes")


class Watch:
    """An eye on a process that is not a child of ours; a zombie counts as ended."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def sees_end(self, within_seconds: float) -> bool:
        """Wait until the process has ended, at most so long; say whether it has."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        try:
            return bool(poll.poll(within_seconds * 1000))
        finally:
            os.close(self._fd)
