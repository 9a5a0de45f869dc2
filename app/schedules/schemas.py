"""Requests and responses of the routes of schedules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NotRequired, Union
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypedDict

from app.http.body import CleanStr, LargeBody, StrictBody
from app.http.instants import Instant
from app.jobs.kinds.kind import Kind
from app.jobs.states import Status
from app.schedules.states import CatchUp, FiringOutcome, Overlap, ScheduleStatus
from app.schedules.triggers import Trigger, WindowFields

MAX_NAME_LENGTH: Final = 100
MAX_GROUP_LENGTH: Final = 64
MAX_PREVIEWED: Final = 50
MAX_RUNS: Final = 1_000_000

RESERVED_NAMES: Final = frozenset({"preview", ".", ".."})
"""Names that would be another path below `/schedules`."""

_UNDOCUMENTED: Final[Any] = SkipJsonSchema
_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def _ensure_one_segment(name: str) -> str:
    """Return a name that can be a segment of a path and that a reader can tell from others."""
    if "/" in name or not name.isprintable() or name.isspace():
        raise ValueError("a name has visible characters, and neither `/` nor control characters")
    if name in RESERVED_NAMES:
        raise ValueError("this name is reserved")
    return name


def parse_id(reference: str) -> UUID | None:
    """Return the id that a reference to a schedule is; None for a name."""
    return UUID(reference) if _UUID.fullmatch(reference) else None


def _ensure_no_id(name: str) -> str:
    if parse_id(name) is not None:
        raise ValueError("a name cannot look like an id")
    return name


ScheduleName = Annotated[
    CleanStr,
    AfterValidator(_ensure_one_segment),
    AfterValidator(_ensure_no_id),
    Field(
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="Unique among your schedules. No `/`, and not like an id.",
        examples=["nightly scoring"],
    ),
]

GroupName = Annotated[
    CleanStr,
    AfterValidator(_ensure_one_segment),
    Field(
        min_length=1,
        max_length=MAX_GROUP_LENGTH,
        description="Label under which schedules are paused, resumed, run and deleted together.",
        examples=["reports"],
    ),
]


class ScheduleDefinition(WindowFields, LargeBody):
    """When a schedule fires, and what it does about ticks that it cannot serve at once."""

    group: GroupName | None = None
    trigger: Trigger
    max_runs: int | None = Field(
        None, ge=1, le=MAX_RUNS, description="The schedule finishes after this many runs."
    )
    pause_after_failures: int | None = Field(
        None, ge=1, le=100, description="Pause the schedule after this many failed jobs in a row."
    )
    misfire_grace_seconds: int = Field(
        60, ge=1, le=86_400, description="A tick up to this old is on time; an older one is a misfire."
    )
    catch_up: CatchUp = Field(
        CatchUp.LAST,
        description="What to do about misfires: `none` runs none of them, `last` the newest one, `all` the"
        " newest `catch_up_limit` of the last `catch_up_window_seconds`.",
    )
    catch_up_limit: int = Field(10, ge=1, le=1000, description="With `all`: how many misfires to run.")
    catch_up_window_seconds: int = Field(
        86_400, ge=60, le=604_800, description="With `all`: how old a misfire may be."
    )
    overlap: Overlap = Field(
        Overlap.SKIP,
        description="What to do at a tick while a job of the schedule is pending or running: `skip` the tick,"
        " `queue` it until the job has ended, `replace` the job, or `allow` both.",
    )
    queue_limit: int = Field(1, ge=1, le=100, description="With `queue`: how many ticks may wait.")
    jitter_seconds: int = Field(
        0,
        ge=0,
        le=3600,
        description="Start each job up to this much later, so that many do not start at once."
        " At most half of an interval.",
    )


class ScheduleRequest(ScheduleDefinition):
    """A new schedule. `job` is the body of `POST /jobs/<kind>` with its `kind`."""

    name: ScheduleName
    enabled: bool = Field(True, description="`false` creates the schedule paused.")
    job: Any


class ScheduleDeclaration(ScheduleDefinition):
    """A schedule as a deployment declares it: it is created, or replaced by this."""

    name: ScheduleName | None = Field(None, description="The name in the path, if given.")
    enabled: bool | None = Field(
        None, description="Default: a new schedule is active, and an existing one stays paused or active."
    )
    job: Any


class ScheduleChange(WindowFields, LargeBody):
    """What to change of a schedule: the fields of a `ScheduleRequest` that are in `model_fields_set`."""


class RunRequest(StrictBody):
    """Options of a run outside the schedule."""

    force: bool = Field(False, description="Run even if a job of the schedule is pending or running.")


class PreviewRequest(WindowFields):
    """A trigger whose next ticks to compute."""

    trigger: Trigger
    count: int = Field(5, ge=1, le=MAX_PREVIEWED, description="How many ticks.")


@dataclass(frozen=True)
class ScheduleBodies:
    """The bodies of `POST /schedules`, `PUT` and `PATCH /schedules/{name}`; they depend on the kinds."""

    request: type[ScheduleRequest]
    declaration: type[ScheduleDeclaration]
    change: type[ScheduleChange]


def schedule_bodies(kinds: Mapping[str, Kind]) -> ScheduleBodies:
    """Return the bodies in which `job` is a request of any kind that is not internal."""
    templates = tuple(_template(kind) for kind in kinds.values() if not kind.is_internal)
    job: Any = templates[0]
    if len(templates) > 1:
        job = Annotated[Union[templates], Field(discriminator="kind")]  # noqa: UP007  # a tuple
    changes: dict[str, Any] = {
        **{name: _left_out(field) for name, field in ScheduleRequest.model_fields.items()},
        "enabled": (bool, Field(default_factory=_nothing, description="Resume or pause the schedule.")),
        "job": (job, Field(default_factory=_nothing)),
    }
    change: type[ScheduleChange] = create_model(
        "ScheduleChange",
        __base__=ScheduleChange,
        __doc__="What to change of a schedule. Fields that are left out stay as they are.",
        **changes,
    )
    return ScheduleBodies(_with_job(ScheduleRequest, job), _with_job(ScheduleDeclaration, job), change)


def _with_job(body: Any, job: Any) -> Any:
    return create_model(body.__name__, __base__=body, __doc__=body.__doc__, job=(job, ...))


def _template(kind: Kind) -> type[BaseModel]:
    """Return the request of a kind with its name. What a template cannot have is taken, to be refused."""
    name = "".join(word.capitalize() for word in kind.name.split("_"))
    fields: dict[str, Any] = {
        "kind": (Literal[kind.name], ...),
        "run_at": (Annotated[Instant | None, _UNDOCUMENTED()], None),
        "delay_seconds": (Annotated[float | None, _UNDOCUMENTED()], None),
        "resubmitted_from": (Annotated[UUID | None, _UNDOCUMENTED()], None),
    }
    return create_model(f"{name}Template", __base__=kind.request, __doc__=kind.request.__doc__, **fields)


def _left_out(field: FieldInfo) -> tuple[Any, Any]:
    """Return a field that may be left out. A factory, since a default would be documented as one."""
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    optional = Field(default_factory=_nothing, description=field.description, examples=field.examples)
    return annotation, optional


def _nothing() -> None:
    """Return what stands for a field that is left out; it is never read."""


class ReasonView(TypedDict):
    """Why a schedule is not active, or why a tick created no job. `code` is stable."""

    code: str
    message: str


class FiringView(TypedDict):
    """What became of a tick.

    One that was `missed` stands for `count` ticks, from `fire_at` through `through_at`; `count` is null if
    there are more than 1000. `lateness_ms` is how long after the tick its outcome was decided.
    """

    fire_at: datetime
    outcome: FiringOutcome
    job_id: UUID | None
    count: int | None
    through_at: datetime | None
    reason: ReasonView | None
    lateness_ms: int


class FiringPage(TypedDict):
    """One page of firings, newest first; `next_cursor` is null on the last page."""

    items: list[FiringView]
    next_cursor: str | None


class ScheduleLinks(TypedDict):
    """Paths of what belongs to a schedule."""

    self: str
    firings: str
    jobs: str


class ScheduleView(TypedDict):
    """A schedule as its owner sees it.

    `recent` is in lists: the statuses of its last 20 jobs, the newest first. `next_fires`, `active_job_ids`,
    `last_firing` and `failures`, the failed jobs in a row, are those of `GET /schedules/{schedule}`.
    """

    schedule_id: UUID
    name: str
    group: str | None
    user_id: UUID
    kind: str
    trigger: dict[str, Any]
    cron: str | None
    description: str
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    pause_after_failures: int | None
    misfire_grace_seconds: int
    catch_up: CatchUp
    catch_up_limit: int
    catch_up_window_seconds: int
    overlap: Overlap
    queue_limit: int
    jitter_seconds: int
    job: dict[str, Any]
    status: ScheduleStatus
    reason: ReasonView | None
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    fired: int
    revision: int
    created_at: datetime
    updated_at: datetime
    links: ScheduleLinks
    recent: NotRequired[list[Status]]
    next_fires: NotRequired[list[datetime]]
    active_job_ids: NotRequired[list[UUID]]
    last_firing: NotRequired[FiringView | None]
    failures: NotRequired[int]


class SchedulePage(TypedDict):
    """One page of schedules, newest first; `next_cursor` is null on the last page."""

    items: list[ScheduleView]
    next_cursor: str | None


class PreviewedFire(TypedDict):
    """A tick: the instant, the same in the schedule's time zone, and what is special about it."""

    fire_at: datetime
    local: datetime
    note: str | None


class Preview(TypedDict):
    """What a trigger means, and its next ticks."""

    description: str
    cron: str | None
    fires: list[PreviewedFire]


class ScheduleGroupView(TypedDict):
    """A group of schedules: how many there are, how many are active, and when the next one fires."""

    group: str
    schedules: int
    active: int
    next_fire_at: datetime | None


class ScheduleGroupList(TypedDict):
    """All groups of schedules, by name."""

    items: list[ScheduleGroupView]


class ScheduleGroupChanged(TypedDict):
    """How many schedules of a group changed, or ran."""

    schedules: int
