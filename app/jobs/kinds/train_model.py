"""The kind `train_model`: train a model epoch by epoch and register it."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from uuid import UUID

import msgspec
from pydantic import Field, ValidationError, ValidationInfo, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.core import ids
from app.datasets.errors import DatasetNotFound
from app.datasets.options import Declared
from app.http import serializing
from app.http.body import CleanObject, CleanStr, at_most
from app.jobs.algorithms.catalogue import ALGORITHMS, Algorithm, Name
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.jobs.errors import SearchInBulk, SearchTooLarge, TooManyInstances, UnknownColumn
from app.jobs.kinds.kind import FanOut, JobPlan, Kind, References, ResolvedReferences
from app.jobs.kinds.row_based import MAX_INLINE_ROWS, Rows
from app.jobs.params import TrainModelParams
from app.jobs.requests import JobOptions
from app.jobs.searches.space import Search
from app.models import builtin
from app.models.names import ModelName
from app.models.versions import Task

MAX_EPOCHS: Final = 1000
MAX_SEARCH_BYTES: Final = 16 * 1024 * 1024
"""Limit of the inline rows of a search, over all its jobs: each job stores its own copy."""

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

ColumnName = Annotated[CleanStr, Field(min_length=1, max_length=1000)]


class TrainModelRequest(JobOptions):
    """Train a model to predict one column of a dataset, or of up to 1000 rows, from the others."""

    algorithms: ClassVar[Mapping[str, Algorithm]] = ALGORITHMS

    dataset_id: UUID | None = Field(None, description="Train on the rows of this dataset.")
    rows: Rows | None = Field(None, description="Train on these rows: objects with one key per column.")
    target: ColumnName = Field(description="Column to predict.")
    features: Annotated[list[ColumnName], Field(min_length=1, fail_fast=True), at_most(1000)] | None = Field(
        None,
        description="Columns to predict from. Default: all other useful columns."
        " The type of each (number, category, text, date or boolean) is detected from its content.",
    )
    task: Literal["auto", "classification", "regression"] = Field(
        "auto",
        description="`auto` decides by the target: texts and few distinct integers mean classification,"
        " other numbers regression.",
    )
    algorithm: Name = Field(
        Name.AUTO,
        description="One of `GET /algorithms`. With `auto`, the result states the choice and its reason.",
    )
    params: CleanObject = Field(
        default_factory=dict,
        description="Hyperparameters of the algorithm; `GET /algorithms` has their schema.",
    )
    epochs: int = Field(10, ge=1, le=MAX_EPOCHS, description="Maximum number of epochs.")
    validation_fraction: float = Field(
        0.2, ge=0.01, le=0.9, description="Fraction of the rows held out for validation."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Random seed. The same seed, rows and params give the same model."
    )
    columns: dict[ColumnName, Declared] = Field(
        default_factory=dict,
        max_length=1000,
        description="Column types, where detection is wrong. They override the types declared at upload.",
    )
    model: ModelName | None = Field(
        None,
        description="Name of the model; the result is registered as its next version."
        " Default: a name derived from the job id.",
    )

    search: Search | None = Field(
        None,
        description="Hyperparameter search: train once per combination of params. The response is then a"
        " group; its `poll_url` returns the leaderboard, and the best version is `name@best`.",
    )

    @field_validator("params")
    @classmethod
    def _check_params(cls, params: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "algorithm" not in info.data:  # invalid itself
            return params
        name = info.data["algorithm"]
        schema = Hyperparameters if name == Name.AUTO else cls.algorithms[name].params
        # Pydantic reports a nested ValidationError with the path to the invalid param.
        return schema.model_validate(params).model_dump()

    @field_validator("features")
    @classmethod
    def _check_features_are_unique(cls, features: list[str] | None) -> list[str] | None:
        if features is not None and len(set(features)) < len(features):
            raise ValueError("a feature is named twice")
        return features

    @field_validator("model")
    @classmethod
    def _check_model_name(cls, model: str | None) -> str | None:
        if model in builtin.NAMES:
            raise PydanticCustomError("reserved_name", "This name is reserved for a built-in model")
        return model

    @model_validator(mode="after")
    def _check_one_row_source(self) -> Self:
        if (self.dataset_id is None) == (self.rows is None):
            raise ValueError("give one of dataset_id and rows")
        return self

    @model_validator(mode="after")
    def _check_options_together(self) -> Self:
        if self.features is not None and self.target in self.features:
            raise ValueError(f"the target {self.target!r} cannot be one of the features")
        if self.columns.get(self.target) in (Declared.ID, Declared.IGNORE):
            raise ValueError(f"the target {self.target!r} cannot be an id or ignored")
        if self.algorithm == Name.AUTO:
            return self
        algorithm = self.algorithms[self.algorithm]
        if self.task != "auto" and Task(self.task) not in algorithm.tasks:
            raise ValueError(f"{algorithm.name} is not for {self.task}")
        fault = algorithm.params.model_validate(self.params).fault(self.epochs)
        if fault is not None:
            raise ValueError(f"params: {fault}")
        return self

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        if self.search is None:
            return self
        if self.algorithm == Name.AUTO:
            raise ValueError("search: name an algorithm instead of `auto`, whose params are unknown")
        for params in self.search.combinations(self.seed):
            try:
                self.trial_params(params)
            except ValidationError as error:
                [fault, *_] = error.errors(include_url=False)
                path = ".".join(str(part) for part in fault["loc"])
                raise ValueError(f"search: {path or 'params'}: {fault['msg']}") from None
        return self

    def trial_params(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """Return the params of one trial of the search. Raises ValidationError."""
        schema = self.algorithms[self.algorithm].params
        params: dict[str, Any] = schema.model_validate({**self.params, **overrides}).model_dump()
        return params


def references(request: TrainModelRequest) -> References:
    """Return the dataset that the request refers to, if any."""
    return References(datasets=() if request.dataset_id is None else (request.dataset_id,))


def fan_out(request: TrainModelRequest) -> FanOut | None:
    """Return the trials of a search; all register versions of the same model. Raises SearchTooLarge."""
    if request.search is None:
        return None
    if request.rows is not None:
        stored_bytes = len(serializing.encode(request.rows)) * request.search.count
        if stored_bytes > MAX_SEARCH_BYTES:
            raise SearchTooLarge(limit=MAX_SEARCH_BYTES, got=stored_bytes)
    model = request.model or f"search_{ids.new_id().hex[-8:]}"
    trials = tuple(
        request.model_copy(update={"search": None, "model": model, "params": request.trial_params(params)})
        for params in request.search.combinations(request.seed)
    )
    search = {"metric": request.search.metric, "model": model}
    return FanOut(trials, search, f"Search of {len(trials)} trials created")


def plan(request: TrainModelRequest, found: ResolvedReferences) -> JobPlan:
    """Plan one training. Its total counts epochs: each is a batch. Raises UnknownColumn, SearchInBulk."""
    if request.search is not None:
        raise SearchInBulk
    params = msgspec.json.encode(
        TrainModelParams(
            target=request.target,
            features=request.features,
            task=request.task,
            algorithm=request.algorithm,
            params=request.params,
            epochs=request.epochs,
            validation_fraction=request.validation_fraction,
            seed=request.seed,
            model=request.model,
            columns={name: declared.value for name, declared in request.columns.items()},
        )
    )
    if request.dataset_id is not None:
        dataset = found.datasets[request.dataset_id]
        _ensure_columns(request, [column.name for column in dataset.columns], dataset.name)
        return JobPlan(params, total=request.epochs, files={"dataset": dataset.file}, dataset_id=dataset.id)
    rows = request.rows or []
    _ensure_columns(request, list(dict.fromkeys(name for row in rows for name in row)), "rows")
    return JobPlan(params, rows=serializing.encode(rows), total=request.epochs)


def _ensure_columns(request: TrainModelRequest, columns: list[str], dataset: str) -> None:
    known = set(columns)
    named = (
        ("target", [request.target]),
        ("features", request.features or []),
        ("columns", list(request.columns)),
    )
    for option, names in named:
        for name in names:
            if name not in known:
                raise UnknownColumn(option=option, column=name, dataset=dataset, columns=columns)


KIND: Final = Kind(
    name="train_model",
    summary="Train a model on a dataset or on rows",
    request=TrainModelRequest,
    plan=plan,
    references=references,
    fan_out=fan_out,
    message="Training job created",
    errors=(
        DatasetNotFound(dataset_id=_EXAMPLE_ID),
        TooManyInstances(limit=MAX_INLINE_ROWS, got=1001),
        SearchTooLarge(limit=MAX_SEARCH_BYTES, got=17_000_000),
        UnknownColumn(option="target", column="labl", dataset="reviews", columns=["text", "label"]),
    ),
    examples={
        "a dataset": {"value": {"dataset_id": _EXAMPLE_ID, "target": "label", "model": "reviews"}},
        "rows": {
            "value": {
                "rows": [
                    {"text": "What a lovely day", "label": "good"},
                    {"text": "I want my money back", "label": "bad"},
                    {"text": "It works, and it is quick", "label": "good"},
                    {"text": "It broke on the first day", "label": "bad"},
                ],
                "target": "label",
                "epochs": 5,
            }
        },
        "a search": {
            "value": {
                "dataset_id": _EXAMPLE_ID,
                "target": "label",
                "algorithm": "logistic_regression",
                "search": {
                    "params": {
                        "alpha": {"min": 1e-6, "max": 1e-2, "log": True},
                        "penalty": ["l2", "elasticnet"],
                    },
                    "trials": 12,
                    "metric": "f1_macro",
                },
                "model": "reviews",
            }
        },
        "all options": {
            "value": {
                "dataset_id": _EXAMPLE_ID,
                "target": "price",
                "features": ["rooms", "district", "built_at"],
                "task": "regression",
                "algorithm": "hist_gradient_boosting",
                "params": {"max_iter": 200, "learning_rate": 0.05},
                "epochs": 20,
                "validation_fraction": 0.1,
                "seed": 7,
                "model": "prices",
            }
        },
    },
)


def with_algorithms(algorithms: Mapping[str, Algorithm]) -> Kind:
    """Return the kind for these algorithms: requests may name each of them, and OpenAPI lists them."""
    if algorithms.keys() == ALGORITHMS.keys():
        return KIND
    names = StrEnum("Name", {name.upper(): name for name in (Name.AUTO.value, *algorithms)})  # type: ignore[misc]  # dynamic
    field = TrainModelRequest.model_fields["algorithm"]
    request = create_model(
        TrainModelRequest.__name__,
        __base__=TrainModelRequest,
        __doc__=TrainModelRequest.__doc__,
        algorithm=(names, Field(Name.AUTO, description=field.description)),
    )
    request.algorithms = algorithms
    return replace(KIND, request=request)
