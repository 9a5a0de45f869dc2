"""Changes of reports. The caller owns the transaction."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Store the report of a version. It is deleted with the version.
_STORE: Final = Statement("INSERT INTO model_reports (version_id, report) VALUES (:version_id, :report)")


async def store(connection: asyncpg.Connection, version_id: UUID, report: Mapping[str, Any]) -> None:
    """Store the report of a version that the caller's transaction has added."""
    await _STORE.execute(connection, version_id=version_id, report=dict(report))
