"""What a version of a model is, wherever it is spoken of."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import msgspec

from app.core.files import StoredFile


class Visibility(StrEnum):
    """Who may predict with a model: its owner, or every user."""

    PRIVATE = "private"
    PUBLIC = "public"


class Task(StrEnum):
    """What a model predicts."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class InputColumn(msgspec.Struct, frozen=True):
    """One column that a model expects. `type` is `text`, `number`, `category` or, if unknown, `any`."""

    name: str
    type: str


class Signature(msgspec.Struct, frozen=True):
    """What a model takes and gives, as far as its file says.

    `columns` are in the model's order, None if it does not say; `classes` are in the order of its scores.
    `library_versions` is what the file was made with.
    """

    task: Task | None = None
    columns: tuple[InputColumn, ...] | None = None
    classes: tuple[str, ...] | None = None
    library_versions: dict[str, str] = {}


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model, and the runtime that loads it.

    `columns` are the input columns of a tabular model, in its order; None for a model that takes texts or
    that does not say. `file` is None for the model that is built in.
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
