"""Models as they are shown, and what can be said of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.http.body import StrictBody
from app.models.versions import Task, Visibility


class ModelLinks(TypedDict):
    """Where more of a model is."""

    self: str
    versions: str


class ModelView(TypedDict):
    """A model: its name, and which versions it has. `latest_version` is what its bare name means.

    `is_own` says whether it is yours to change. `reference` is how a job of any user names it, with its
    owner. The one that is built in was not created by anybody.
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
    """A page of models, newest first; the one that is built in is the last of all."""

    items: list[ModelView]
    next_cursor: str | None


class InputColumnView(TypedDict):
    """One column that a model expects. `type` is `text`, `number`, `category` or, if unknown, `any`."""

    name: str
    type: str


class VersionLinks(TypedDict):
    """Where more of a version is. What is built in has no file."""

    self: str
    model: str
    artifact: str | None


class VersionView(TypedDict):
    """One version of a model, which never changes.

    `model` is how a job names exactly this version, `model_id` what it has for the same purpose in results.
    `columns` are the input columns in the model's order, null if it does not say. `lineage` (where it comes
    from: job, dataset, code) is for its owner only.
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
    """Which version an alias is to mean."""

    version: int = Field(ge=1, lt=2**31)


class ModelChange(StrictBody):
    """What is to be different about a model."""

    visibility: Visibility = Field(description="`public`: every user may predict with it and download it.")
