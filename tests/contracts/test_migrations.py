"""The migrations create the tables of the code, can be undone, and leave the previous version working."""

import asyncio
import os
from pathlib import Path

import alembic.command
import asyncpg
import pytest
from alembic.config import Config

from app.cli.migrations import ALEMBIC_INI, alembic_config, migrate
from app.core.config import Settings
from app.operations.schema_check import needed_revision
from tests.conftest import Servers
from tests.contracts import schema_changes
from tests.contracts.schema_changes import FIRST_CHECKED, Revision


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


def test_a_revision_takes_away_only_what_a_release_has_stopped_using() -> None:
    config = offline_config()
    read = [schema_changes.read(config, number) for number in schema_changes.numbers(config)]

    assert {revision.number: schema_changes.faults(revision) for revision in read} == {
        revision.number: [] for revision in read
    }
    assert read[-1].number == needed_revision()


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE jobs",
        "drop index if exists ix_jobs_need_dataset",
        "ALTER TABLE jobs DROP COLUMN files",
        "ALTER TABLE jobs ADD COLUMN extra text, DROP files",
        "ALTER TABLE jobs ALTER COLUMN params DROP DEFAULT",
        "DO $$ BEGIN DROP TRIGGER jobs_guard ON jobs; END $$",
        "ALTER TABLE jobs RENAME TO work",
        "ALTER TABLE jobs RENAME COLUMN files TO inputs",
        "ALTER INDEX ix_jobs_need_dataset RENAME TO ix_jobs_of_dataset",
        "ALTER TABLE jobs ALTER COLUMN files SET NOT NULL",
        "ALTER TABLE jobs\n  ALTER files\n  SET  NOT  NULL",
        "ALTER TABLE jobs ALTER COLUMN attempt TYPE bigint",
        "ALTER TABLE jobs ALTER COLUMN attempt SET DATA TYPE bigint",
        "ALTER TABLE jobs ADD COLUMN extra numeric(10, 2) NOT NULL",
        "ALTER TABLE jobs ADD extra text NOT NULL",
    ],
)
def test_what_breaks_the_previous_version_needs_a_contract_line(sql: str, tmp_path: Path) -> None:
    [fault] = schema_changes.faults(revision_of(tmp_path, sql))

    assert fault.startswith("no contract line names what")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE extra (id uuid NOT NULL, at timestamptz NOT NULL)",
        "CREATE INDEX ix_jobs_extra ON jobs (id) WHERE files IS NOT NULL",
        "ALTER TABLE jobs ADD COLUMN extra text, ADD COLUMN more integer NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN extra bigint NOT NULL GENERATED ALWAYS AS (done * 2) STORED",
        "ALTER TABLE jobs ADD CONSTRAINT ck_jobs_extra CHECK (files IS NOT NULL OR done >= 0) NOT VALID",
        "-- does not drop anything\nALTER TABLE jobs ADD COLUMN extra text",
    ],
)
def test_what_only_adds_needs_no_contract_line(sql: str, tmp_path: Path) -> None:
    assert schema_changes.faults(revision_of(tmp_path, sql)) == []


@pytest.mark.parametrize(
    ("contract", "compatible_with", "fault"),
    [
        ("contract: 0011 stopped using the column jobs.files", "0011", None),
        ("contract: 0009 stopped using the column jobs.files", "0011", None),
        ("contract: 0011 stopped using the column jobs.files", "0010", "compatible_with must be 0011"),
        ("contract: 0011 stopped using the column jobs.errors", "0011", "no contract line names"),
        ("contract: the last release stopped using jobs.files", "0011", "does not read"),
        ("", "9999", "is no revision up to its own"),
    ],
)
def test_a_contract_line_names_the_thing_and_a_release_that_compatible_with_requires(
    contract: str, compatible_with: str, fault: str | None, tmp_path: Path
) -> None:
    revision = revision_of(
        tmp_path, "ALTER TABLE jobs DROP COLUMN files", contract=contract, compatible_with=compatible_with
    )

    found = schema_changes.faults(revision)

    if fault is None:
        assert found == []
    else:
        assert any(fault in sentence for sentence in found), found


def offline_config() -> Config:
    """Alembic's configuration without any database."""
    return Config(ALEMBIC_INI)


def revision_of(
    folder: Path, sql: str, *, contract: str = "", compatible_with: str = FIRST_CHECKED
) -> Revision:
    """Add a revision to the existing ones, and read it as the contract test reads them."""
    number = f"{int(needed_revision()) + 1:04d}"
    (folder / f"{number}_made_up.py").write_text(
        f'''"""Made up by a test.

{contract}
"""

from alembic import op

revision = "{number}"
down_revision = "{needed_revision()}"
branch_labels = None
depends_on = None
compatible_with = "{compatible_with}"


def upgrade() -> None:
    op.execute({sql!r})
'''
    )
    config = offline_config()
    versions = ALEMBIC_INI.parent / "alembic" / "versions"
    config.set_main_option("version_locations", os.pathsep.join([str(versions), str(folder)]))
    return schema_changes.read(config, number)
