"""The types `Dataset` and `Column`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

import msgspec

from app.core.files import StoredFile
from app.core.rows import Row
from app.datasets import storage_keys
from app.datasets.options import ReadOptions

EMPTY: Final = "nothing"
MOSTLY_NUMBERS: Final = "mostly numbers"
"""Values of `Column.holds` for a text column without ordinary texts."""


class Format(StrEnum):
    """File format of an upload."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column of a table: text, integer, number, boolean, date, timestamp, list or object.

    `declared` is the type that the client declared, or `index` for a pandas index. `holds` is `nothing` if
    all values are missing, or `mostly numbers`; both only for text columns. `note` explains a type that a
    reader may not expect.
    """

    name: str
    type: str
    declared: str | None = None
    holds: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Dataset:
    """An uploaded dataset: a row of `datasets`.

    `bytes` and `sha256` are those of the file as uploaded. `file` has the rows as Parquet, in row groups,
    for every `format` of the upload. `options` say how the upload was read.
    """

    id: UUID
    name: str
    format: Format
    bytes: int
    sha256: str
    rows: int
    columns: tuple[Column, ...]
    options: ReadOptions
    file: StoredFile
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The dataset of a row of `datasets`."""
        return cls(
            id=row["id"],
            name=row["name"],
            format=Format(row["format"]),
            bytes=row["bytes"],
            sha256=row["sha256"],
            rows=row["rows"],
            columns=msgspec.convert(row["columns"], tuple[Column, ...]),
            options=msgspec.convert(row["options"], ReadOptions),
            file=StoredFile(storage_keys.rows_key(row["id"]), row["rows_bytes"], row["rows_sha256"]),
            created_at=row["created_at"],
        )
