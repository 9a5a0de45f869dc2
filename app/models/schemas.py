"""Request and response bodies of models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.http.body import StrictBody
from app.models.versions import Task, Visibility


class ModelLinks(TypedDict):
    """Links of a model."""

    self: str
    versions: str


class ModelView(TypedDict):
    """A model. Its bare name refers to `latest_version`.

    `is_own` says whether you may change it. `reference` includes the owner, so that jobs of any user can use
    it. The built-in model has no owner and no creation time.
    """

    name: str
    owner: str | None
    reference: str
    visibility: Visibility
    is_own: bool
    is_built_in: bool
    versions: int
    latest_version: int | None
    aliases: dict[str, int]
    created_at: datetime | None
    links: ModelLinks


class ModelPage(TypedDict):
    """A page of models, newest first. The built-in model is the last one."""

    items: list[ModelView]
    next_cursor: str | None


class InputColumnView(TypedDict):
    """One input column of a model. `type` is `text`, `number`, `category` or, if unknown, `any`."""

    name: str
    type: str


class VersionLinks(TypedDict):
    """Links of a version. The built-in version has no `artifact`."""

    self: str
    model: str
    artifact: str | None


class VersionView(TypedDict):
    """One version of a model. It never changes.

    `model` is the reference that a job uses for exactly this version; results carry its `model_id`. `columns`
    are the input columns in the model's order, null if it does not name them. `lineage` (the job, dataset and
    code that it comes from) is shown to its owner only.
    """

    model: str
    model_id: UUID | None
    name: str
    owner: str | None
    version: int
    aliases: list[str]
    runtime: str
    task: Task | None
    columns: list[InputColumnView] | None
    classes: list[str] | None
    metrics: dict[str, Any]
    params: dict[str, Any]
    lineage: dict[str, Any] | None
    library_versions: dict[str, str]
    bytes: int
    sha256: str | None
    created_at: datetime | None
    links: VersionLinks


class VersionPage(TypedDict):
    """A page of versions, newest first."""

    items: list[VersionView]
    next_cursor: str | None


class AliasRequest(StrictBody):
    """The version that an alias points to."""

    version: int = Field(ge=1, lt=2**31)


class ModelChange(StrictBody):
    """Changes of a model."""

    visibility: Visibility = Field(description="`public`: all users may predict with it and download it.")
