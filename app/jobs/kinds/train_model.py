"""The kind `train_model`: train a model epoch by epoch and register it."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec
from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core import ids
from app.core.files import StoredFile
from app.datasets import storage_keys
from app.datasets.errors import DatasetNotFound
from app.datasets.options import Declared
from app.datasets.values import MAX_NAME_LENGTH, Dataset
from app.http import serializing
from app.http.body import CleanObject, CleanStr, StrictBody, at_most
from app.jobs.algorithms.catalogue import ALGORITHMS, Algorithm, Name
from app.jobs.algorithms.choice import MAX_PROPOSALS
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.jobs.errors import SearchInBulk, SearchTooLarge, TooManyInstances, UnknownColumn
from app.jobs.kinds import splits
from app.jobs.kinds.kind import (
    FanOut,
    JobPlan,
    Kind,
    References,
    ResolvedReferences,
    RestoredRequest,
    RestoreError,
    StoredRequest,
)
from app.jobs.kinds.row_based import MAX_INLINE_ROWS, Rows
from app.jobs.params import (
    FOLDS_OF_CHOICE,
    CandidateParams,
    Promotion,
    SplitMethod,
    TrainModelParams,
    TrialPart,
)
from app.jobs.requests import DatasetOptions
from app.jobs.searches.halving import contestants_of_rounds
from app.jobs.searches.space import BEST_ALIAS, METRICS, MetricName, Search, Trial
from app.models import builtin
from app.models.names import AliasName, ModelName
from app.models.versions import Task

MAX_EPOCHS: Final = 1000
MAX_FOLDS: Final = 20
MAX_JOBS: Final = 1000
"""Limit of the jobs of a search or of a training with folds, as of a bulk request."""

MAX_HELD_OUT: Final = 0.95
"""The largest share of the rows that may be held out for validation and test together."""

MAX_SEARCH_BYTES: Final = 16 * 1024 * 1024
"""Limit of the inline rows of a search, over all its jobs: each job stores its own copy."""

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

ColumnName = Annotated[CleanStr, Field(min_length=1, max_length=1000)]


class PromoteRequest(StrictBody):
    """Point an alias of the model to the new version, if it is better than the version that has the alias."""

    alias: AliasName
    metric: MetricName | None = Field(
        None, description=f"Metric to compare: {', '.join(METRICS)}. Default: accuracy, or r2."
    )


class TrainModelRequest(DatasetOptions):
    """Train a model to predict one column of a dataset, or of up to 1000 rows, from the others."""

    algorithms: ClassVar[Mapping[str, Algorithm]] = ALGORITHMS

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
        0.2, ge=0.01, le=0.9, description="Fraction of the rows held out to choose the best epoch."
    )
    test_fraction: float | None = Field(
        None,
        ge=0.01,
        le=0.9,
        description="Fraction of the rows held out to measure the model. They choose nothing. Default: 0.2;"
        " with `auto` and at most 10,000 rows, a cross-validation of 3 folds measures the model instead.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda fraction: fraction is None,
    )
    cv: int | None = Field(
        None,
        ge=2,
        le=MAX_FOLDS,
        description="Measure the model by cross-validation with this number of folds: a model that is trained"
        " without a fold predicts its rows. The registered model learns from all folds.",
        exclude_if=lambda folds: folds is None,
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=MAX_FOLDS,
        description="Measure the model by cross-validation over many workers: a job for each fold trains"
        " without it and measures on it, and one job trains the model. The response is then a group, as with"
        " `search`. `cv` does the same inside one job.",
        exclude_if=lambda folds: folds is None,
    )
    split: splits.Split | None = Field(
        None,
        description="How rows are held out. Default: at random, for a classification each class in"
        " proportion.",
        exclude_if=lambda split: split is None,
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

    refit: bool | None = Field(
        None,
        description="Fit the registered model on all rows, after it was measured on the test rows. Default:"
        " yes if the algorithm is chosen (`auto`, or a search with `halving`), else no.",
        exclude_if=lambda refit: refit is None,
    )

    promote: PromoteRequest | None = Field(
        None,
        description="Point this alias of `model` to the new version, if the alias is new or the version has a"
        " better value of the metric. Both values are those of the trainings, each on its own held-out rows.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda promote: promote is None,
    )

    search: Search | None = Field(
        None,
        description="Hyperparameter search: train once per combination of params. The response is then a"
        " group; its `poll_url` returns the leaderboard, and the best version is `name@best`.",
    )

    held_out_dataset: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="Name of a dataset to create with the predictions for the test rows.",
        exclude_if=lambda name: name is None,
    )

    _part: TrialPart | None = PrivateAttr(None)

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

    @field_validator("held_out_dataset")
    @classmethod
    def _check_dataset_name(cls, name: str | None) -> str | None:
        if name is not None and not (name.isprintable() and name.strip()):
            raise ValueError("the name has control characters or is empty")
        return name

    @field_validator("model")
    @classmethod
    def _check_model_name(cls, model: str | None) -> str | None:
        if model in builtin.NAMES:
            raise PydanticCustomError("reserved_name", "This name is reserved for a built-in model")
        return model

    @model_validator(mode="after")
    def _check_one_row_source(self) -> Self:
        if [self.rows, self.dataset_id, self.dataset].count(None) != 2:
            raise ValueError("give one of rows, dataset_id and dataset")
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
    def _check_split(self) -> Self:
        if self.cv is not None and self.test_fraction is not None:
            raise ValueError("cv: a cross-validation tests all rows; leave test_fraction out")
        if self.cv is not None and splits.dataset_of(self.split) is not None:
            raise ValueError("cv: the split names a dataset to test on; leave one of them out")
        test_fraction = 0.0 if self.cv else (self.test_fraction or splits.DEFAULT_TEST_FRACTION)
        if self.validation_fraction + test_fraction > MAX_HELD_OUT:
            raise ValueError(
                f"validation_fraction and test_fraction hold out more than {MAX_HELD_OUT:.0%} of the rows;"
                " choose smaller ones"
            )
        if self.target == splits.column_of(self.split):
            raise ValueError("split: the column of the split cannot be the target")
        if isinstance(self.split, splits.StratifiedSplit) and self.task == "regression":
            raise ValueError("split: a stratified split needs classes; choose random for a regression")
        return self

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if self.folds is None:
            return self
        if self.cv is not None:
            raise ValueError(
                "folds: cv measures the same folds inside one job, folds in a job for each; give one of them"
            )
        if splits.dataset_of(self.split) is not None:
            raise ValueError("folds: the split names a dataset to test on; leave one of them out")
        trials = 1 if self.search is None or self.search.halving else self.search.count
        if (jobs := trials * (self.folds + 1)) > MAX_JOBS:
            raise ValueError(
                f"folds: {trials} trials with {self.folds} folds each are {jobs} jobs, more than {MAX_JOBS};"
                " choose fewer trials or fewer folds"
            )
        return self

    @model_validator(mode="after")
    def _check_promotion(self) -> Self:
        if self.promote is None:
            return self
        if self.model is None:
            raise ValueError("promote: name the model, so that each training adds a version to it")
        if self.is_group and self.promote.alias == BEST_ALIAS:
            raise ValueError(f"promote: a search moves the alias {BEST_ALIAS!r} itself; name another one")
        return self

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        if self.search is None:
            return self
        if self.held_out_dataset is not None and not self.search.halving:
            raise ValueError("held_out_dataset: a search would create one for each trial; leave it out")
        if (self.algorithm == Name.AUTO) != (self.search.algorithms is not None):
            raise ValueError(
                "search: name an algorithm for search.params, or leave it out and give search.algorithms"
            )
        for name in self.search.algorithms or ():
            if name not in self.algorithms:
                raise ValueError(f"search: there is no algorithm {name!r}; GET /algorithms lists them")
            if self.task != "auto" and Task(self.task) not in self.algorithms[name].tasks:
                raise ValueError(f"search: {name} is not for {self.task}")
        for trial in self.search.all_trials(self.seed):
            try:
                self.trial_params(trial)
            except ValidationError as error:
                [fault, *_] = error.errors(include_url=False)
                path = ".".join(str(part) for part in fault["loc"])
                raise ValueError(f"search: {path or 'params'}: {fault['msg']}") from None
        return self

    @property
    def is_group(self) -> bool:
        """Whether the request becomes several jobs. A search that prunes early is one job, or one trial."""
        return self.folds is not None or (self.search is not None and not self.search.halving)

    @property
    def part(self) -> TrialPart | None:
        """Which job of a trial with folds the request is, as `fan_out` makes them; a body cannot say it."""
        return self._part

    def as_part(self, part: TrialPart) -> Self:
        """Return the request for one job of a trial. The one of a fold only measures."""
        changes = {} if part.fold is None else _ONLY_MEASURES
        made = self.model_copy(update={**changes, "folds": None})
        made._part = part
        return made

    def trial_params(self, trial: Trial) -> dict[str, Any]:
        """Return the params of one trial of the search. Raises ValidationError."""
        schema = self.algorithms[self.trial_algorithm(trial)].params
        params: dict[str, Any] = schema.model_validate({**self.params, **trial.params}).model_dump()
        return params

    def trial_algorithm(self, trial: Trial) -> str:
        """Return the algorithm of one trial of the search."""
        return trial.algorithm or self.algorithm


def references(request: TrainModelRequest) -> References:
    """Return the datasets that the request refers to: of the training rows, and of the test rows."""
    named = (request.dataset_reference, splits.dataset_of(request.split))
    return References(datasets=tuple(reference for reference in named if reference is not None))


_ONLY_MEASURES: Final[Mapping[str, Any]] = {
    "refit": False,
    "test_fraction": None,
    "held_out_dataset": None,
    "promote": None,
}
"""What a request for a fold lacks: its test rows are the fold, and nothing is registered."""


def fan_out(request: TrainModelRequest) -> FanOut | None:
    """Return the jobs of a search or of folds; all trials register versions of the same model.

    With folds, a trial is one job that trains, which takes longest and so comes first, and one for each fold.
    Raises SearchTooLarge.
    """
    if not request.is_group:
        return None
    trials = _trials(request)
    jobs: tuple[TrainModelRequest, ...] = trials
    if request.folds is not None:
        parts = (None, *range(1, request.folds + 1))
        jobs = tuple(
            trial.as_part(TrialPart(number, request.folds, fold))
            for number, trial in enumerate(trials)
            for fold in parts
        )
    if request.rows is not None:
        stored_bytes = len(serializing.encode(request.rows)) * len(jobs)
        if stored_bytes > MAX_SEARCH_BYTES:
            raise SearchTooLarge(limit=MAX_SEARCH_BYTES, got=stored_bytes)
    metric = None if request.search is None else request.search.metric
    search = {"metric": metric, "model": trials[0].model}
    created = "Training" if request.search is None else f"Search of {len(trials)} trials"
    if request.folds is None:
        return FanOut(jobs, search, f"{created} created")
    return FanOut(jobs, {**search, "folds": request.folds}, f"{created} with {request.folds} folds created")


def _trials(request: TrainModelRequest) -> tuple[TrainModelRequest, ...]:
    """Return the trainings that the request compares, of one model: one, if a single job compares or none."""
    search = request.search
    origin = "model" if search is None else "search"
    model = request.model or f"{origin}_{ids.new_id().hex[-8:]}"
    if search is None or search.halving:
        return (request.model_copy(update={"model": model}),)
    return tuple(
        request.model_copy(
            update={
                "search": None,
                "model": model,
                "algorithm": request.trial_algorithm(trial),
                "params": request.trial_params(trial),
            }
        )
        for trial in search.all_trials(request.seed)
    )


def plan(request: TrainModelRequest, found: ResolvedReferences) -> JobPlan:
    """Plan one training. Its total counts steps: each is a batch. Raises UnknownColumn, SearchInBulk."""
    if request.is_group:
        raise SearchInBulk
    wanted = _params(request)
    params, total = msgspec.json.encode(wanted), _steps(wanted)
    files: dict[str, StoredFile] = {}
    test_dataset = splits.dataset_of(request.split)
    if test_dataset is not None:
        test = found.datasets[test_dataset]
        _ensure_test_columns(request, test)
        files["test_dataset"] = test.file
    if request.dataset_reference is not None:
        dataset = found.datasets[request.dataset_reference]
        _ensure_columns(request, [column.name for column in dataset.columns], dataset.name)
        files["dataset"] = dataset.file
        return JobPlan(params, total=total, files=files, dataset_id=dataset.id)
    rows = request.rows or []
    _ensure_columns(request, list(dict.fromkeys(name for row in rows for name in row)), "rows")
    return JobPlan(params, rows=serializing.encode(rows), total=total, files=files)


def restore(stored: StoredRequest, algorithms: Mapping[str, Algorithm] = ALGORITHMS) -> RestoredRequest:
    """Return the request. Raises RestoreError for a search: only what it drew is stored, not its ranges."""
    params = stored.read_params(TrainModelParams)
    if params.candidates:
        raise RestoreError("the ranges of its search are not stored.")
    if params.held_out_fold is not None:
        raise RestoreError("it measures one fold of a training; submit the training with its folds again.")
    test = stored.files.get("test_dataset")
    promote = params.promote
    body = {
        "dataset_id": stored.dataset_id,
        "target": params.target,
        "features": params.features,
        "task": params.task,
        "algorithm": params.algorithm,
        "params": _other_than_defaults(params, algorithms),
        "epochs": params.epochs,
        "validation_fraction": params.validation_fraction,
        **_restored_measure(params),
        "split": splits.restore(params.split, None if test is None else storage_keys.dataset_of(test.key)),
        "seed": params.seed,
        "columns": params.columns,
        "model": params.model,
        "refit": params.refit,
        "promote": None if promote is None else {"alias": promote.alias, "metric": promote.metric},
        "held_out_dataset": params.held_out_dataset,
    }
    return RestoredRequest(body, "rows" if stored.dataset_id is None else None)


def _other_than_defaults(params: TrainModelParams, algorithms: Mapping[str, Algorithm]) -> dict[str, Any]:
    found = algorithms.get(params.algorithm)
    if found is None:  # `auto`, or an algorithm of a plugin that is gone
        defaults = Hyperparameters().model_dump()
    else:
        defaults = {
            name: field.get_default(call_default_factory=True)
            for name, field in found.params.model_fields.items()
        }
    return {
        name: value
        for name, value in params.params.items()
        if name not in defaults or value != defaults[name]
    }


def _restored_measure(params: TrainModelParams) -> dict[str, Any]:
    """Return how the request had the model measured, as `_folds` and `splits.to_params` read it."""
    split = params.split
    if split.folds:
        return {"cv": split.folds}
    if split.folds is None or split.method is SplitMethod.DATASET:
        return {}
    # For `auto`, no number would mean that the data decides.
    is_default = split.test_fraction == splits.DEFAULT_TEST_FRACTION
    return (
        {}
        if is_default and not (params.is_auto and params.refit is not False)
        else {"test_fraction": split.test_fraction}
    )


def _steps(params: TrainModelParams) -> int:
    """Return the maximum number of steps: comparisons of candidates, epochs, folds, and the last fit."""
    comparisons = 0
    if params.chooses:
        comparisons = sum(contestants_of_rounds(len(params.candidates) or MAX_PROPOSALS))
    folds = FOLDS_OF_CHOICE if params.split.folds is None else params.split.folds
    return comparisons + params.epochs + folds + params.refits


def _params(request: TrainModelRequest) -> TrainModelParams:
    search = request.search
    return TrainModelParams(
        target=request.target,
        features=request.features,
        task=request.task,
        algorithm=request.algorithm,
        params=request.params,
        epochs=request.epochs,
        validation_fraction=request.validation_fraction,
        held_out_dataset=request.held_out_dataset,
        split=splits.to_params(request.split, test_fraction=request.test_fraction, folds=_folds(request)),
        seed=request.seed,
        model=request.model,
        columns={name: declared.value for name, declared in request.columns.items()},
        promote=None if (asked := request.promote) is None else Promotion(asked.alias, asked.metric),
        candidates=[
            CandidateParams(request.trial_algorithm(trial), request.trial_params(trial))
            for trial in ([] if search is None else search.all_trials(request.seed))
        ],
        metric=None if search is None else search.metric,
        refit=request.refit,
        part=request.part,
    )


def _folds(request: TrainModelRequest) -> int | None:
    """Return the number of folds that the request wants; None if it leaves that to the data."""
    if request.cv is not None:
        return request.cv
    is_auto = request.algorithm == Name.AUTO and request.search is None
    # Without a refit, the model that is measured is registered: that needs rows held out.
    return None if is_auto and request.test_fraction is None and request.refit is not False else 0


def _ensure_test_columns(request: TrainModelRequest, test: Dataset) -> None:
    columns = [column.name for column in test.columns]
    for name in (request.target, *(request.features or ())):
        if name not in columns:
            raise UnknownColumn(option="split", column=name, dataset=test.name, columns=columns)


def _ensure_columns(request: TrainModelRequest, columns: list[str], dataset: str) -> None:
    known = set(columns)
    named = (
        ("target", [request.target]),
        ("features", request.features or []),
        ("columns", list(request.columns)),
        ("split", [] if (column := splits.column_of(request.split)) is None else [column]),
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
    restore=restore,
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
        "a search over algorithms that prunes early": {
            "value": {
                "dataset_id": _EXAMPLE_ID,
                "target": "label",
                "search": {
                    "algorithms": {
                        "logistic_regression": {"alpha": {"min": 1e-6, "max": 1e-2, "log": True}},
                        "random_forest": {"min_samples_leaf": [1, 2, 5, 10]},
                        "hist_gradient_boosting": {"learning_rate": {"min": 0.02, "max": 0.3, "log": True}},
                    },
                    "trials": 27,
                    "halving": True,
                },
                "model": "reviews",
            }
        },
        "retrain, and promote a better version": {
            "value": {
                "dataset": "reviews.csv",
                "target": "label",
                "model": "reviews",
                "promote": {"alias": "prod", "metric": "f1_macro"},
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
                "test_fraction": 0.1,
                "split": {"method": "time", "column": "sold_at"},
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
    return replace(KIND, request=request, restore=partial(restore, algorithms=algorithms))
