"""The steps of a preprocess job as request bodies, with their limits."""

import re
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from app.datasets.values import MAX_NAME_LENGTH, DatasetReference
from app.http.body import CleanStr, StrictBody, at_most
from app.jobs.preprocessing.steps import DatePart, Operator, Statistic

MAX_STEPS: Final = 50
MAX_COLUMNS: Final = 1000
MAX_VALUES: Final = 1000
MAX_MAPPED: Final = 10_000
MAX_CONDITIONS: Final = 100
MAX_PARTS: Final = 10
MAX_ROUNDING: Final = 1e-9
"""By how much the fractions of a split may miss 1, as 0.1 + 0.2 + 0.7 does."""

_DIRECTIVES: Final = re.compile(r"(?:[^%]|%[YymdBbjHIMSp%])+")
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1


def _unique(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


def _date_format(text: str) -> str:
    if not _DIRECTIVES.fullmatch(text):
        raise ValueError("use the directives %Y %y %m %d %B %b %j %H %I %M %S %p and %%")
    return text


ColumnName = Annotated[CleanStr, Field(min_length=1, max_length=1000)]
ColumnNames = Annotated[
    list[ColumnName], Field(min_length=1, fail_fast=True), at_most(MAX_COLUMNS), AfterValidator(_unique)
]
Value = bool | Annotated[int, Field(ge=_SMALLEST, le=_LARGEST)] | float | CleanStr
Seed = Annotated[int, Field(ge=0, lt=2**32, description="The same seed and rows give the same choice.")]


class SelectBody(StrictBody):
    """Keep these columns, in this order."""

    step: Literal["select"]
    columns: ColumnNames


class DropBody(StrictBody):
    """Remove these columns."""

    step: Literal["drop"]
    columns: ColumnNames


class RenameBody(StrictBody):
    """Rename columns, all at once: two names may be swapped."""

    step: Literal["rename"]
    columns: Annotated[dict[ColumnName, ColumnName], Field(min_length=1), at_most(MAX_COLUMNS)] = Field(
        description="The new names by the old ones."
    )


class CastBody(StrictBody):
    """Convert columns to another type."""

    step: Literal["cast"]
    columns: ColumnNames
    to: Literal["text", "integer", "number", "boolean", "date", "timestamp"]
    format: Annotated[CleanStr, Field(min_length=1, max_length=100), AfterValidator(_date_format)] | None = (
        Field(
            None,
            description="How dates or timestamps are written, such as `%d.%m.%Y`. Default: ISO 8601.",
        )
    )
    on_error: Literal["fail", "null"] = Field(
        "fail", description="`fail` ends the job at a value that does not convert, `null` makes it missing."
    )


class FillBody(StrictBody):
    """Replace missing values by a value, or by a statistic of the rows that reach this step."""

    step: Literal["fill"]
    columns: ColumnNames
    value: Value | None = None
    statistic: Statistic | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.value is None) == (self.statistic is None):
            raise ValueError("give one of value and statistic")
        return self


class ConditionBody(StrictBody):
    """Compares a column with a value. For a missing value only `is_missing` is true."""

    column: ColumnName
    op: Operator
    value: Value | Annotated[list[Value], Field(min_length=1), at_most(MAX_VALUES)] | None = Field(
        None, description="A list for `in` and `not_in`; none for `is_missing` and `is_present`."
    )

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        match self.op:
            case Operator.IS_MISSING | Operator.IS_PRESENT:
                if self.value is not None:
                    raise ValueError(f"{self.op} takes no value")
            case Operator.IN | Operator.NOT_IN:
                if not isinstance(self.value, list):
                    raise ValueError(f"{self.op} takes a list of values")
            case _:
                if self.value is None or isinstance(self.value, list):
                    raise ValueError(f"{self.op} takes one value")
        return self


class FilterBody(StrictBody):
    """Keep the rows that meet all conditions, or any of them."""

    step: Literal["filter"]
    conditions: Annotated[list[ConditionBody], Field(min_length=1), at_most(MAX_CONDITIONS)]
    match: Literal["all", "any"] = "all"


class DeduplicateBody(StrictBody):
    """Keep the first of the rows that are equal in these columns."""

    step: Literal["deduplicate"]
    columns: ColumnNames | None = Field(None, description="Columns to compare. Default: all.")


