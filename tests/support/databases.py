"""An empty, migrated database for each test.

Creating a database takes a tenth of a second, emptying one takes milliseconds. Databases are therefore
emptied and reused, unless a test has changed more than rows. The connection that empties one stays open: it
has seen all tables, which takes a new one longer than to delete the rows. It belongs to the application's
role, because the application looks at the other connections to its database.
"""

import asyncio
import contextlib
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
EMPTY_SECONDS = 60.0
MAX_REUSED_BYTES = 16 * 1024 * 1024
"""About twice the size of an empty database. A larger one is full of dead rows and stale statistics."""

# Every committed change of the schema leaves a row. `watched.empty` disables foreign keys and guard triggers.
_WATCH_SCHEMA = f"""
CREATE SCHEMA watched;
GRANT USAGE ON SCHEMA watched TO {APPLICATION};
CREATE TABLE watched.changes ();
CREATE FUNCTION watched.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO watched.changes DEFAULT VALUES;
END $$;
CREATE FUNCTION watched.others() RETURNS SETOF integer LANGUAGE sql AS $$
    SELECT pid FROM pg_stat_get_activity(NULL) WHERE pid <> pg_backend_pid()
    AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
CREATE FUNCTION watched.empty() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET session_replication_role = replica AS $$
BEGIN
    PERFORM pg_terminate_backend(pid) FROM watched.others() pid;
    WHILE EXISTS (SELECT FROM watched.others()) LOOP
        PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
    END LOOP;
    IF EXISTS (SELECT FROM watched.changes)
    OR pg_database_size(current_database()) > {MAX_REUSED_BYTES} THEN
        RETURN false;
    END IF;
    {{delete_all}}
    RETURN true;
END $$;
CREATE EVENT TRIGGER note_changes ON ddl_command_end EXECUTE FUNCTION watched.note();
"""

# How are the rows of all tables deleted?
_DELETE_ALL = """
SELECT string_agg(format('DELETE FROM public.%I;', tablename), ' ')
FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"""

_DISCONNECTED = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


class Databases:
    """Creates, empties and reuses the databases of one test process."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._connections: dict[str, asyncpg.Connection] = {}
        self._template = _template_name()
        asyncio.run(self._ensure_template())

    def blank(self) -> str:
        """Create a database without any tables and return its URL."""
        name = self._new_name("blank")
        asyncio.run(self._execute(f"CREATE DATABASE {name} OWNER {APPLICATION}"))
        return self._postgres.url_for(name)

    def drop_unused(self) -> None:
        """Drop the databases that no test uses."""
        while self._free:
            self._drop(self._free.pop())

    def close(self) -> None:
        """Close the connections."""
        while self._connections:
            self._disconnect(next(iter(self._connections)))
        self._loop.run_until_complete(asyncio.sleep(0))  # so that the transports are closed
        self._loop.close()

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of an empty, migrated database."""
        name = self._free.pop() if self._free else self._create()
        yield self._postgres.url_for(name)
        if self._empty(name):
            self._free.append(name)
        else:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._disconnect(name)
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
            await self._execute(await self._watch_schema(draft), draft)
            await connection.execute(f"ALTER DATABASE {draft} RENAME TO {self._template}")
        finally:
            await connection.close()

    async def _watch_schema(self, name: str) -> str:
        connection = await asyncpg.connect(self._postgres.url_for(name))
        try:
            return _WATCH_SCHEMA.format(delete_all=await connection.fetchval(_DELETE_ALL))
        finally:
            await connection.close()

    def _empty(self, name: str) -> bool:
        """Delete all rows; return False if that does not make the database reusable."""
        try:
            return self._loop.run_until_complete(self._call_empty(name))
        except _DISCONNECTED:  # a test has restarted Postgres
            self._disconnect(name)
            return self._loop.run_until_complete(self._call_empty(name))

    async def _call_empty(self, name: str) -> bool:
        if name not in self._connections:
            self._connections[name] = await asyncpg.connect(self._postgres.url_for(name))
        is_empty: bool = await self._connections[name].fetchval(
            "SELECT watched.empty()", timeout=EMPTY_SECONDS
        )
        return is_empty

    def _disconnect(self, name: str) -> None:
        with contextlib.suppress(KeyError):
            self._connections.pop(name).terminate()

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
