"""Compares the schema of a database with the one that this version of the code needs."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import asyncpg

from app.cli.errors import CannotStart
from app.core.database import CONNECT_SECONDS, asyncpg_dsn
from app.operations.schema_check import needed_revision

PAUSE_SECONDS: Final = 1.0

# A role, its password or the database may still be created while this waits.
_REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
_UNAVAILABLE: Final = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)


@dataclass(frozen=True)
class SchemaVersion:
    """The revision of a database and the oldest revision whose code works on it; None if there is none."""

    revision: str | None
    floor: str | None


def read(database_url: str) -> SchemaVersion:
    """Read the version of a database's schema. Not from within an event loop."""
    return asyncio.run(_read(database_url))


def wait_for_postgres(database_url: str, *, wait_seconds: float) -> None:
    """Wait until Postgres accepts a connection. Raises CannotStart after `wait_seconds`."""
    _wait(database_url, wait_seconds, lambda _found: None)


def ensure_schema(database_url: str, *, wait_seconds: float) -> None:
    """Wait until the schema is one that this version works on.

    Raises CannotStart if it is still older after `wait_seconds`, at once if this version is too old for it.
    """
    needed = needed_revision()

    def fault(found: SchemaVersion) -> str | None:
        if found.revision is not None and found.revision >= needed:
            if found.floor is not None and found.floor > needed:
                raise CannotStart(
                    f"The database is at revision {found.revision}, which works with {found.floor} or newer; "
                    f"this version is {needed}. Deploy a newer version."
                )
            return None
        at = f"at revision {found.revision}" if found.revision else "empty"
        return f"The database is {at}; this version needs {needed}. Run `headrace migrate`."

    _wait(database_url, wait_seconds, fault)


def _wait(database_url: str, wait_seconds: float, fault: Callable[[SchemaVersion], str | None]) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            message = fault(read(database_url))
        except _REFUSED as error:
            message = f"Postgres refuses DATABASE_URL: {error}"
        except _UNAVAILABLE as error:
            message = f"Postgres cannot be reached: {str(error) or type(error).__name__}"
        if message is None:
            return
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise CannotStart(message)
        time.sleep(PAUSE_SECONDS)


async def _read(database_url: str) -> SchemaVersion:
    connection = await asyncpg.connect(asyncpg_dsn(database_url), timeout=CONNECT_SECONDS)
    try:
        return SchemaVersion(
            revision=await _value(connection, "alembic_version", "version_num"),
            floor=await _value(connection, "schema_floor", "revision"),
        )
    finally:
        await connection.close()


async def _value(connection: asyncpg.Connection, table: str, column: str) -> str | None:
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return None
    value: str | None = await connection.fetchval(f"SELECT {column} FROM {table}")  # noqa: S608  # constants
    return value
