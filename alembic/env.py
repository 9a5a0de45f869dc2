"""Alembic environment: database URL, table metadata and revision numbers.

The URL comes from `config.attributes["database_url"]` or else from the setting DATABASE_URL. Alembic calls
this file synchronously, and it starts its own event loop: from within a running loop, call `alembic.command`
through `asyncio.to_thread`.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

from alembic import context
from alembic.migration import MigrationContext
from alembic.operations.ops import MigrationScript
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.core.config import load_settings
from app.core.database import sqlalchemy_url

# An arbitrary key that nothing else in this database uses for advisory locks.
MIGRATION_LOCK = 4_721_001
LOCK_SECONDS = 5
FLOOR_SINCE = "0011"
"""The revision that has created `schema_floor`."""


def database_url() -> str:
    """Return the URL of the database to migrate."""
    return context.config.attributes.get("database_url") or load_settings().database_url


def compared_tables() -> MetaData | None:
    """The tables of the code; None for `app.cli.migrations.migrate`, which compares nothing with them."""
    if not context.config.attributes.get("compares_tables", True):
        return None
    from app.tables import metadata  # imports the tables of all domains

    return metadata


def number_revision(
    migration: MigrationContext,
    revision: str | Iterable[str | None] | Iterable[str],
    directives: list[MigrationScript],
) -> None:
    """Give a new revision the next four-digit number instead of a random id."""
    head = context.script.get_current_head()
    directives[0].rev_id = f"{int(head or 0) + 1:04d}"


def write_floor(*, ctx: MigrationContext, heads: Collection[Any], **_unused: Any) -> None:
    """Record the oldest revision whose code works on the schema, in the transaction of the revision itself.

    Each revision says so of the schema that it leaves behind, as `compatible_with`; the highest counts.
    """
    if not heads or max(heads) < FLOOR_SINCE:
        return
    applied = context.script.iterate_revisions(max(heads), FLOOR_SINCE, inclusive=True)
    floor = max(revision.module.compatible_with for revision in applied)
    ctx.execute("DELETE FROM schema_floor")
    ctx.execute(f"INSERT INTO schema_floor (revision) VALUES ('{floor}')")  # noqa: S608  # of our own file


def migrate(connection: Connection) -> None:
    """Run the migrations, each in a transaction of its own.

    So one of them can build an index concurrently, in an `autocommit_block`.
    """
    # Serialises replicas that start at the same time: the first migrates, the others have nothing to do.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    # Every other statement queues behind a migration that waits for a lock: better it fails and is run again.
    connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=compared_tables(),
        compare_type=True,
        compare_server_default=True,
        process_revision_directives=number_revision,
        transaction_per_migration=True,
        on_version_apply=write_floor,  # type: ignore[arg-type]  # it is called with keywords, as documented
    )
    with context.begin_transaction():
        context.run_migrations()


async def migrate_online() -> None:
    """Connect to the database and run the migrations."""
    engine = create_async_engine(sqlalchemy_url(database_url()), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


def print_sql() -> None:
    """Print the SQL instead of executing it (`--sql`), without a database connection."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=compared_tables(),
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        on_version_apply=write_floor,  # type: ignore[arg-type]  # it is called with keywords, as documented
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
else:
    asyncio.run(migrate_online())
