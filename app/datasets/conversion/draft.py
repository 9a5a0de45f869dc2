"""Writes rows while the types of their columns are still inferred, in the types that the first block has.

Nearly always these are the types of the whole file, and then the file has to be read only once. Otherwise the
draft is abandoned, and the rows are written in another pass. A draft raises no faults: a reason to refuse the
file is found in that pass, in the order of the file.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.conversion import notation
from app.datasets.conversion.cells import ColumnType
from app.datasets.conversion.faults import Fault
from app.datasets.conversion.row_groups import RowGroups

MAX_COLUMNS: Final = 200
"""A wider table has no draft: it would take the memory of both passes."""

_SAMPLED: Final = 2_500


class Draft:
    """The rows of a file in the types of its first block; a context manager. It writes in a thread."""

    def __init__(
        self, target: Path, names: Sequence[str], types: Sequence[ColumnType], max_rows: int
    ) -> None:
        self._target = target
        self._names = names
        self._types = types
        self._max_rows = max_rows
        self._kinds: list[pa.DataType | None] = []
        self._schema = pa.schema([])
        self._groups: RowGroups | None = None
        self.is_abandoned = len(names) > MAX_COLUMNS
        """Whether nothing is written any more."""

        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[bool] | None = None
        self.repeating: list[str] | None = None
        """The columns whose values repeat, as far as the first rows tell."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        self._abandon()

    def add(self, batch: pa.RecordBatch, values: Sequence[pa.Array | None]) -> None:
        """Append rows: their cells as texts and, if they were converted, as values."""
        self._wait()
        if self.is_abandoned:
            return
        kinds = [column_type.kind for column_type in self._types]
        if self._groups is None:
            self._begin(batch, kinds)
        if kinds == self._kinds:
            self._writing = self._thread.submit(self._write, batch, values)
        else:
            self._abandon()

    def finish(self, schema: pa.Schema) -> bool:
        """Complete the file. Return whether it has these columns; otherwise it is worthless."""
        self._wait()
        if self._groups is None or not self._schema.equals(schema, check_metadata=True):
            return False
        groups, self._groups = self._groups, None
        try:
            groups.finish()
        except OSError:  # it is too large
            return False
        return True

    def _begin(self, batch: pa.RecordBatch, kinds: list[pa.DataType | None]) -> None:
        self._kinds = kinds
        self._schema = schema_of(self._names, self._types)
        self.repeating = [
            name for name, column in zip(self._names, batch.columns, strict=True) if _repeats(column)
        ]
        self._groups = RowGroups(self._target, self._schema, self._max_rows, repeating=self.repeating)

    def _write(self, batch: pa.RecordBatch, values: Sequence[pa.Array | None]) -> bool:
        assert self._groups is not None  # noqa: S101  # it has begun
        try:
            columns = [
                found if found is not None and found.type == wanted else notation.convert(texts, wanted)
                for texts, found, wanted in zip(batch.columns, values, self._schema.types, strict=True)
            ]
            self._groups.add(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        except (pa.ArrowInvalid, Fault, OSError):
            return False
        return True

    def _wait(self) -> None:
        """Wait until the block before is written, so that no more than one waits."""
        writing, self._writing = self._writing, None
        if writing is not None and not writing.result():
            self._abandon()

    def _abandon(self) -> None:
        self.is_abandoned = True
        if self._groups is not None:
            with suppress(OSError):  # it was too large
                self._groups.close()
            self._groups = None


def schema_of(names: Sequence[str], types: Sequence[ColumnType]) -> pa.Schema:
    """The columns of a file, as far as it has been read."""
    return pa.schema([column_type.field(name) for name, column_type in zip(names, types, strict=True)])


def _repeats(column: pa.Array) -> bool:
    """Whether the first cells of a column have fewer distinct values than half of them."""
    cells = column.slice(0, _SAMPLED)
    return 2 * len(pc.unique(cells)) <= len(cells)
