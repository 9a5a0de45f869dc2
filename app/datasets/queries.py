"""What can be asked about datasets. Nothing here changes anything."""

from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import paging
from app.core.files import StoredFile
from app.datasets import storage_keys
from app.datasets.errors import DatasetNotFound
from app.datasets.values import Column, Dataset, Format

_PAGE: Final = paging.bounded(
    """SELECT * FROM datasets WHERE owner_id = $1 AND ($2::uuid IS NULL OR id < $2)
    ORDER BY id DESC LIMIT $3""",
    size="octet_length(columns::text)",
    order="id DESC",
)


async def get_for_job(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> Dataset:
    """A dataset of this owner, which stays until the caller's transaction ends. Raises DatasetNotFound."""
    row = await connection.fetchrow(
        "SELECT * FROM datasets WHERE id = $1 AND owner_id = $2 FOR SHARE", dataset_id, owner_id
    )
    if row is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    return dataset(row)


async def get_own(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> asyncpg.Record:
    """The row of a dataset of this owner. Raises DatasetNotFound, also for somebody else's."""
    row = await connection.fetchrow(
        "SELECT * FROM datasets WHERE id = $1 AND owner_id = $2", dataset_id, owner_id
    )
    if row is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    return row


async def page(
    connection: asyncpg.Connection, owner_id: UUID, *, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """An owner's datasets, newest first, from the one before `before` on."""
    return await connection.fetch(_PAGE, owner_id, before, limit)


def dataset(row: asyncpg.Record) -> Dataset:
    """A row of `datasets`."""
    return Dataset(
        id=row["id"],
        name=row["name"],
        format=Format(row["format"]),
        rows=row["rows"],
        columns=msgspec.convert(row["columns"], tuple[Column, ...]),
        sha256=row["sha256"],
        file=StoredFile(storage_keys.rows_key(row["id"]), row["rows_bytes"], row["rows_sha256"]),
    )


async def sha256(connection: asyncpg.Connection, dataset_id: UUID) -> str | None:
    """The digest of a dataset's file as it came; None if it is gone."""
    digest: str | None = await connection.fetchval("SELECT sha256 FROM datasets WHERE id = $1", dataset_id)
    return digest
