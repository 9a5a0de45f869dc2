"""Migrates a database to the current schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import alembic.command
import asyncpg
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from app.cli import schema_version
from app.cli.errors import CannotStart
from app.cli.output import print_json
from app.core import hardening
from app.core.config import load_database_url

ALEMBIC_INI: Final = Path(__file__).parents[2] / "alembic.ini"

_REFUSALS: Final[Mapping[type[asyncpg.PostgresError], str]] = {
    asyncpg.LockNotAvailableError: "Run it again when no statement holds the lock.",
    asyncpg.InsufficientPrivilegeError: "Migrate as the role that owns the tables.",
}


def run(*, check: bool, wait_seconds: float, as_json: bool) -> None:
    """Migrate the database at DATABASE_URL, or only check that its schema fits this version.

    Waits up to `wait_seconds` for Postgres, or for the schema. Raises CannotStart.
    """
    database_url = load_database_url()
    hardening.drop_secrets()
    if check:
        schema_version.ensure_schema(database_url, wait_seconds=wait_seconds)
    else:
        schema_version.wait_for_postgres(database_url, wait_seconds=wait_seconds)
        migrate(database_url)
    revision = schema_version.read(database_url).revision
    if as_json:
        print_json({"revision": revision})
    else:
        print(f"The database is at revision {revision}.")


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for one database."""
    config = Config(ALEMBIC_INI)
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str) -> None:
    """Run the missing migrations. Not from within an event loop: Alembic runs one of its own.

    Raises CannotStart if Postgres refuses a statement for want of a lock or of a privilege.
    """
    config = alembic_config(database_url)
    config.attributes["compares_tables"] = False
    try:
        alembic.command.upgrade(config, "head")
    except DBAPIError as error:
        cause = None if error.orig is None else error.orig.__cause__
        for refusal, advice in _REFUSALS.items():
            if isinstance(cause, refusal):
                raise CannotStart(f"The migration failed and was rolled back: {cause}. {advice}") from None
        raise
