"""Reads of datasets."""

from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.datasets import storage_keys
from app.datasets.errors import DatasetNotFound, NoDatasetOfThatName
from app.datasets.values import Dataset, DatasetReference

# One dataset, if this user owns it.
_OWN: Final = Statement("SELECT * FROM datasets WHERE id = :dataset_id AND owner_id = :owner_id")

# One dataset, if this user owns it, locked against deletion until the transaction ends.
_OWN_FOR_SHARE: Final = Statement(
    "SELECT * FROM datasets WHERE id = :dataset_id AND owner_id = :owner_id FOR SHARE"
)

# The newest dataset of an owner with this name.
_NEWEST_ID: Final = Statement("""
SELECT id FROM datasets WHERE owner_id = :owner_id AND name = :name ORDER BY id DESC LIMIT 1""")

# The next datasets of an owner, newest first, as many as a page holds.
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT * FROM datasets WHERE owner_id = :owner_id AND (:before::uuid IS NULL OR id < :before)
            AND (:prefix::text IS NULL OR starts_with(lower(name), lower(:prefix)))
        ORDER BY id DESC LIMIT :limit""",
        size="octet_length(columns::text)",
        order="id DESC",
    )
)

# The next datasets of an owner that have this name, newest first, as many as a page holds.
_PAGE_OF_NAME: Final = Statement(
    paging.bounded(
        """SELECT * FROM datasets WHERE name = :name AND owner_id = :owner_id
        AND (:before::uuid IS NULL OR id < :before)
        AND (:prefix::text IS NULL OR starts_with(lower(name), lower(:prefix)))
        ORDER BY id DESC LIMIT :limit""",
        size="octet_length(columns::text)",
        order="id DESC",
    )
)

# The digest of the file that was uploaded.
_SHA256: Final = Statement("SELECT sha256 FROM datasets WHERE id = :dataset_id")

# How many unfinished jobs read a dataset, as their main one or as one of their files?
_UNFINISHED_JOBS: Final = Statement("""
SELECT
    (SELECT count(*) FROM jobs WHERE dataset_id = :dataset_id AND status IN ('pending', 'running'))
    + (SELECT count(*) FROM jobs j
        WHERE j.owner_id = :owner_id AND j.status IN ('pending', 'running')
            AND j.dataset_id IS DISTINCT FROM :dataset_id AND j.parent_id IS NULL
            AND EXISTS (SELECT FROM jsonb_each(j.files) file WHERE file.value ->> 'key' = :rows_key))""")

# The profile of a dataset, if it has been computed.
_PROFILE: Final = Statement("SELECT profile FROM dataset_profiles WHERE dataset_id = :dataset_id")


async def get(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> Dataset:
    """A dataset of this owner. Raises DatasetNotFound, also for a dataset of another user."""
    row = await _OWN.fetchrow(connection, owner_id=owner_id, dataset_id=dataset_id)
    if row is None:
        raise DatasetNotFound(dataset_id=str(dataset_id))
    return Dataset.from_row(row)


async def get_for_job(connection: asyncpg.Connection, owner_id: UUID, reference: DatasetReference) -> Dataset:
    """A dataset of this owner, protected from deletion until the caller's transaction ends.

    A name means the newest dataset of that name. Raises DatasetNotFound.
    """
    if isinstance(reference, str):
        return await _newest_for_job(connection, owner_id, reference)
    row = await _OWN_FOR_SHARE.fetchrow(connection, owner_id=owner_id, dataset_id=reference)
    if row is None:
        raise DatasetNotFound(dataset_id=str(reference))
    return Dataset.from_row(row)


async def _newest_for_job(connection: asyncpg.Connection, owner_id: UUID, name: str) -> Dataset:
    # One statement that orders and locks would find none if the newest is deleted while it waits.
    while (newest := await _NEWEST_ID.fetchval(connection, owner_id=owner_id, name=name)) is not None:
        row = await _OWN_FOR_SHARE.fetchrow(connection, owner_id=owner_id, dataset_id=newest)
        if row is not None:
            return Dataset.from_row(row)
    raise NoDatasetOfThatName(dataset=name)


async def page(
    connection: asyncpg.Connection,
    owner_id: UUID,
    *,
    name: str | None,
    before: UUID | None,
    limit: int,
    prefix: str | None = None,
) -> Page[Dataset]:
    """The datasets of an owner, newest first, after the one with the id `before`.

    Only those with the `name`, and those whose names begin with `prefix`, in any case.
    """
    if name is None:
        rows = await _PAGE.fetch(connection, owner_id=owner_id, before=before, prefix=prefix, limit=limit + 1)
    else:
        rows = await _PAGE_OF_NAME.fetch(
            connection, owner_id=owner_id, name=name, before=before, prefix=prefix, limit=limit + 1
        )
    return to_page(rows, limit, Dataset.from_row)


async def sha256(connection: asyncpg.Connection, dataset_id: UUID) -> str | None:
    """The digest of the uploaded file; None if the dataset has been deleted."""
    digest: str | None = await _SHA256.fetchval(connection, dataset_id=dataset_id)
    return digest


async def unfinished_jobs(connection: asyncpg.Connection, owner_id: UUID, dataset_id: UUID) -> int:
    """How many pending or running jobs read a dataset of this owner."""
    count: int = await _UNFINISHED_JOBS.fetchval(
        connection,
        owner_id=owner_id,
        dataset_id=dataset_id,
        rows_key=storage_keys.rows_key(dataset_id),
    )
    return count


async def profile(connection: asyncpg.Connection, dataset_id: UUID) -> bytes | None:
    """The profile of a dataset as JSON; None if it has not been computed."""
    found = await _PROFILE.fetchval(connection, dataset_id=dataset_id)
    return None if found is None else msgspec.json.encode(found)
