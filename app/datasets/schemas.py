"""Datasets as they are shown."""

from datetime import datetime
from typing import Any, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app.datasets.options import Declared
from app.datasets.values import Format


class ColumnView(TypedDict):
    """One column: text, integer, number, boolean, date, timestamp, list or object.

    `declared` is what the upload said that it is, or `index` if pandas did. A text column may hold `nothing`
    or `mostly numbers`. `note` says why the type is not the one that a reader may expect.
    """

    name: str
    type: str
    declared: NotRequired[str]
    holds: NotRequired[str]
    note: NotRequired[str]


class OptionsView(TypedDict):
    """How a file was read: what the upload said, and what was found."""

    delimiter: str | None
    encoding: str | None
    null_values: list[str]
    columns: dict[str, Declared]


class DatasetLinks(TypedDict):
    """Where more of a dataset is."""

    self: str
    preview: str
    content: str


class DatasetView(TypedDict):
    """A dataset as its owner sees it. `bytes` and `sha256` are of the file as it came."""

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
    """The first rows of a dataset, as jobs see them."""

    columns: list[ColumnView]
    rows: list[dict[str, Any]]
    total: int
