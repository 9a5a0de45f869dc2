"""Some rows on their way through the steps, and the types of their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pyarrow import types

from app.datasets import reading
from app.datasets.conversion import columns
from app.datasets.conversion.columns import BOOLEAN, DATE, INTEGER, NUMBER, TEXT, TIMESTAMP

ARROW_TYPES: Final[Mapping[str, pa.DataType]] = {
    "text": TEXT,
    "integer": INTEGER,
    "number": NUMBER,
    "boolean": BOOLEAN,
    "date": DATE,
    "timestamp": TIMESTAMP,
}


@dataclass(frozen=True)
class Chunk:
    """Some rows, and for each the number of its row in the source, from 0.

    Columns that no step has changed are stored as in the source: perhaps as text, with metadata.
    """

    table: pa.Table
    numbers: pa.Array

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def keep(self, mask: pa.Array | pa.ChunkedArray) -> "Chunk":
        """Return the rows for which the mask is true."""
        flat = mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask
        return Chunk(self.table.filter(flat), self.numbers.filter(flat))

    def replaced(self, name: str, values: pa.Array | pa.ChunkedArray) -> "Chunk":
        """Return the rows with other values in a column, or with a new column at the end."""
        field = columns.field(name, values.type)
        names = self.table.column_names
        if name in names:
            return Chunk(self.table.set_column(names.index(name), field, values), self.numbers)
        return Chunk(self.table.append_column(field, values), self.numbers)

    def field(self, name: str) -> pa.Field:
        """Return the field of a column, with what is known about it."""
        return self.table.schema.field(name)

    def kind(self, name: str) -> str:
        """Return the type of a column as users see it."""
        return columns.describe(pa.schema([self.field(name)]))[0].type

    def typed(self, name: str) -> pa.ChunkedArray:
        """Return the values of a column in the type that users see; lists and objects are JSON text."""
        return reading.typed(self.field(name), self.table.column(name))

    def values(self, name: str) -> list[Any]:
        """Return the values of a column as Python values."""
        found: list[Any] = self.typed(name).to_pylist()
        return found

    def as_json(self, name: str) -> list[Any]:
        """Return the values of a column as JSON has them: times are texts in ISO 8601."""
        values = self.values(name)
        if types.is_temporal(self.typed(name).type):
            return [None if value is None else value.isoformat() for value in values]
        return values

    def as_written(self, name: str) -> list[Any]:
        """Return the values of a column as written in the upload: text where the file had text."""
        if columns.json_type(self.field(name)) is not None:
            return self.values(name)
        return reading.values_as_written(self.field(name), self.table.column(name))
