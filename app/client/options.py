"""What can be said of jobs and uploads, and how it is written down for the server."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

from app.client.data import AnyDataset, dataset_id

Priority = Literal["low", "normal", "high", "critical"]
Format = Literal["ndjson", "csv", "parquet"]
Task = Literal["auto", "classification", "regression"]
Declared = Literal["number", "category", "text", "boolean", "timestamp", "id", "ignore"]
"""What a column holds."""
Instance = Mapping[str, Any] | Sequence[Any]
"""A row for a model with columns: by their names, or in their order."""


class JobOptions(TypedDict, total=False):
    """What can be said of every job; what is not said is for the server to choose."""

    priority: Priority
    queue: str
    max_attempts: int
    soft_limit_seconds: int
    time_limit_seconds: int
    run_at: datetime
    delay_seconds: float
    expires_in_seconds: int
    metadata: Mapping[str, str]
    idempotency_key: str


class SubmitOptions(JobOptions, total=False):
    """What can be said of predictions beside their rows."""

    model: str
    batch_size: int
    column: str
    id_column: str
    max_row_errors: int


class TrainOptions(JobOptions, total=False):
    """What can be said of a training beside its rows and its target."""

    features: Sequence[str]
    task: Task
    algorithm: str
    params: Mapping[str, Any]
    epochs: int
    validation_fraction: float
    seed: int
    model: str
    columns: Mapping[str, Declared]


class UploadOptions(TypedDict, total=False):
    """How a file is read; what is not said is for the server to find."""

    delimiter: str
    encoding: str
    null_values: Sequence[str]
    columns: Mapping[str, Declared]


class JobFilters(TypedDict, total=False):
    """Which jobs are asked for; what is not said may be anything."""

    status: str
    kind: str
    queue: str
    model: str
    metadata: Mapping[str, str]
    created_after: datetime
    created_before: datetime


def said(options: JobOptions) -> tuple[dict[str, Any], str | None]:
    """The options that are said, as JSON, and the idempotency key apart from them."""
    words: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    key = words.pop("idempotency_key", None)
    if isinstance(run_at := words.get("run_at"), datetime):
        words["run_at"] = _written(run_at)
    return words, key


def of_dataset(dataset: AnyDataset | None) -> dict[str, str]:
    """The member of a body that names a dataset, if there is one."""
    return {} if dataset is None else {"dataset_id": dataset_id(dataset)}


def rows(texts: Sequence[str] | None, instances: Sequence[Instance] | None) -> dict[str, Any]:
    """The members of a body that are rows. Raises TypeError for a text that is no list."""
    if isinstance(texts, str):
        raise TypeError("texts is a list of texts, not one text")
    members: dict[str, Any] = {}
    if texts is not None:
        members["texts"] = list(texts)
    if instances is not None:
        members["instances"] = list(instances)
    return members


def upload_params(options: UploadOptions) -> dict[str, str | Sequence[str]]:
    """The query that says how a file is read. Raises TypeError for null values that are one text."""
    params: dict[str, str | Sequence[str]] = {}
    for name in ("delimiter", "encoding"):
        if (value := options.get(name)) is not None:
            params[name] = str(value)
    if (null_values := options.get("null_values")) is not None:
        if isinstance(null_values, str):
            raise TypeError("null_values is a list of texts, not one text")
        params["null_values"] = list(null_values)
    if (columns := options.get("columns")) is not None:
        params["columns"] = json.dumps(dict(columns), ensure_ascii=False)
    return params


def filter_params(filters: JobFilters) -> dict[str, str]:
    """The query that asks for these jobs."""
    params: dict[str, str] = {}
    for name, value in filters.items():
        if name == "metadata" and isinstance(value, Mapping):
            params |= {f"metadata.{key}": str(wanted) for key, wanted in value.items()}
        elif value is not None:
            params[name] = _written(value) if isinstance(value, datetime) else str(value)
    return params


def _written(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone: datetime.now(UTC)")
    return instant.isoformat()
