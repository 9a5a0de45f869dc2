"""How a training splits its rows, as a request says it."""

from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.datasets.values import MAX_NAME_LENGTH, DatasetReference
from app.http.body import CleanStr, StrictBody
from app.jobs.params import SplitMethod, SplitParams

DEFAULT_TEST_FRACTION: Final = 0.2

SplitColumn = Annotated[CleanStr, Field(min_length=1, max_length=1000)]


class RandomSplit(StrictBody):
    """Hold out rows at random."""

    method: Literal["random"]


class StratifiedSplit(StrictBody):
    """Hold out rows at random, each class in proportion. The default of a classification."""

    method: Literal["stratified"]


class TimeSplit(StrictBody):
    """Hold out the latest rows: train on the past, measure on the future."""

    method: Literal["time"]
    column: SplitColumn = Field(
        description="Column with the times: dates, timestamps, numbers, or ISO 8601 texts."
    )


class GroupSplit(StrictBody):
    """Keep the rows of one group together, such as those of one customer."""

    method: Literal["group"]
    column: SplitColumn = Field(description="Column that says which group a row belongs to.")


class DatasetSplit(StrictBody):
    """Measure on a dataset of your own. Validation rows are held out from the training rows."""

    method: Literal["dataset"]
    dataset_id: UUID | None = Field(None, description="Test on all rows of this dataset.")
    dataset: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="Test on the newest dataset with this name, as of when the job is created.",
    )

    @model_validator(mode="after")
    def _check_one_dataset(self) -> Self:
        if (self.dataset_id is None) == (self.dataset is None):
            raise ValueError("give one of dataset_id and dataset")
        return self


Split = Annotated[
    RandomSplit | StratifiedSplit | TimeSplit | GroupSplit | DatasetSplit,
    Field(discriminator="method"),
]


def column_of(split: Split | None) -> str | None:
    """Return the column by which rows are split, if any."""
    return split.column if isinstance(split, TimeSplit | GroupSplit) else None


def dataset_of(split: Split | None) -> DatasetReference | None:
    """Return the dataset that has the test rows, if any."""
    if not isinstance(split, DatasetSplit):
        return None
    return split.dataset if split.dataset_id is None else split.dataset_id


def restore(split: SplitParams, test_dataset: UUID | None) -> dict[str, Any] | None:
    """Return the split as a request says it."""
    if split.method is None:
        return None
    body: dict[str, Any] = {"method": split.method.value}
    if split.method is SplitMethod.DATASET:
        return {**body, "dataset_id": test_dataset}
    return body if split.column is None else {**body, "column": split.column}


def to_params(split: Split | None, *, test_fraction: float | None, folds: int | None) -> SplitParams:
    """Return what the handler needs to know of a split. `folds` None leaves the number to the data."""
    method = None if split is None else SplitMethod(split.method)
    if method is SplitMethod.DATASET:
        return SplitParams(method, test_fraction=0, folds=0)
    fraction = DEFAULT_TEST_FRACTION if test_fraction is None else test_fraction
    return SplitParams(method, column_of(split), fraction, folds)