class SampleBody(StrictBody):
    """Keep rows chosen at random, in their order."""

    step: Literal["sample"]
    rows: int | None = Field(None, ge=1, le=_LARGEST, description="How many; all if there are fewer.")
    fraction: float | None = Field(None, gt=0, lt=1, description="Which fraction of the rows.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.rows is None) == (self.fraction is None):
            raise ValueError("give one of rows and fraction")
        return self


class JoinBody(StrictBody):
    """Add columns of another dataset of yours, in which the keys of each row occur at most once."""

    step: Literal["join"]
    dataset_id: UUID | None = Field(None, description="The dataset to join.")
    dataset: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="The newest dataset with this name, as of when the job is created.",
    )
    on: ColumnNames | Annotated[dict[ColumnName, ColumnName], Field(min_length=1), at_most(MAX_COLUMNS)] = (
        Field(description="Key columns: their names, or the other dataset's names by those of the rows.")
    )
    how: Literal["left", "inner"] = Field(
        "left", description="`left` keeps rows without a match, `inner` drops them."
    )
    columns: ColumnNames | None = Field(None, description="Columns to add. Default: all but the keys.")
    suffix: Annotated[CleanStr, Field(max_length=100)] = Field(
        "", description="Appended to the names of added columns that the rows have already."
    )

    @model_validator(mode="after")
    def _check_one_dataset(self) -> Self:
        if (self.dataset_id is None) == (self.dataset is None):
            raise ValueError("give one of dataset_id and dataset")
        return self

    @property
    def reference(self) -> DatasetReference:
        """The dataset to join."""
        found = self.dataset if self.dataset_id is None else self.dataset_id
        assert found is not None  # noqa: S101  # the validator has checked it
        return found

    @property
    def keys(self) -> dict[str, str]:
        """The names of the key columns in the other dataset, by those of the rows."""
        return self.on if isinstance(self.on, dict) else {name: name for name in self.on}


class DatePartsBody(StrictBody):
    """Add integer columns with parts of a date or a timestamp, such as `sold_at_month`."""

    step: Literal["date_parts"]
    column: ColumnName
    parts: Annotated[list[DatePart], Field(min_length=1), at_most(len(DatePart)), AfterValidator(_unique)]
    prefix: Annotated[CleanStr, Field(max_length=500)] | None = Field(
        None, description="Start of the names of the new columns. Default: the column and `_`."
    )


class NormalizeTextBody(StrictBody):
    """Normalise texts: Unicode form, accents, letters and white space, in this order."""

    step: Literal["normalize_text"]
    columns: ColumnNames
    unicode: Literal["NFC", "NFKC"] | None = "NFC"
    remove_accents: bool = False
    lowercase: bool = True
    collapse_whitespace: bool = Field(
        True, description="Trim each text, and make each run of white space one space."
    )


class MapValuesBody(StrictBody):
    """Replace values by others, such as labels."""

    step: Literal["map_values"]
    column: ColumnName
    mapping: Annotated[dict[CleanStr, Value], Field(min_length=1), at_most(MAX_MAPPED)] = Field(
        description="The new values, all of one type, by the old ones as text."
    )
    others: Literal["keep", "null", "fail"] = Field(
        "keep", description="What becomes of values that the mapping lacks."
    )


class PartBody(StrictBody):
    """A part of a split."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Added to the name of the dataset.")
    fraction: float = Field(gt=0, lt=1, description="Which fraction of the rows the part has.")


class SplitBody(StrictBody):
    """Divide the rows into parts, each a dataset. Only as the last step."""

    step: Literal["split"]
    parts: Annotated[list[PartBody], Field(min_length=2), at_most(MAX_PARTS)] = Field(
        description="The parts, whose fractions add up to 1."
    )
    by: Literal["random", "stratified", "time", "group"] = Field(
        "random",
        description="`stratified`: the same mix of values of `column` in each part. `time`: the earliest rows"
        " go to the first part. `group`: rows with the same value stay together.",
    )
    column: ColumnName | None = Field(None, description="Needed unless `by` is `random`.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if abs(sum(part.fraction for part in self.parts) - 1) > MAX_ROUNDING:
            raise ValueError("the fractions of the parts must add up to 1")
        if len({part.name for part in self.parts}) < len(self.parts):
            raise ValueError("two parts have the same name")
        if (self.by == "random") == (self.column is not None):
            raise ValueError("give a column unless `by` is random, and none if it is")
        return self


StepBody: TypeAlias = Annotated[
    SelectBody
    | DropBody
    | RenameBody
    | CastBody
    | FillBody
    | FilterBody
    | DeduplicateBody
    | SampleBody
    | JoinBody
    | DatePartsBody
    | NormalizeTextBody
    | MapValuesBody
    | SplitBody,
    Field(discriminator="step"),
]


def plain(body: Any) -> dict[str, Any]:
    """Return a step as builtins, with its defaults resolved, for all steps but joins."""
    values: dict[str, Any] = body.model_dump()
    if isinstance(body, DatePartsBody) and body.prefix is None:
        values["prefix"] = f"{body.column}_"
    return values
