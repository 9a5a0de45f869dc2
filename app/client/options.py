"""Options of jobs, uploads and listings, and their form in requests."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

from app.client import dataset_values
from app.client.dataset_values import AnyDataset
from app.client.model_values import AnyModel, Model, ModelVersion, model_reference

Priority = Literal["low", "normal", "high", "critical"]
Format = Literal["ndjson", "csv", "parquet"]
FileFormat = Literal["csv", "jsonl", "parquet"]
"""Format of a file to upload."""
Task = Literal["auto", "classification", "regression"]
Declared = Literal["number", "category", "text", "boolean", "timestamp", "id", "ignore"]
"""Type of a column."""
Instance = Mapping[str, Any] | Sequence[Any]
"""A row for a model with columns: values by name, or in the order of the columns."""


class JobResources(TypedDict, total=False):
    """What a job needs of a worker."""

    gpus: int


class JobOptions(TypedDict, total=False):
    """Options of every job; the server has defaults."""

    priority: Priority
    queue: str
    resources: JobResources
    max_attempts: int
    soft_limit_seconds: int
    time_limit_seconds: int
    run_at: datetime
    delay_seconds: float
    expires_in_seconds: int
    profile: bool
    resubmitted_from: str
    metadata: Mapping[str, str]
    idempotency_key: str


class RowOptions(JobOptions, total=False):
    """Options of every job that runs a model over rows."""

    batch_size: int
    column: str
    id_column: str
    max_row_errors: int


class SubmitOptions(RowOptions, total=False):
    """Options of a prediction job, apart from its rows.

    The rows of a dataset are divided into `shards`, for many workers at once.
    """

    model: AnyModel
    shards: Literal["auto"] | int
    max_failed_shards: int


class EvaluateOptions(RowOptions, total=False):
    """Options of an evaluation, apart from its model, its rows and its target."""


class PromoteOptions(TypedDict):
    """The alias that a trained version takes if it beats the version that has it."""

    alias: str
    metric: NotRequired[str]


class TrainOptions(JobOptions, total=False):
    """Options of a training, apart from its rows and target."""

    features: Sequence[str]
    task: Task
    algorithm: str
    params: Mapping[str, Any]
    epochs: int
    split: Mapping[str, Any]
    validation_fraction: float
    test_fraction: float
    cv: int
    refit: bool
    seed: int
    model: str
    columns: Mapping[str, Declared]
    held_out_dataset: str
    promote: PromoteOptions


class UploadOptions(TypedDict, total=False):
    """How to read a file; the server detects the rest. The name of the file says its format."""

    format: FileFormat
    delimiter: str
    encoding: str
    null_values: Sequence[str]
    columns: Mapping[str, Declared]


class JobFilters(TypedDict, total=False):
    """Filters of a listing of jobs."""

    status: str
    kind: str
    queue: str
    model: str
    dataset_id: str
    schedule_id: str
    metadata: Mapping[str, str]
    created_after: datetime
    created_before: datetime
    group_id: str


def split_options(options: JobOptions) -> tuple[dict[str, Any], str | None]:
    """The options that have a value, as members of the body, and the idempotency key."""
    members: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    key = members.pop("idempotency_key", None)
    if isinstance(run_at := members.get("run_at"), datetime):
        members["run_at"] = _format(run_at)
    if isinstance(model := members.get("model"), Model | ModelVersion):
        members["model"] = model_reference(model)
    return members, key


def dataset_member(dataset: AnyDataset | None) -> dict[str, str]:
    """The member of a body that names a dataset, if any."""
    return {} if dataset is None else dataset_values.dataset_member(dataset)


def row_members(texts: Sequence[str] | None, instances: Sequence[Instance] | None) -> dict[str, Any]:
    """The members of a body that hold rows. Raises TypeError if `texts` is a string."""
    if isinstance(texts, str):
        raise TypeError("texts must be a list of strings, not a string")
    members: dict[str, Any] = {}
    if texts is not None:
        members["texts"] = list(texts)
    if instances is not None:
        members["instances"] = list(instances)
    return members


def upload_params(options: UploadOptions) -> dict[str, str | Sequence[str]]:
    """The query parameters of an upload. Raises TypeError if `null_values` is a string."""
    params: dict[str, str | Sequence[str]] = {}
    for name in ("delimiter", "encoding"):
        if (value := options.get(name)) is not None:
            params[name] = str(value)
    if (null_values := options.get("null_values")) is not None:
        if isinstance(null_values, str):
            raise TypeError("null_values must be a list of strings, not a string")
        params["null_values"] = list(null_values)
    if (columns := options.get("columns")) is not None:
        params["columns"] = json.dumps(dict(columns), ensure_ascii=False)
    return params


def filter_params(filters: JobFilters) -> dict[str, str]:
    """The query parameters of a listing."""
    params: dict[str, str] = {}
    for name, value in filters.items():
        if name == "metadata" and isinstance(value, Mapping):
            params |= {f"metadata.{key}": str(wanted) for key, wanted in value.items()}
        elif value is not None:
            params[name] = _format(value) if isinstance(value, datetime) else str(value)
    return params


def row_filter_params(label: str | None, below: float | None, errors: bool | None) -> dict[str, str]:
    """The query parameters that select rows of results."""
    given = {"label": label, "below": below, "errors": None if errors is None else str(errors).lower()}
    return {name: str(value) for name, value in given.items() if value is not None}


def prefix_param(prefix: str | None) -> dict[str, str]:
    """The query parameter that selects names by their beginning."""
    return {} if prefix is None else {"q": prefix}


def _format(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("a datetime needs a time zone: datetime.now(UTC)")
    return instant.isoformat()
