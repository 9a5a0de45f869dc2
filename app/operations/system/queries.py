"""Reads of the state of the system."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

import asyncpg

from app.core.rows import Row
from app.core.sql import Statement

# Which database is it, how large was it when it was last measured, and what is in it?
_DATABASE: Final = Statement("""
SELECT now() AS now, current_setting('server_version') AS version,
    (SELECT max(version_num) FROM alembic_version) AS revision,
    s.database_bytes AS bytes, s.totals_at AS measured_at,
    (SELECT coalesce(sum(bytes), 0)::bigint FROM stored_bytes) AS stored_bytes,
    (SELECT count(*) FROM jobs WHERE status = 'running' AND parent_id IS NULL) AS running_jobs
FROM (VALUES (1)) always LEFT JOIN system_stats s ON true""")


@dataclass(frozen=True)
class DatabaseState:
    """The database. `bytes` is its size at `measured_at`; both are None before the first measurement.

    `stored_bytes` are what users store, in Postgres and in files.
    """

    now: datetime
    version: str
    revision: str | None
    bytes: int | None
    measured_at: datetime | None
    stored_bytes: int
    running_jobs: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the query."""
        return cls(
            now=row["now"],
            version=row["version"],
            revision=row["revision"],
            bytes=row["bytes"],
            measured_at=row["measured_at"],
            stored_bytes=row["stored_bytes"],
            running_jobs=row["running_jobs"],
        )


async def database(connection: asyncpg.Connection) -> DatabaseState:
    """Return the state of the database."""
    row = await _DATABASE.fetchrow(connection)
    assert row is not None  # noqa: S101  # a row of VALUES is always there
    return DatabaseState.from_row(row)
