"""The types `Dataset` and `Column`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from app.core.files import StoredFile
from app.core.rows import Row
from app.datasets import storage_keys
from app.datasets.options import ReadOptions

EMPTY: Final = "nothing"
MOSTLY_NUMBERS: Final = "mostly numbers"
"""Values of `Column.holds` for a text column without ordinary texts."""

MAX_NAME_LENGTH: Final = 200

DatasetReference = UUID | str
"""One dataset by its id, or the newest of those with a name."""


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


class Origin(msgspec.Struct, frozen=True):
    """A dataset from which another was made. It may have been deleted since."""

    dataset_id: UUID
    sha256: str


class Lineage(msgspec.Struct, frozen=True):
    """How a job made a dataset: from which datasets, and by which steps, as requested.

    `output` is the part of a split; None for a job that does not split.
    """

    job_id: UUID
    dataset_id: UUID
    sha256: str
    joined: tuple[Origin, ...]
    steps: tuple[dict[str, Any], ...]
    output: str | None
    code_version: str


@dataclass(frozen=True)
class Dataset:
    """A dataset: a row of `datasets`.

    `bytes` and `sha256` are those of the file as uploaded, or as a job made it. `file` has the rows as
    Parquet, in row groups, for every `format`. `options` say how an upload was read. `lineage` is None for an
    upload.
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
    lineage: Lineage | None = None

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
            lineage=msgspec.convert(row["lineage"], Lineage | None),
        )
