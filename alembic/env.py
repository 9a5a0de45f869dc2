"""Alembic environment: database URL, table metadata and revision numbers.

The URL comes from `config.attributes["database_url"]` or else from the setting DATABASE_URL. Alembic calls
this file synchronously, and it starts its own event loop: from within a running loop, call `alembic.command`
through `asyncio.to_thread`.
"""

import asyncio
from collections.abc import Iterable

from alembic import context
from alembic.migration import MigrationContext
from alembic.operations.ops import MigrationScript
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.core.config import load_settings
from app.core.database import sqlalchemy_url
from app.tables import metadata

# An arbitrary key that nothing else in this database uses for advisory locks.
MIGRATION_LOCK = 4_721_001


def database_url() -> str:
    """Return the URL of the database to migrate."""
    return context.config.attributes.get("database_url") or load_settings().database_url


def number_revision(
    migration: MigrationContext,
    revision: str | Iterable[str | None] | Iterable[str],
    directives: list[MigrationScript],
) -> None:
    """Give a new revision the next four-digit number instead of a random id."""
    head = context.script.get_current_head()
    directives[0].rev_id = f"{int(head or 0) + 1:04d}"


def migrate(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        process_revision_directives=number_revision,
    )
    with context.begin_transaction():
        # Serialises replicas that start at the same time: the first migrates, the others have nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
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
        target_metadata=metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
else:
    asyncio.run(migrate_online())
