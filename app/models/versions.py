"""The types of models and their versions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

import msgspec

from app.core.files import StoredFile
from app.core.rows import Row


class Visibility(StrEnum):
    """Who may use a model: its owner, or all users."""

    PRIVATE = "private"
    PUBLIC = "public"


class Task(StrEnum):
    """The kind of prediction that a model makes."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class InputColumn(msgspec.Struct, frozen=True):
    """One input column of a model. `type` is `text`, `number`, `category` or, if unknown, `any`."""

    name: str
    type: str


class Signature(msgspec.Struct, frozen=True):
    """Inputs and outputs of a model, as far as its file declares them.

    `columns` are in the model's order, None if the file does not name them; `classes` are in the order of the
    scores. `library_versions` are those that wrote the file.
    """

    task: Task | None = None
    columns: tuple[InputColumn, ...] | None = None
    classes: tuple[str, ...] | None = None
    library_versions: dict[str, str] = {}


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model, with what a job needs to run it.

    `name` is how the user who asked refers to it: `owner/name` for a model of another user. `columns` are the
    input columns of a tabular model, in its order; None for a model that takes texts or does not name them.
    `id` and `file` are None for the built-in model.
    """

    name: str
    version: int
    runtime: str
    id: UUID | None = None
    task: Task | None = None
    columns: tuple[InputColumn, ...] | None = None
    classes: tuple[str, ...] | None = None
    file: StoredFile | None = None

    @property
    def reference(self) -> str:
        """The version as a user writes it."""
        return f"{self.name}@{self.version}"

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The version of a row of `model_versions` with the model's `name` and `owner`, and `is_own`."""
        return cls(
            name=row["name"] if row["is_own"] else f"{row['owner']}/{row['name']}",
            version=row["version"],
            runtime=row["runtime"],
            id=row["id"],
            task=None if row["task"] is None else Task(row["task"]),
            columns=msgspec.convert(row["columns"], tuple[InputColumn, ...] | None),
            classes=msgspec.convert(row["classes"], tuple[str, ...] | None),
            file=StoredFile(row["artifact_key"], row["bytes"], row["sha256"]),
        )


@dataclass(frozen=True)
class RegisteredVersion:
    """One version as the registry lists it, to a user who may predict with it.

    `name` is that of the model alone. `lineage` says where the version comes from: `job_id`, `dataset_id`,
    `library_versions`, ….
    """

    id: UUID
    name: str
    owner: str
    is_own: bool
    version: int
    aliases: tuple[str, ...]
    runtime: str
    task: Task | None
    columns: tuple[InputColumn, ...] | None
    classes: tuple[str, ...] | None
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]
    lineage: Mapping[str, Any]
    description: str | None
    tags: Mapping[str, str]
    file: StoredFile
    has_report: bool
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The version of a row of `model_versions` as `app.models.queries` selects it."""
        return cls(
            id=row["id"],
            name=row["name"],
            owner=row["owner"],
            is_own=row["is_own"],
            version=row["version"],
            aliases=tuple(row["aliases"]),
            runtime=row["runtime"],
            task=None if row["task"] is None else Task(row["task"]),
            columns=msgspec.convert(row["columns"], tuple[InputColumn, ...] | None),
            classes=msgspec.convert(row["classes"], tuple[str, ...] | None),
            metrics=row["metrics"],
            params=row["params"],
            lineage=row["lineage"],
            description=row["description"],
            tags=row["tags"],
            file=StoredFile(row["artifact_key"], row["bytes"], row["sha256"]),
            has_report=row["has_report"],
            created_at=row["created_at"],
        )


@dataclass(frozen=True)
class EvaluatedVersion:
    """The number of a version, and the metrics that it was registered with."""

    version: int
    metrics: Mapping[str, Any]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The version of a row of `model_versions`."""
        return cls(version=row["version"], metrics=row["metrics"])


class Score(msgspec.Struct, frozen=True):
    """The value of a metric of one version."""

    version: int
    metric: str
    value: float


@dataclass(frozen=True)
class Model:
    """A model, as shown to a user who may predict with it. `aliases` maps each alias to a version number.

    `scores` are those of its latest versions, newest first, if the query asked for them.
    """

    id: UUID
    name: str
    owner: str
    visibility: Visibility
    is_own: bool
    versions: int
    latest_version: int | None
    aliases: Mapping[str, int]
    description: str | None
    tags: Mapping[str, str]
    created_at: datetime
    scores: tuple[Score, ...] | None = None

    @classmethod
    def from_row_with_scores(cls, row: Row) -> Self:
        """The model of a row that also has `scores`."""
        scores = msgspec.convert(row["scores"], tuple[Score, ...] | None)
        return replace(cls.from_row(row), scores=scores)

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The model of a row of `models` with the `owner`, `is_own`, and a summary of its versions."""
        return cls(
            id=row["id"],
            name=row["name"],
            owner=row["owner"],
            visibility=Visibility(row["visibility"]),
            is_own=row["is_own"],
            versions=row["versions"],
            latest_version=row["latest_version"],
            aliases=row["aliases"],
            description=row["description"],
            tags=row["tags"],
            created_at=row["created_at"],
        )
