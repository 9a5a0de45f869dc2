"""The steps of a preprocess job as its handler reads them: plain data, so that a child imports nothing else.

`app.jobs.preprocessing.bodies` has the same steps as request bodies, with their limits.
"""

from enum import StrEnum
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec

Scalar: TypeAlias = bool | int | float | str


class Statistic(StrEnum):
    """What a `fill` step computes over the rows that reach it."""

    MEAN = "mean"
    MEDIAN = "median"
    MOST_FREQUENT = "most_frequent"


class Operator(StrEnum):
    """How a condition compares. No comparison is true for a missing value."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    MATCHES = "matches"
    IS_MISSING = "is_missing"
    IS_PRESENT = "is_present"


class DatePart(StrEnum):
    """A part of a date or a timestamp, an integer. Weeks are those of ISO 8601; Monday is weekday 0."""

    YEAR = "year"
    QUARTER = "quarter"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"
    DAY_OF_YEAR = "day_of_year"
    WEEKDAY = "weekday"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"


PARTS_OF_TIME: Final = frozenset({DatePart.HOUR, DatePart.MINUTE, DatePart.SECOND})
"""The parts that a date does not have."""


class Step(msgspec.Struct, frozen=True, tag_field="step"):
    """One step. `on_error` and `others` are `fail`, or say what stands for the value otherwise."""


class Select(Step, frozen=True, tag="select"):
    """Keep these columns, in this order."""

    columns: tuple[str, ...]


class Drop(Step, frozen=True, tag="drop"):
    """Remove these columns."""

    columns: tuple[str, ...]


class Rename(Step, frozen=True, tag="rename"):
    """Rename columns: new names by old names, all at once."""

    columns: dict[str, str]


class Cast(Step, frozen=True, tag="cast"):
    """Convert columns to a type. `format` is that of dates or timestamps that are text."""

    columns: tuple[str, ...]
    to: str
    format: str | None = None
    on_error: Literal["fail", "null"] = "fail"


class Fill(Step, frozen=True, tag="fill"):
    """Replace missing values, by a value or by a statistic of the column."""

    columns: tuple[str, ...]
    value: Scalar | None = None
    statistic: Statistic | None = None


class Condition(msgspec.Struct, frozen=True):
    """A comparison of a column with a value, or with several."""

    column: str
    op: Operator
    value: Scalar | tuple[Scalar, ...] | None = None


class Filter(Step, frozen=True, tag="filter"):
    """Keep the rows for which all conditions are true, or any of them."""

    conditions: tuple[Condition, ...]
    match: Literal["all", "any"] = "all"


class Deduplicate(Step, frozen=True, tag="deduplicate"):
    """Keep the first of the rows that are equal in these columns; None means all columns."""

    columns: tuple[str, ...] | None = None


class Sample(Step, frozen=True, tag="sample"):
    """Keep so many rows, or this fraction of them, chosen at random and in their order."""

    rows: int | None = None
    fraction: float | None = None
    seed: int = 0


class Join(Step, frozen=True, tag="join"):
    """Add columns of another dataset, of which at most one row may match each row.

    `on` has the names of its key columns by those of the rows. `columns` are those to add; None means all
    others. `suffix` is appended to the names that the rows have already.
    """

    dataset_id: UUID
    on: dict[str, str]
    how: Literal["left", "inner"] = "left"
    columns: tuple[str, ...] | None = None
    suffix: str = ""


class DateParts(Step, frozen=True, tag="date_parts"):
    """Add a column for each part of a date or a timestamp, named by `prefix` and the part."""

    column: str
    parts: tuple[DatePart, ...]
    prefix: str


class NormalizeText(Step, frozen=True, tag="normalize_text"):
    """Normalise texts: first the Unicode form, then accents, letters, and white space."""

    columns: tuple[str, ...]
    unicode: Literal["NFC", "NFKC"] | None = "NFC"
    remove_accents: bool = False
    lowercase: bool = True
    collapse_whitespace: bool = True


class MapValues(Step, frozen=True, tag="map_values"):
    """Replace values, given as text, by others."""

    column: str
    mapping: dict[str, Scalar]
    others: Literal["keep", "null", "fail"] = "keep"


class Part(msgspec.Struct, frozen=True):
    """A part of a split, with its fraction of the rows."""

    name: str
    fraction: float


class Split(Step, frozen=True, tag="split"):
    """Divide the rows into parts; only as the last step.

    Each part becomes a dataset. `stratified` and `group` divide by the values of `column`, `time` by its
    order.
    """

    parts: tuple[Part, ...]
    by: Literal["random", "stratified", "time", "group"] = "random"
    column: str | None = None
    seed: int = 0


AnyStep: TypeAlias = (
    Select
    | Drop
    | Rename
    | Cast
    | Fill
    | Filter
    | Deduplicate
    | Sample
    | Join
    | DateParts
    | NormalizeText
    | MapValues
    | Split
)

WHOLE: Final = "all"
"""The output of a job that does not split."""

UNIT_ROWS: Final = 10_000
"""Rows of the source that a batch of a preprocess job works through."""


def passes(steps: tuple[AnyStep, ...]) -> int:
    """Return how often the source is read: for each step that needs all rows first, and to write."""
    return 1 + sum(needs_survey(step) for step in steps)


def needs_survey(step: AnyStep) -> bool:
    """Return whether a step must see all rows that reach it before it can change the first."""
    match step:
        case Fill(statistic=statistic):
            return statistic is not None
        case Sample() | Split():
            return True
        case _:
            return False


def units(rows: int) -> int:
    """Return how many batches one pass over so many rows has."""
    return -(-rows // UNIT_ROWS)


def join_file(index: int) -> str:
    """Return the name of the job's file with the dataset that the step at this index joins."""
    return f"join-{index}"
