"""Changes of datasets. The caller owns the transaction and the files in storage."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.errors import Unauthorized
from app.core.files import StoredFile
from app.core.sql import Statement
from app.datasets import queries
from app.datasets.errors import DatasetInUse, DatasetNotFound
from app.datasets.options import AS_FOUND, ReadOptions
from app.datasets.profiling.messages import Profile
from app.datasets.values import Column, Dataset, Format, Lineage
from app.quotas import queries as quotas
from app.quotas.service import StorageQuota

# Add a dataset.
_CREATE: Final = Statement("""
INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, options, rows_bytes,
    rows_sha256, lineage)
VALUES (:id, :owner_id, :name, :format, :bytes, :sha256, :rows, :columns, :options, :rows_bytes,
    :rows_sha256, :lineage)
RETURNING *""")

# Lock a dataset of this owner against changes and against new jobs.
_LOCK: Final = Statement("SELECT id FROM datasets WHERE id = :dataset_id AND owner_id = :owner_id FOR UPDATE")

# Delete a dataset.
_DELETE: Final = Statement("DELETE FROM datasets WHERE id = :dataset_id")

# Keep the profile of a dataset, unless it was deleted or has one.
_KEEP_PROFILE: Final = Statement("""
INSERT INTO dataset_profiles (dataset_id, profile)
SELECT id, :profile FROM datasets WHERE id = :dataset_id
ON CONFLICT (dataset_id) DO NOTHING""")


async def create(
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
) -> Dataset:
    """Create a dataset from two files that are already in storage. Call it in a transaction.

    Locks the owner's row, so that concurrent uploads cannot exceed the quota together. Raises QuotaExceeded,
    and Unauthorized if the owner has been deleted in the meantime.
    """
    if await quotas.lock(connection, owner_id) is None:
        raise Unauthorized
    async with quota.checked(connection, owner_id):
        return await insert(
            connection,
            dataset_id,
            owner_id,
            name=name,
            file_format=file_format,
            content=content,
            rows=rows,
            row_count=row_count,
            columns=columns,
            options=options,
        )


async def insert(
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
    lineage: Lineage | None = None,
) -> Dataset:
    """Insert a dataset in a transaction in which the caller checks the quota of the owner."""
    row = await _CREATE.fetchrow(
        connection,
        id=dataset_id,
        owner_id=owner_id,
        name=name,
        format=file_format.value,
        bytes=content.bytes,
        sha256=content.sha256,
        rows=row_count,
        columns=msgspec.to_builtins(columns),
        options=msgspec.to_builtins(options),
        rows_bytes=rows.bytes,
        rows_sha256=rows.sha256,
        lineage=msgspec.to_builtins(lineage),
    )
    assert row is not None  # noqa: S101  # RETURNING
    return Dataset.from_row(row)


async def delete(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> None:
    """Delete the row of a dataset. Call it in a transaction. Raises DatasetNotFound and DatasetInUse.

    A submit holds the row FOR SHARE until its job is committed. Either the deletion waits for the submit and
    then sees its job, or the submit waits for the deletion and then finds no dataset.
    """
    if await _LOCK.fetchval(connection, owner_id=owner_id, dataset_id=dataset_id) is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    if jobs := await queries.unfinished_jobs(connection, owner_id, dataset_id):
        raise DatasetInUse(dataset_id=str(dataset_id), jobs=jobs)
    await _DELETE.execute(connection, dataset_id=dataset_id)


async def keep_profile(connection: asyncpg.Connection, dataset_id: UUID, profile: Profile) -> None:
    """Keep the profile of a dataset that still exists. The first of several is kept; they are equal."""
    await _KEEP_PROFILE.execute(connection, dataset_id=dataset_id, profile=msgspec.to_builtins(profile))
