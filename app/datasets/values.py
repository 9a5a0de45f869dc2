"""What a dataset is, wherever it is spoken of."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from app.core.files import StoredFile

EMPTY: Final = "nothing"
MOSTLY_NUMBERS: Final = "mostly numbers"
"""What a column of texts may hold where it is not just texts."""


class Format(StrEnum):
    """What a dataset's file is."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column of a table: text, integer, number, boolean, date, timestamp, list or object.

    `declared` is what the client said that it is, or `index` if pandas did. A text column may hold `nothing`
    (all is missing) or `mostly numbers`. `note` says why the type is not the one that a reader may expect.
    """

    name: str
    type: str
    declared: str | None = None
    holds: str | None = None
    note: str | None = None


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
