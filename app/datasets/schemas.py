"""Response bodies of datasets."""

from datetime import datetime
from typing import Any, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app.datasets.options import Declared
from app.datasets.values import Format


class ColumnView(TypedDict):
    """One column: text, integer, number, boolean, date, timestamp, list or object.

    `declared` is the type that the upload declared, or `index` for a pandas index. `holds` is `nothing` if
    all values are missing, or `mostly numbers`; both only for text columns. `note` explains an unexpected
    type.
    """

    name: str
    type: str
    declared: NotRequired[str]
    holds: NotRequired[str]
    note: NotRequired[str]


class OptionsView(TypedDict):
    """How the file was read: the options of the upload, and what was detected."""

    delimiter: str | None
    encoding: str | None
    null_values: list[str]
    columns: dict[str, Declared]


class DatasetLinks(TypedDict):
    """Links of a dataset."""

    self: str
    preview: str
    content: str


class DatasetView(TypedDict):
    """A dataset. `bytes` and `sha256` are those of the uploaded file."""

    dataset_id: UUID
    name: str
    format: Format
    bytes: int
    rows: int
    columns: list[ColumnView]
    options: OptionsView
    sha256: str
    created_at: datetime
    links: DatasetLinks


class DatasetPage(TypedDict):
    """A page of datasets, newest first."""

    items: list[DatasetView]
    next_cursor: str | None


class DatasetPreview(TypedDict):
    """The first rows of a dataset, as jobs read them."""

    columns: list[ColumnView]
    rows: list[dict[str, Any]]
    total: int
