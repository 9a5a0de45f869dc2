"""Whether the database has been migrated for this version of the code."""

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import Final

from app.core.database import Database
from app.core.errors import DatabaseUnavailable, SchemaOutdated
from app.core.sql import Statement

PROBE_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 2.0
MIGRATIONS: Final = Path(__file__).parents[2] / "alembic" / "versions"

# Which revision is the schema at?
_REVISION: Final = Statement("SELECT version_num FROM alembic_version")


@lru_cache
def needed_revision() -> str:
    """Return the newest revision among the migrations of this version, from the names of their files."""
    return max(path.stem.partition("_")[0] for path in MIGRATIONS.glob("[0-9]*.py"))


class SchemaCheck:
    """Compares the revision of the schema with the one that this version needs, until it is recent enough."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_current = False
        self.is_outdated = False
        """What the last check has returned."""

    async def check(self) -> bool:
        """Return whether the schema is older. If Postgres does not answer, it may be current."""
        if self._is_current:
            return False
        try:
            async with asyncio.timeout(PROBE_SECONDS), self._database.connection() as connection:
                revision = await _REVISION.fetchval(connection)
        except SchemaOutdated:
            revision = None
        except (DatabaseUnavailable, TimeoutError):
            self.is_outdated = False
            return False
        self._is_current = revision is not None and revision >= needed_revision()
        self.is_outdated = not self._is_current
        return self.is_outdated

    async def run_until_current(self) -> None:
        """Check repeatedly, until the schema is recent enough: it is never downgraded."""
        await self.check()
        while not self._is_current:
            await asyncio.sleep(RETRY_SECONDS)
            await self.check()
