"""The database of commands that work beside a running system."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from app.cli import schema_version
from app.cli.errors import CannotStart
from app.core import hardening
from app.core.config import load_database_url
from app.core.database import Database, open_database
from app.core.errors import ConfigurationError
from app.embedded import postgres

_NO_URL: Final = "DATABASE_URL: Field required"


@asynccontextmanager
async def open_database_of(data: Path | None) -> AsyncIterator[Database]:
    """Open the database at DATABASE_URL, or that of the system that runs on a data folder.

    Raises CannotStart, and ConfigurationError without either.
    """
    database_url = _database_url(data)
    hardening.drop_secrets()
    await asyncio.to_thread(schema_version.ensure_schema, database_url, wait_seconds=0)
    async with open_database(database_url, pool_size=2) as database:
        yield database


def _database_url(data: Path | None) -> str:
    if data is None:
        try:
            return load_database_url()
        except ConfigurationError as error:
            if str(error) != _NO_URL:
                raise
            raise ConfigurationError(
                "Set DATABASE_URL, or pass the folder of the system that `headrace dev` runs with --data"
            ) from None
    url = postgres.running_url((data / "postgres").absolute())
    if url is None:
        raise CannotStart(f"no Postgres runs on {data}. Start it with `headrace dev --data {data}`.")
    return url
