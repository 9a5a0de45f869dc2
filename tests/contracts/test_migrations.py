"""The migrations create the tables of the code, and can be undone."""

import asyncio

import alembic.command
import asyncpg
import pytest

from app.cli.migrations import alembic_config, migrate
from app.core.config import Settings
from tests.conftest import Servers


@pytest.fixture
def empty_database(servers: Servers) -> str:
    """A database without any table."""
    return servers.databases.blank()


def catalogue(url: str) -> list[str]:
    """The schema of a database: columns, constraints, indexes, functions, triggers."""

    async def ask() -> list[str]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("""
                SELECT format(
                    '%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
                FROM information_schema.columns WHERE table_schema = 'public'
                UNION ALL SELECT format('%s: %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
                    WHERE connamespace = 'public'::regnamespace
                UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
                UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc
                    WHERE pronamespace = 'public'::regnamespace
                UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
                ORDER BY 1""")
            return [row[0] for row in rows]
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_the_migrations_create_the_tables_of_the_code(empty_database: str) -> None:
    migrate(empty_database)

    alembic.command.check(alembic_config(empty_database))


def test_a_downgrade_removes_everything_and_an_upgrade_restores_it(empty_database: str) -> None:
    migrate(empty_database)
    first = catalogue(empty_database)

    alembic.command.downgrade(alembic_config(empty_database), "base")
    left = [thing for thing in catalogue(empty_database) if "alembic_version" not in thing]
    migrate(empty_database)

    assert left == []
    assert catalogue(empty_database) == first
    assert any("jobs_guard" in thing for thing in first)


def test_migrating_twice_changes_nothing(settings: Settings) -> None:
    before = catalogue(settings.database_url)

    migrate(settings.database_url)

    assert catalogue(settings.database_url) == before
