"""What can be done with datasets. Commits nothing, and touches no file: its callers do."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.errors import Unauthorized
from app.core.files import StoredFile
from app.datasets.errors import DatasetInUse, DatasetNotFound
from app.datasets.options import AS_FOUND, ReadOptions
from app.datasets.values import Column, Format
from app.quotas import queries as quotas
from app.quotas.service import StorageQuota

_ADD: Final = """
INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, options, rows_bytes,
    rows_sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *"""

_JOBS_IN_NEED: Final = """
SELECT count(*) FROM jobs WHERE dataset_id = $1 AND status IN ('pending', 'running')"""


async def add(
    connection: asyncpg.Connection,
    dataset_id: UUID,
    owner_id: UUID,
    *,
    name: str,
    file_format: Format,
    content: StoredFile,
    rows: StoredFile,
    row_count: int,
    columns: Sequence[Column],
    options: ReadOptions = AS_FOUND,
    quota: StorageQuota,
) -> asyncpg.Record:
    """Make a dataset of two files that are whole in storage; to be called in a transaction.

    Raises QuotaExceeded. The owner's row is locked, so that of many at once none slips through.
    """
    if not await quotas.lock(connection, owner_id):
        raise Unauthorized  # deleted while the file came in
    async with quota.checked(connection, owner_id):
        row = await connection.fetchrow(
            _ADD,
            *(dataset_id, owner_id, name, file_format.value, content.bytes, content.sha256),
            *(row_count, msgspec.to_builtins(columns), msgspec.to_builtins(options)),
            *(rows.bytes, rows.sha256),
        )
    assert row is not None  # noqa: S101  # RETURNING
    return row


async def delete(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> None:
    """Delete a dataset's row; to be called in a transaction. Raises DatasetNotFound and DatasetInUse.

    A submit holds the row for share until its job is committed: either we wait for it and then see its job,
    or it waits for us and then finds no dataset.
    """
    found = await connection.fetchrow(
        "SELECT id FROM datasets WHERE id = $1 AND owner_id = $2 FOR UPDATE", dataset_id, owner_id
    )
    if found is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    jobs = await connection.fetchval(_JOBS_IN_NEED, dataset_id)
    if jobs:
        raise DatasetInUse(dataset_id=str(dataset_id), jobs=jobs)
    await connection.execute("DELETE FROM datasets WHERE id = $1", dataset_id)
