"""Writes the Parquet file that jobs read, in small row groups, so that it can be read by range."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets.conversion.faults import NO_LIMIT, too_many_rows

MAX_ROWS: Final = 10_000
MAX_BYTES: Final = 8 * 1024 * 1024
_PIECE_ROWS: Final = 2_500


class RowGroups:
    """Writes batches of rows of one schema; a context manager."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        max_rows: int = NO_LIMIT,
        *,
        repeating: Sequence[str] | None = None,
    ) -> None:
        """`repeating` names the columns whose values repeat; by default, all are taken for such.

        Collecting the distinct values of other columns takes longer than writing them.
        """
        self._schema = schema
        self._max_rows = max_rows
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=True if repeating is None else list(repeating),
        )
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self.close()

    def finish(self) -> None:
        """Write the rows that are left, and complete the file."""
        self._flush()
        self.close()

    def close(self) -> None:
        """Close the file, without the rows that are left."""
        self._writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Append rows. Raises a Fault if there are too many."""
        if self.rows + self._waiting_rows + batch.num_rows > self._max_rows:
            raise too_many_rows(self._max_rows)
        for first in range(0, batch.num_rows, _PIECE_ROWS):
            self._add_piece(batch.slice(first, _PIECE_ROWS))

    def _add_piece(self, piece: pa.RecordBatch) -> None:
        size = piece.nbytes
        if size > MAX_BYTES and piece.num_rows > 1:
            middle = piece.num_rows // 2
            self._add_piece(piece.slice(0, middle))
            self._add_piece(piece.slice(middle))
            return
        if self._waiting_rows + piece.num_rows > MAX_ROWS or self._waiting_bytes + size > MAX_BYTES:
            self._flush()
        self._waiting.append(piece)
        self._waiting_rows += piece.num_rows
        self._waiting_bytes += size

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self.rows += table.num_rows
        self._waiting.clear()
        self._waiting_rows = self._waiting_bytes = 0
