"""An empty, migrated database for each test.

Creating a database takes a tenth of a second, emptying one takes milliseconds. Databases are therefore
emptied and reused, unless a test has changed more than rows.
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
"""About twice the size of an empty database. A larger one is full of dead rows and stale statistics."""

# Every committed change of the schema leaves a row.
_WATCH_SCHEMA = """
CREATE SCHEMA watched;
CREATE TABLE watched.changes ();
CREATE FUNCTION watched.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO watched.changes DEFAULT VALUES;
END $$;
CREATE EVENT TRIGGER note_changes ON ddl_command_end EXECUTE FUNCTION watched.note();
"""

_TERMINATE_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_IS_REUSABLE = """
SELECT NOT EXISTS (SELECT FROM watched.changes) AND pg_database_size(current_database()) <= $1"""

_TABLES = """
SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"""


class Databases:
    """Creates, empties and reuses the databases of one test process."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._template = _template_name()
        asyncio.run(self._ensure_template())

    def blank(self) -> str:
        """Create a database without any tables and return its URL."""
        name = self._new_name("blank")
        asyncio.run(self._execute(f"CREATE DATABASE {name} OWNER {APPLICATION}"))
        return self._postgres.url_for(name)

    def close(self) -> None:
        """Drop the unused databases."""
        while self._free:
            asyncio.run(self._execute(f"DROP DATABASE {self._free.pop()} WITH (FORCE)"))

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of an empty, migrated database."""
        name = self._free.pop() if self._free else self._create()
        yield self._postgres.url_for(name)
        if asyncio.run(self._empty(name)):
            self._free.append(name)
        else:
            asyncio.run(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def _create(self) -> str:
        name = self._new_name("test")
        asyncio.run(
            self._execute(
                f"CREATE DATABASE {name} OWNER {APPLICATION} TEMPLATE {self._template} STRATEGY FILE_COPY"
            )
        )
        return name

    def _new_name(self, prefix: str) -> str:
        """Return a name that is unique among the processes that use this Postgres."""
        return f"{prefix}_{os.getpid()}_{next(self._numbers)}"

    async def _ensure_template(self) -> None:
        """Create the template database unless another process has created it."""
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

    async def _empty(self, name: str) -> bool:
        """Delete all rows; return False if that does not make the database reusable."""
        connection = await asyncpg.connect(self._postgres.admin_url_for(name))
        try:
            await connection.execute(_TERMINATE_OTHERS)
            if not await connection.fetchval(_IS_REUSABLE, MAX_REUSED_BYTES):
                return False
            async with connection.transaction():
                # Disables foreign keys and the guard trigger.
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
    """Return the name of the template for the current migrations."""
    content = b"".join(path.read_bytes() for path in sorted(MIGRATIONS.glob("*.py")))
    return f"template_{hashlib.sha256(content).hexdigest()[:16]}"
