"""`preprocess_dataset`: make a new dataset of a dataset, step by step."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Self

import msgspec
from pydantic import Field, TypeAdapter, model_validator

from app.core.files import StoredFile
from app.datasets.errors import DatasetNotFound
from app.datasets.values import MAX_NAME_LENGTH, Dataset
from app.http.body import CleanStr, at_most
from app.jobs.kinds.kind import (
    JobPlan,
    Kind,
    References,
    ResolvedReferences,
    RestoredRequest,
    RetryPolicy,
    StoredRequest,
)
from app.jobs.params import PreprocessDatasetParams, PreprocessSource
from app.jobs.preprocessing import bodies, checking
from app.jobs.preprocessing.bodies import JoinBody, SplitBody, StepBody
from app.jobs.preprocessing.errors import BadStep
from app.jobs.preprocessing.steps import AnyStep, join_file, passes, units
from app.jobs.requests import DatasetOptions

MAX_JOINS: Final = 5
MAX_PART_LENGTH: Final = 41
"""The name of a part and its hyphen, which follow the name of a split dataset."""

_STEPS: Final[TypeAdapter[list[Any]]] = TypeAdapter(list[StepBody])

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


class PreprocessDatasetRequest(DatasetOptions):
    """Apply steps to all rows of a dataset. The result is a new dataset; of a split, one for each part."""

    name: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="Name of the new dataset; each part of a split adds `-` and its own. Default: derived.",
    )
    steps: Annotated[list[StepBody], at_most(bodies.MAX_STEPS), Field(min_length=1)] = Field(
        description="What to do, in this order. docs/preprocessing.md describes each step."
    )

    @model_validator(mode="after")
    def _check_one_dataset(self) -> Self:
        if (self.dataset_id is None) == (self.dataset is None):
            raise ValueError("give one of dataset_id and dataset")
        return self

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name is None:
            return self
        if not self.name.isprintable() or not self.name.strip():
            raise ValueError("name: it has control characters or is empty")
        is_split = any(isinstance(step, SplitBody) for step in self.steps)
        if is_split and len(self.name) > MAX_NAME_LENGTH - MAX_PART_LENGTH:
            limit = MAX_NAME_LENGTH - MAX_PART_LENGTH
            raise ValueError(f"name: that of a split has at most {limit} characters")
        return self

    @model_validator(mode="after")
    def _check_joins(self) -> Self:
        if len(self.joins) > MAX_JOINS:
            raise ValueError(f"steps: there may be at most {MAX_JOINS} joins")
        return self

    @property
    def joins(self) -> list[JoinBody]:
        """The steps that join other datasets."""
        return [step for step in self.steps if isinstance(step, JoinBody)]


def references(request: PreprocessDatasetRequest) -> References:
    """Return the dataset, and those that are joined."""
    source = request.dataset_reference
    joined = [step.reference for step in request.joins]
    return References(datasets=tuple(dict.fromkeys((*(() if source is None else (source,)), *joined))))


def plan(request: PreprocessDatasetRequest, found: ResolvedReferences) -> JobPlan:
    """Check the steps against the columns. The total counts batches, over all passes. Raises BadStep."""
    assert request.dataset_reference is not None  # noqa: S101  # the validator has checked it
    source = found.datasets[request.dataset_reference]
    steps = tuple(_plain(step, found) for step in request.steps)
    joined = [found.datasets[step.reference] for step in request.joins]
    checking.check(steps, _columns(source), [_columns(dataset) for dataset in joined])
    params = PreprocessDatasetParams(
        name=request.name or _default_name(source.name),
        source=_source(source),
        steps=steps,
        joined=tuple(map(_source, joined)),
    )
    return JobPlan(
        params=msgspec.json.encode(params),
        total=passes(steps) * units(source.rows),
        files={"dataset": source.file, **_files(request, found)},
        dataset_id=source.id,
    )


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request, with each step as short as it can be said."""
    params = stored.read_params(PreprocessDatasetParams)
    steps = _STEPS.validate_json(msgspec.json.encode(params.steps))
    return RestoredRequest(
        {
            "dataset_id": params.source.id,
            "name": params.name,
            "steps": [step.model_dump(mode="json", exclude_defaults=True) for step in steps],
        }
    )


def _plain(body: Any, found: ResolvedReferences) -> AnyStep:
    """Return a step as the handler reads it, with a joined dataset bound to its id."""
    values = bodies.plain(body)
    if isinstance(body, JoinBody):
        values |= {"dataset_id": found.datasets[body.reference].id, "on": body.keys}
    step: AnyStep = msgspec.convert(values, AnyStep)
    return step


def _files(request: PreprocessDatasetRequest, found: ResolvedReferences) -> dict[str, StoredFile]:
    return {
        join_file(index): found.datasets[step.reference].file
        for index, step in enumerate(request.steps)
        if isinstance(step, JoinBody)
    }


def _columns(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.type for column in dataset.columns}


def _source(dataset: Dataset) -> PreprocessSource:
    return PreprocessSource(dataset.id, dataset.sha256)


def _default_name(source: str) -> str:
    stem = PurePosixPath(source).stem or "dataset"
    return f"{stem[: MAX_NAME_LENGTH - 2 * MAX_PART_LENGTH]}-prepared"


KIND: Final = Kind(
    name="preprocess_dataset",
    summary="Make a new dataset of a dataset",
    request=PreprocessDatasetRequest,
    references=references,
    plan=plan,
    restore=restore,
    message="Preprocessing job created",
    errors=(
        DatasetNotFound(dataset_id=_EXAMPLE_ID),
        BadStep(
            step=2,
            name="cast",
            field="columns",
            reason="the rows have no column 'agee'; did you mean 'age'?",
        ),
    ),
    examples={
        "clean and split": {
            "value": {
                "dataset_id": _EXAMPLE_ID,
                "name": "reviews-clean",
                "steps": [
                    {"step": "drop", "columns": ["internal_id"]},
                    {"step": "normalize_text", "columns": ["text"]},
                    {"step": "deduplicate", "columns": ["text"]},
                    {"step": "fill", "columns": ["age"], "statistic": "median"},
                    {
                        "step": "split",
                        "by": "stratified",
                        "column": "label",
                        "parts": [{"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}],
                    },
                ],
            }
        },
        "join and filter": {
            "value": {
                "dataset": "orders.csv",
                "steps": [
                    {
                        "step": "join",
                        "dataset": "customers.csv",
                        "on": {"customer": "id"},
                        "columns": ["country"],
                    },
                    {
                        "step": "filter",
                        "conditions": [{"column": "country", "op": "in", "value": ["NO", "SE"]}],
                    },
                    {"step": "date_parts", "column": "ordered_at", "parts": ["month", "weekday"]},
                ],
            }
        },
    },
    retry=RetryPolicy(never=frozenset({"bad_value", "no_rows_left", "duplicate_keys", "too_many_values"})),
)
