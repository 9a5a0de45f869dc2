"""Requests and responses of the compatibility paths. A *job* there is a schedule, a *function* a kind."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from app.http.body import CleanObject, CleanStr, LargeBody, StrictBody, at_most
from app.schedules.schemas import MAX_NAME_LENGTH, GroupName, ScheduleName
from app.schedules.states import ScheduleStatus
from app.schedules.triggers import MAX_CRON_LENGTH, MAX_INTERVAL_SECONDS, WEEKDAYS, Moment, TimeOfDay

DEFAULT_GROUP: Final = "default"

Unit = Literal["seconds", "minutes", "hours", "days"]
Number = Annotated[int, Field(ge=1, le=MAX_INTERVAL_SECONDS)]


def _with_t(value: Any) -> Any:
    """Take `2027-03-01 09:00:00`, as such clients write it."""
    return value.replace(" ", "T", 1) if isinstance(value, str) else value


class IntervalConfig(StrictBody):
    """Every so many units."""

    interval: Number
    unit: Unit = "seconds"


class DailyConfig(StrictBody):
    """Once on each day."""

    time: TimeOfDay | None = None
    at: TimeOfDay | None = None


class WeeklyConfig(StrictBody):
    """Once on some days of each week; 0 is Monday."""

    days: list[Annotated[int, Field(ge=0, lt=len(WEEKDAYS))]] = Field(min_length=1, max_length=len(WEEKDAYS))
    time: TimeOfDay | None = None
    at: TimeOfDay | None = None


class HourlyConfig(StrictBody):
    """Once in each hour."""

    minute: int = Field(0, ge=0, le=59)


class CronConfig(StrictBody):
    """A cron expression."""

    expression: CleanStr | None = Field(None, max_length=MAX_CRON_LENGTH)
    cron: CleanStr | None = Field(None, max_length=MAX_CRON_LENGTH)


class OnceConfig(StrictBody):
    """Once: after a delay, or at a time."""

    delay: Number | None = None
    unit: Unit = "seconds"
    at: Annotated[Moment, BeforeValidator(_with_t)] | None = None


class SchedulerJobRequest(LargeBody):
    """A new schedule, as a *job* that calls a *function*: a kind of job with its fields as `kwargs`."""

    func_name: CleanStr = Field(max_length=MAX_NAME_LENGTH, description="A kind of job.")
    func_module: CleanStr | None = Field(None, description="Ignored.")
    job_name: ScheduleName | None = Field(None, description="Default: the kind with eight digits.")
    schedule_type: Literal["interval", "daily", "weekly", "hourly", "cron", "once"]
    schedule_config: CleanObject
    args: Annotated[list[Any], at_most(100)] = Field(default_factory=list, description="Must be empty.")
    kwargs: CleanObject = Field(default_factory=dict, description="The fields of the job.")
    max_retries: int | None = Field(None, ge=0, le=99, description="Attempts after the first one.")
    timeout: int | None = Field(None, ge=1, le=86_400, description="Time limit of each attempt, in seconds.")
    timezone: CleanStr | None = Field(None, max_length=64)
    group: GroupName = DEFAULT_GROUP
    enabled: bool = True


class SchedulerJobCreated(TypedDict):
    """A schedule that was created."""

    success: bool
    message: str
    job_id: str


class SchedulerJob(TypedDict):
    """A schedule in the terms of these paths."""

    job_id: str
    job_name: str
    func_name: str
    group: str | None
    status: ScheduleStatus
    next_run: datetime | None
    last_run: datetime | None
    run_count: int


class SchedulerJobList(TypedDict):
    """Schedules in the terms of these paths."""

    jobs: list[SchedulerJob]


class OneSchedulerJob(TypedDict):
    """One schedule in the terms of these paths."""

    job: SchedulerJob


class SchedulerDone(TypedDict):
    """What was done."""

    success: bool
    message: str


class SchedulerRan(SchedulerDone):
    """The job that was created."""

    run_job_id: str


class SchedulerCancelled(SchedulerDone):
    """How many schedules were deleted."""

    cancelled: int


class SchedulerPaused(SchedulerDone):
    """How many schedules are paused."""

    paused: int


class SchedulerResumed(SchedulerDone):
    """How many schedules are active."""

    resumed: int


class SchedulerGroups(TypedDict):
    """The names of all groups."""

    groups: list[str]


class SchedulerStatistics(TypedDict):
    """How many schedules you have, and how many ticks created a job."""

    schedules: int
    active: int
    paused: int
    fired: int


class SchedulerState(TypedDict):
    """Whether schedules are fired, and how many there are."""

    running: bool
    statistics: SchedulerStatistics
