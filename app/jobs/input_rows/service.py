"""Reads the input rows of a job from where the job reads them: its payload, or its dataset."""

import asyncio
from typing import Any, Final

import msgspec

from app.core.resources import Resources
from app.core.storage import Storage
from app.datasets import queries as datasets
from app.datasets import reading, stored_files
from app.datasets.errors import DatasetNotFound
from app.datasets.reading import RowReader
from app.datasets.values import Dataset
from app.jobs import queries
from app.jobs.errors import InputDeleted, NoInput, ResultsExpired
from app.jobs.input_rows.schemas import InputPage
from app.jobs.job import Job

PAGE_BYTES: Final = 1024 * 1024

_decode: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


async def page(resources: Resources, job: Job, first_row: int, limit: int) -> InputPage:
    """Return input rows of a job: at least one if there are any, then as many as PAGE_BYTES hold.

    Raises NoInput, InputDeleted, ResultsExpired, FileMissing, StorageUnavailable.
    """
    if job.dataset_id is not None:
        return await _of_dataset(resources, job, first_row, limit)
    async with resources.database.connection() as connection:
        payload = await queries.payload(connection, job.id)
    if payload is None:
        if job.is_pruned:
            raise ResultsExpired(job_id=str(job.id))
        raise NoInput(kind=job.kind)
    rows = await asyncio.to_thread(_decode, payload)
    return InputPage(
        source="inline",
        dataset_id=None,
        first_row=first_row,
        total=len(rows),
        rows=_fitting(rows[first_row : first_row + limit]),
    )


async def _of_dataset(resources: Resources, job: Job, first_row: int, limit: int) -> InputPage:
    assert job.dataset_id is not None  # noqa: S101  # the caller has checked
    async with resources.database.connection() as connection:
        try:
            dataset = await datasets.get(connection, job.owner_id, job.dataset_id)
        except DatasetNotFound:
            raise InputDeleted(job_id=str(job.id)) from None
    rows = await asyncio.to_thread(_read, resources.storage, dataset, first_row, limit)
    return InputPage(
        source="dataset",
        dataset_id=dataset.id,
        first_row=first_row,
        total=dataset.rows,
        rows=rows,
    )


def _read(storage: Storage, dataset: Dataset, first_row: int, limit: int) -> list[msgspec.Raw]:
    key = dataset.file.key
    rows: list[msgspec.Raw] = []
    left_bytes = PAGE_BYTES
    with (
        stored_files.as_storage_errors(key),
        RowReader(storage.local_path(key) or storage.reader(key)) as reader,
    ):
        # Row by row: a row may be as large as the page.
        for number in range(first_row, min(first_row + limit, len(reader))):
            [row] = reading.objects(reader.table(number, 1), reading.as_stored)
            encoded = _encode(row)
            left_bytes -= len(encoded)
            if rows and left_bytes < 0:
                break
            rows.append(msgspec.Raw(encoded))
    return rows


def _fitting(rows: list[msgspec.Raw]) -> list[Any]:
    """Return the first rows that fit into a page, and at least one."""
    fitting: list[Any] = []
    left_bytes = PAGE_BYTES
    for row in rows:
        left_bytes -= len(bytes(row))
        if fitting and left_bytes < 0:
            break
        fitting.append(row)
    return fitting
