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


class OriginView(TypedDict):
    """A dataset from which another was made. It may have been deleted since."""

    dataset_id: UUID
    sha256: str


class LineageView(TypedDict):
    """How a job made a dataset: from which datasets and by which steps. `output` is the part of a split."""

    job_id: UUID
    dataset_id: UUID
    sha256: str
    joined: list[OriginView]
    steps: list[dict[str, Any]]
    output: str | None
    code_version: str


class DatasetLinks(TypedDict):
    """Links of a dataset."""

    self: str
    preview: str
    content: str


class DatasetView(TypedDict):
    """A dataset. `bytes` and `sha256` are those of the file that was uploaded, or that a job made.

    `lineage` is null for an upload.
    """

    dataset_id: UUID
    name: str
    format: Format
    bytes: int
    rows: int
    columns: list[ColumnView]
    options: OptionsView
    sha256: str
    lineage: NotRequired[LineageView | None]
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


class HistogramView(TypedDict):
    """How many values lie in each bin: from one edge to before the next, the last edge included."""

    edges: list[float | str]
    counts: list[int]


class FrequencyView(TypedDict):
    """A value, and how many rows have it."""

    value: Any
    count: int


class WarningView(TypedDict):
    """What to look at before training: a stable code and a sentence."""

    code: str
    message: str


class ColumnProfileView(TypedDict):
    """The profile of one column. What does not apply to its type, or has no value, is null.

    `unique` does not count missing as a value; `lengths` are those of texts, in characters.
    """

    name: str
    type: str
    missing: int
    unique: int
    min: NotRequired[float | int | str | None]
    max: NotRequired[float | int | str | None]
    mean: NotRequired[float | None]
    std: NotRequired[float | None]
    quantiles: NotRequired[dict[str, float] | None]
    histogram: NotRequired[HistogramView | None]
    lengths: NotRequired[dict[str, float] | None]
    most_frequent: list[FrequencyView]
    warnings: list[WarningView]


class DatasetProfile(TypedDict):
    """The profile of a dataset. `duplicate_rows` counts rows that equal an earlier one in all columns."""

    rows: int
    duplicate_rows: int
    columns: list[ColumnProfileView]
