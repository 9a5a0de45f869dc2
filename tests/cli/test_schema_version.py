"""A process waits for the schema that it needs, and ends at once if it is too old for it."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import alembic.command
import asyncpg
import pytest
from sqlalchemy.engine import make_url

from app.cli import schema_version
from app.cli.errors import CannotStart
from app.cli.migrations import alembic_config, migrate
from tests.conftest import Servers
from tests.support import ports
from tests.support.processes import ROOT

BEFORE = "0010"
HEAD = max(path.name[:4] for path in (ROOT / "alembic" / "versions").glob("[0-9]*.py"))


@pytest.fixture
def database(servers: Servers) -> str:
    """A database in which there is nothing at all."""
    return servers.databases.blank()


def run(url: str, ask: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
    async def connected() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await ask(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


def execute(url: str, statement: str) -> None:
    run(url, lambda connection: connection.execute(statement))


def floor(url: str) -> str | None:
    found = run(url, lambda connection: connection.fetchval("SELECT revision FROM schema_floor"))
    assert found is None or isinstance(found, str)
    return found


def test_a_schema_of_this_version_is_good(database: str) -> None:
    migrate(database)

    schema_version.ensure_schema(database, wait_seconds=0)


def test_an_empty_and_an_older_database_are_waited_for_and_then_named(database: str) -> None:
    with pytest.raises(CannotStart, match=r"^The database is empty; this version needs \d{4}\."):
        schema_version.ensure_schema(database, wait_seconds=0)

    alembic.command.upgrade(alembic_config(database), BEFORE)
    with pytest.raises(CannotStart, match=rf"^The database is at revision {BEFORE}; this version needs"):
        schema_version.ensure_schema(database, wait_seconds=0)


def test_what_is_migrated_meanwhile_is_found(database: str) -> None:
    migration = threading.Thread(target=migrate, args=[database])
    migration.start()
    try:
        schema_version.ensure_schema(database, wait_seconds=120)
    finally:
        migration.join()


def test_a_later_schema_is_good_as_long_as_its_floor_is_not_above(database: str) -> None:
    migrate(database)
    execute(database, "UPDATE alembic_version SET version_num = '9998'")

    schema_version.ensure_schema(database, wait_seconds=0)


def test_a_later_schema_that_works_with_newer_versions_only_ends_the_wait_at_once(database: str) -> None:
    migrate(database)
    execute(database, "UPDATE alembic_version SET version_num = '9998'")
    execute(database, "UPDATE schema_floor SET revision = '9997'")
    started = time.monotonic()

    with pytest.raises(CannotStart, match="at revision 9998, which works with 9997 or newer"):
        schema_version.ensure_schema(database, wait_seconds=3600)

    assert time.monotonic() - started < 600


def test_a_postgres_that_is_away_is_named() -> None:
    with ports.reserved() as port:
        url = f"postgresql://headrace:secret@127.0.0.1:{port}/headrace"
        for wait in (schema_version.wait_for_postgres, schema_version.ensure_schema):
            with pytest.raises(CannotStart, match=r"^Postgres cannot be reached: "):
                wait(url, wait_seconds=0)


def test_a_database_that_refuses_the_connection_is_named(database: str) -> None:
    url = make_url(database)
    refused = {
        "password authentication failed": url.set(password="wrong"),
        "does not exist": url.set(database="nowhere"),
    }
    for reason, other in refused.items():
        dsn = other.render_as_string(hide_password=False)
        for wait in (schema_version.wait_for_postgres, schema_version.ensure_schema):
            with pytest.raises(CannotStart, match=rf"^Postgres refuses DATABASE_URL: .*{reason}"):
                wait(dsn, wait_seconds=0)


def test_a_role_that_may_not_migrate_is_told_so_and_changes_nothing(database: str) -> None:
    execute(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC, pg_database_owner")

    with pytest.raises(CannotStart, match=r"permission denied .* Migrate as the role that owns the tables"):
        migrate(database)

    assert run(database, lambda asked: asked.fetchval("SELECT to_regclass('alembic_version')::text")) is None


def test_the_floor_follows_upgrades_and_downgrades(database: str) -> None:
    config = alembic_config(database)
    migrate(database)
    assert floor(database) == "0006"

    alembic.command.downgrade(config, BEFORE)
    assert run(database, lambda asked: asked.fetchval("SELECT to_regclass('schema_floor')::text")) is None

    migrate(database)
    assert floor(database) == "0006"


def test_of_two_migrations_at_once_one_works_and_the_other_waits(database: str) -> None:
    program = "import sys; from app.cli.migrations import migrate; migrate(sys.argv[1])"
    command = [sys.executable, "-c", program, database]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]

    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors

    schema_version.ensure_schema(database, wait_seconds=0)


def test_a_migration_that_gets_no_lock_gives_up_and_leaves_the_schema_as_it_was(
    database: str,
) -> None:
    alembic.command.upgrade(alembic_config(database), BEFORE)

    async def held(connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            await connection.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(CannotStart, match=r"lock timeout\. Run it again"):
                await asyncio.to_thread(migrate, database)

    run(database, held)

    assert run(database, lambda asked: asked.fetchval("SELECT version_num FROM alembic_version")) == BEFORE


def test_the_command_waits_and_checks(database: str) -> None:
    """`headrace migrate --check` fails before the migration and succeeds after it, without Redis."""
    environment = {"DATABASE_URL": database, "PATH": os.environ["PATH"]}

    before = headrace("migrate", "--check", "--wait", "0", environment=environment)
    assert (before.returncode, before.stdout) == (1, "")
    assert re.search(r"The database is empty; this version needs \d{4}\.", before.stderr)

    assert headrace("migrate", "--wait", "30", environment=environment).returncode == 0
    assert headrace("migrate", "--check", environment=environment).returncode == 0


def headrace(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_users_cannot_be_created_before_the_migration(database: str) -> None:
    environment = {"DATABASE_URL": database, "PATH": os.environ["PATH"]}

    refused = headrace("users", "create", "ada", environment=environment)

    assert refused.returncode == 1
    assert re.fullmatch(r"headrace: The database is empty; .* Run `headrace migrate`\.\n", refused.stderr)


@pytest.mark.parametrize("command", [("serve",), ("migrate",), ("users", "create", "ada")])
def test_a_url_that_cannot_be_used_ends_a_command_with_one_line(command: tuple[str, ...]) -> None:
    environment = {
        "DATABASE_URL": "postgresql://ada:secret@here:port/db",
        "REDIS_URL": "redis://here",
        "PATH": os.environ["PATH"],
    }

    refused = headrace(*command, environment=environment)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(r"headrace: DATABASE_URL: .* with a valid host and port\n", refused.stderr)
