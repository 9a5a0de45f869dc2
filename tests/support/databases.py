"""A database for each test: empty, migrated, and as good as new.

To make one takes a tenth of a second, to empty one takes milliseconds. So they are emptied and used again,
but for those in which a test has changed more than rows.
"""

import asyncio
import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from app.cli.migrations import migrate
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.roles import APPLICATION

MIGRATIONS = Path(__file__).parents[2] / "alembic" / "versions"
MAX_REUSED_BYTES = 16 * 1024 * 1024
"""About twice an empty one. What has grown further is full of dead rows, and of statistics about them."""

# Whatever changes the schema, and is committed, leaves a row.
_WATCH_SCHEMA = """
CREATE SCHEMA watched;
CREATE TABLE watched.changes ();
CREATE FUNCTION watched.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO watched.changes DEFAULT VALUES;
END $$;
CREATE EVENT TRIGGER note_changes ON ddl_command_end EXECUTE FUNCTION watched.note();
"""

_END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_IS_AS_NEW = """
SELECT NOT EXISTS (SELECT FROM watched.changes) AND pg_database_size(current_database()) <= $1"""

_TABLES = """
SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"""


class Databases:
    """The databases of one test process."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._template = _template_name()
        asyncio.run(self._ensure_template())

    def blank(self) -> str:
        """The URL of a database in which there is nothing at all."""
        name = self._new_name("blank")
        asyncio.run(self._execute(f"CREATE DATABASE {name} OWNER {APPLICATION}"))
        return self._postgres.url_for(name)

    def close(self) -> None:
        """Drop the databases that nobody uses any more."""
        while self._free:
            asyncio.run(self._execute(f"DROP DATABASE {self._free.pop()} WITH (FORCE)"))

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of an empty, migrated database."""
        name = self._free.pop() if self._free else self._created()
        yield self._postgres.url_for(name)
        if asyncio.run(self._is_emptied(name)):
            self._free.append(name)
        else:
            asyncio.run(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def _created(self) -> str:
        name = self._new_name("test")
        asyncio.run(
            self._execute(
                f"CREATE DATABASE {name} OWNER {APPLICATION} TEMPLATE {self._template} STRATEGY FILE_COPY"
            )
        )
        return name

    def _new_name(self, prefix: str) -> str:
        """A name that no other process on this Postgres takes."""
        return f"{prefix}_{os.getpid()}_{next(self._numbers)}"

    async def _ensure_template(self) -> None:
        """Create the template, unless another process on this Postgres has."""
        connection = await asyncpg.connect(self._postgres.url)
        try:
            await connection.execute("SELECT pg_advisory_lock(hashtext($1))", self._template)
            if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", self._template):
                return
            draft = self._new_name("draft")
            await connection.execute(f"CREATE DATABASE {draft} OWNER {APPLICATION}")
            await asyncio.to_thread(migrate, self._postgres.url_for(draft))
            await self._execute(_WATCH_SCHEMA, draft)
            await connection.execute(f"ALTER DATABASE {draft} RENAME TO {self._template}")
        finally:
            await connection.close()

    async def _is_emptied(self, name: str) -> bool:
        """Delete all rows; False if there is more to it than that."""
        connection = await asyncpg.connect(self._postgres.admin_url_for(name))
        try:
            await connection.execute(_END_OTHERS)
            if not await connection.fetchval(_IS_AS_NEW, MAX_REUSED_BYTES):
                return False
            async with connection.transaction():
                # Neither foreign keys nor our own guard have a say in this.
                await connection.execute("SET LOCAL session_replication_role = replica")
                for row in await connection.fetch(_TABLES):
                    await connection.execute(f"DELETE FROM {row[0]}")
        finally:
            await connection.close()
        return True

    async def _execute(self, statements: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self._postgres.admin_url_for(database))
        try:
            await connection.execute(statements)
        finally:
            await connection.close()


def _template_name() -> str:
    """The name of a template that has been through these migrations."""
    content = b"".join(path.read_bytes() for path in sorted(MIGRATIONS.glob("*.py")))
    return f"template_{hashlib.sha256(content).hexdigest()[:16]}"
