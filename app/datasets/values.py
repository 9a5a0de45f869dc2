"""What a dataset is, wherever it is spoken of."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import msgspec

from app.core.files import StoredFile


class Format(StrEnum):
    """What a dataset's file is."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Column(msgspec.Struct, frozen=True):
    """One column of a table: text, integer, number, boolean, date, timestamp, list or object."""

    name: str
    type: str


@dataclass(frozen=True)
class Dataset:
    """A dataset that jobs can read. `file` is Parquet, in row groups, whatever `format` it came in."""

    id: UUID
    name: str
    format: Format
    rows: int
    columns: tuple[Column, ...]
    sha256: str
    file: StoredFile
