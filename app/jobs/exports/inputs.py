"""The input rows of a job, to be shown with the results that belong to them.

They are read from where the job reads them: its payload, or its dataset.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import pyarrow as pa

from app.core.resources import Resources
from app.core.storage import Storage
from app.datasets import queries as datasets
from app.datasets import reading, stored_files
from app.datasets.errors import DatasetNotFound
from app.datasets.reading import RowReader
from app.jobs import queries
from app.jobs.errors import DatasetDeleted, NoInputRows, ResultsExpired
from app.jobs.exports.layout import MAX_COLUMNS, Path
from app.jobs.job import Job
from app.jobs.kinds.kind import Kind
from app.jobs.results import ResultBatch

_WHOLE: Final[tuple[Path, ...]] = ((),)
"""The path to a row that is one value."""

_decode: Final = msgspec.json.Decoder(list[Any]).decode


class JobInput(Protocol):
    """The input rows of one job. `paths` lead to the values of a row."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """One path for each column; the path to the row itself if it is no object."""

    def attach(self, batches: AsyncGenerator[ResultBatch, None]) -> AsyncGenerator[ResultBatch, None]:
        """Yield the batches with their input rows, a large batch in pieces. Closes `batches` at its end.

        Raises FileMissing, StorageUnavailable.
        """


async def find(
    resources: Resources, job: Job, kinds: Mapping[str, Kind], *, as_cells: bool = False
) -> JobInput:
    """Return the input of a job; with `as_cells` with each cell of a dataset as it was written.

    Otherwise only those are texts whose type would lose how they were written.
    Raises NoInputRows, DatasetDeleted, ResultsExpired.
    """
    kind = kinds.get(job.kind)
    if kind is None or not kind.outputs_rows:
        raise NoInputRows(kind=job.kind)
    if job.dataset_id is not None:
        read = reading.as_cells if as_cells else reading.as_stored
        return await _find_dataset(resources, job, job.dataset_id, read)
    async with resources.database.connection() as connection:
        payload = await queries.payload(connection, job.id)
    if payload is None:
        raise ResultsExpired(job_id=str(job.id))
    rows = await asyncio.to_thread(_decode, payload)
    return PayloadInput(rows, len(payload))


async def _find_dataset(
    resources: Resources, job: Job, dataset_id: UUID, read: Callable[[pa.Table, int], list[Any]]
) -> "DatasetInput":
    async with resources.database.connection() as connection:
        try:
            dataset = await datasets.get(connection, job.owner_id, dataset_id)
        except DatasetNotFound:
            raise DatasetDeleted(job_id=str(job.id)) from None
    paths = tuple((column.name,) for column in dataset.columns)
    return DatasetInput(paths, resources.storage, dataset.file.key, read)


class PayloadInput:
    """Rows that were submitted with the job, together of `size` bytes as JSON."""

    def __init__(self, rows: Sequence[Any], size: int) -> None:
        self._rows = rows
        self._row_bytes = size // max(1, len(rows))

    @property
    def paths(self) -> tuple[Path, ...]:
        """One path for each name that objects have; the path to the row itself if a row is no object."""
        if not all(isinstance(row, dict) for row in self._rows):
            return _WHOLE
        names = dict.fromkeys(name for row in self._rows for name in row)
        return tuple((name,) for name in names) if len(names) <= MAX_COLUMNS else _WHOLE

    async def attach(self, batches: AsyncGenerator[ResultBatch, None]) -> AsyncGenerator[ResultBatch, None]:
        """Yield the batches with their input rows."""
        async with aclosing(batches):
            async for batch in batches:
                inputs = self._rows[batch.first_row : batch.first_row + len(batch.lines)]
                yield replace(batch, inputs=inputs, input_bytes=len(inputs) * self._row_bytes)


@dataclass(frozen=True)
class DatasetInput:
    """Rows of a dataset. `read` returns the values of a column."""

    paths: tuple[Path, ...]
    storage: Storage
    key: str
    read: Callable[[pa.Table, int], list[Any]]

    async def attach(self, batches: AsyncGenerator[ResultBatch, None]) -> AsyncGenerator[ResultBatch, None]:
        """Yield the batches with their input rows, in pieces of at most one row group of the dataset."""
        async with aclosing(batches):
            reader = await asyncio.to_thread(self._open)
            try:
                async for batch in batches:
                    rest = batch
                    while rest.output:
                        count = max(1, reader.rows_in_group(rest.first_row))
                        yield await asyncio.to_thread(self._attach, reader, rest.part(0, count))
                        rest = rest.part(count)
            finally:
                reader.close()

    def _open(self) -> RowReader:
        with stored_files.as_storage_errors(self.key):
            return RowReader(self.storage.local_path(self.key) or self.storage.reader(self.key))

    def _attach(self, reader: RowReader, piece: ResultBatch) -> ResultBatch:
        with stored_files.as_storage_errors(self.key):
            table = reader.table(piece.first_row, len(piece.lines))
        return replace(piece, inputs=reading.objects(table, self.read), input_bytes=table.nbytes)
