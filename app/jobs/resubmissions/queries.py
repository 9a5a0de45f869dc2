"""Reads of what is stored of the request that created a job."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.core.sql import Statement

MAX_ROWS_BYTES: Final = 2 * 1024 * 1024
"""Rows of more bytes are not read to restore a request."""

# Which limits were this job created with, which files does it read, and which rows were submitted with it?
_STORED: Final = Statement(f"""
SELECT j.soft_limit_seconds, j.time_limit_seconds, j.retention_seconds, j.profile, j.gpus, j.files,
    p.job_id IS NOT NULL AS has_rows, substring(p.rows FROM 1 FOR 2) AS first_bytes,
    CASE WHEN octet_length(p.rows) <= {MAX_ROWS_BYTES} THEN p.rows END AS rows
FROM jobs j LEFT JOIN job_payloads p ON p.job_id = j.id WHERE j.id = :job_id""")


@dataclass(frozen=True)
class StoredOptions:
    """What is stored of a request beside the params. `rows` is None if there are none, or too many."""

    soft_limit_seconds: int
    time_limit_seconds: int
    retention_seconds: int
    is_profiled: bool
    gpus: int
    files: dict[str, StoredFile]
    has_rows: bool
    has_text_rows: bool
    rows: bytes | None


async def stored_options(connection: asyncpg.Connection, job_id: UUID) -> StoredOptions | None:
    """Return what is stored; None if the job is gone."""
    row = await _STORED.fetchrow(connection, job_id=job_id)
    if row is None:
        return None
    return StoredOptions(
        soft_limit_seconds=row["soft_limit_seconds"],
        time_limit_seconds=row["time_limit_seconds"],
        retention_seconds=row["retention_seconds"],
        is_profiled=row["profile"],
        gpus=row["gpus"],
        files=msgspec.convert(row["files"] or {}, dict[str, StoredFile]),
        has_rows=row["has_rows"],
        has_text_rows=row["first_bytes"] == b'["',
        rows=row["rows"],
    )
