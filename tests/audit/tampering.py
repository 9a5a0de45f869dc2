"""What only somebody who controls the server can do: change the audit log past its guards."""

from typing import Any

import asyncpg

from app.core.config import Settings
from app.core.database import Database, asyncpg_dsn
from tests.conftest import Servers


class Tampering:
    """Runs statements as the superuser, with all triggers off."""

    def __init__(self, servers: Servers, settings: Settings) -> None:
        name = asyncpg_dsn(settings.database_url).rpartition("/")[2].partition("?")[0]
        self._url = servers.embedded.postgres.admin_url_for(name)

    async def run(self, statement: str, *arguments: Any) -> None:
        """Run a statement, and commit it."""
        connection = await asyncpg.connect(asyncpg_dsn(self._url))
        try:
            await connection.execute("SET session_replication_role = replica")
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()


async def entries(database: Database) -> list[asyncpg.Record]:
    """Return all entries, in the order in which they were recorded."""
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM audit_log ORDER BY id")
