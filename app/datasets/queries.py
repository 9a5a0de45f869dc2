"""Reads of datasets."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.datasets.errors import DatasetNotFound
from app.datasets.values import Dataset

# One dataset, if this user owns it.
_OWN: Final = Statement("SELECT * FROM datasets WHERE id = :dataset_id AND owner_id = :owner_id")

# One dataset, if this user owns it, locked against deletion until the transaction ends.
_OWN_FOR_SHARE: Final = Statement(
    "SELECT * FROM datasets WHERE id = :dataset_id AND owner_id = :owner_id FOR SHARE"
)

# The next datasets of an owner, newest first, as many as a page holds.
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT * FROM datasets WHERE owner_id = :owner_id AND (:before::uuid IS NULL OR id < :before)
        ORDER BY id DESC LIMIT :limit""",
        size="octet_length(columns::text)",
        order="id DESC",
    )
)

# The digest of the file that was uploaded.
_SHA256: Final = Statement("SELECT sha256 FROM datasets WHERE id = :dataset_id")

# How many unfinished jobs read a dataset.
_UNFINISHED_JOBS: Final = Statement(
    "SELECT count(*) FROM jobs WHERE dataset_id = :dataset_id AND status IN ('pending', 'running')"
)


async def get(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> Dataset:
    """A dataset of this owner. Raises DatasetNotFound, also for a dataset of another user."""
    row = await _OWN.fetchrow(connection, owner_id=owner_id, dataset_id=dataset_id)
    if row is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    return Dataset.from_row(row)


async def get_for_job(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> Dataset:
    """A dataset of this owner, protected from deletion until the caller's transaction ends.

    Raises DatasetNotFound.
    """
    row = await _OWN_FOR_SHARE.fetchrow(connection, owner_id=owner_id, dataset_id=dataset_id)
    if row is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    return Dataset.from_row(row)


async def page(
    connection: asyncpg.Connection, owner_id: UUID, *, before: UUID | None, limit: int
) -> Page[Dataset]:
    """The datasets of an owner, newest first, starting after the one with the id `before`."""
    rows = await _PAGE.fetch(connection, owner_id=owner_id, before=before, limit=limit + 1)
    return to_page(rows, limit, Dataset.from_row)


async def sha256(connection: asyncpg.Connection, dataset_id: UUID) -> str | None:
    """The digest of the uploaded file; None if the dataset has been deleted."""
    digest: str | None = await _SHA256.fetchval(connection, dataset_id=dataset_id)
    return digest


async def unfinished_jobs(connection: asyncpg.Connection, dataset_id: UUID) -> int:
    """How many pending or running jobs read a dataset."""
    count: int = await _UNFINISHED_JOBS.fetchval(connection, dataset_id=dataset_id)
    return count
