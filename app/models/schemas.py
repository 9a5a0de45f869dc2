"""Request and response bodies of models."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, NotRequired, Self
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.http.body import CleanStr, StrictBody, at_most
from app.models.versions import Task, Visibility

MAX_DESCRIPTION_CHARACTERS: Final = 10_000
MAX_TAGS: Final = 32

TagKey = Annotated[CleanStr, Field(min_length=1, max_length=64)]
TagValue = Annotated[CleanStr, Field(max_length=256)]


class IncludeInModels(StrEnum):
    """What a list of models includes on request."""

    SCORES = "scores"


class ModelLinks(TypedDict):
    """Links of a model."""

    self: str
    versions: str


class ScoreView(TypedDict):
    """A version and its score."""

    version: int
    value: float


class ScoresView(TypedDict):
    """The scores of the latest versions of a model, oldest first: at most 20 that have this metric."""

    metric: str
    versions: list[ScoreView]


class ModelView(TypedDict):
    """A model. Its bare name refers to `latest_version`.

    `is_own` says whether you may change it. `reference` includes the owner, so that jobs of any user can use
    it. The built-in model has no owner and no creation time. `scores`, with `include=scores`, has the
    accuracy or R² of versions; it is null if none has been measured.
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
    description: str | None
    tags: dict[str, str]
    created_at: datetime | None
    scores: NotRequired[ScoresView | None]
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
    """Links of a version.

    The built-in version has no `artifact` and no `card`. Your own versions that a training made have a
    `report` and `plots`.
    """

    self: str
    model: str
    artifact: str | None
    card: str | None
    report: str | None
    history: str | None
    plots: str | None


class VersionView(TypedDict):
    """One version of a model. Only its aliases, description and tags change.

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
    description: str | None
    tags: dict[str, str]
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


class DescriptionChange(StrictBody):
    """A new description and new tags. What is left out stays; null removes it."""

    description: CleanStr | None = Field(
        None, max_length=MAX_DESCRIPTION_CHARACTERS, description="What it is for. Text, such as Markdown."
    )
    tags: Annotated[dict[TagKey, TagValue], at_most(MAX_TAGS)] | None = Field(
        None,
        description="All tags: they replace the previous ones.",
        json_schema_extra={"maxProperties": MAX_TAGS},
    )

    @model_validator(mode="after")
    def _check_something_changes(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"give at least one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def new_description(self) -> str | None:
        """The new description: empty to remove it, None to keep it."""
        return (self.description or "") if "description" in self.model_fields_set else None

    @property
    def new_tags(self) -> dict[str, str] | None:
        """The new tags: empty to remove them, None to keep them."""
        return (self.tags or {}) if "tags" in self.model_fields_set else None


class VersionChange(DescriptionChange):
    """Changes of a version."""


class ModelChange(DescriptionChange):
    """Changes of a model."""

    visibility: Visibility | None = Field(
        None, description="`public`: all users may predict with it and download it."
    )

    @model_validator(mode="after")
    def _check_visibility(self) -> Self:
        if self.visibility is None and "visibility" in self.model_fields_set:
            raise ValueError("visibility: give `private` or `public`")
        return self
