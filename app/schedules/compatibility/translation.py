"""Translates the requests of the compatibility paths into schedules."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, assert_never

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.jobs.kinds.kind import Kind
from app.schedules.compatibility.schemas import (
    CronConfig,
    DailyConfig,
    HourlyConfig,
    IntervalConfig,
    OnceConfig,
    SchedulerJob,
    SchedulerJobRequest,
    Unit,
    WeeklyConfig,
)
from app.schedules.errors import ArgumentsByPosition, FunctionNotRegistered
from app.schedules.queries import ScheduleSummary
from app.schedules.schemas import ScheduleRequest
from app.schedules.triggers import WEEKDAYS

Path = tuple[int | str, ...]
T = TypeVar("T")

_CONFIG: Final = "schedule_config"
_OPTIONS: Final[dict[Any, str]] = {"max_attempts": "max_retries", "time_limit_seconds": "timeout"}
_SECONDS: Final[dict[Unit, int]] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
_NAME_BYTES: Final = 4


def to_request(
    body: SchedulerJobRequest, kinds: Mapping[str, Kind], request: type[ScheduleRequest]
) -> ScheduleRequest:
    """Return the body of `POST /schedules` that means the same.

    Raises FunctionNotRegistered, ArgumentsByPosition, and RequestValidationError.
    """
    kind = _kind(body.func_name, kinds)
    if body.args:
        raise ArgumentsByPosition
    job = {**body.kwargs, "kind": kind.name}
    if body.max_retries is not None:
        job["max_attempts"] = body.max_retries + 1
    if body.timeout is not None:
        job["time_limit_seconds"] = body.timeout
    name = body.job_name or f"{kind.path}-{secrets.token_hex(_NAME_BYTES)}"
    translated: dict[str, Any] = {
        "name": name,
        "group": body.group,
        "trigger": _trigger(body),
        "enabled": body.enabled,
        "job": job,
    }
    if body.timezone is not None:
        translated["timezone"] = body.timezone
    try:
        return request.model_validate(translated)
    except ValidationError as error:
        raise _invalid(error, _path_in_body) from None


def _kind(function: str, kinds: Mapping[str, Kind]) -> Kind:
    kind = kinds.get(function.replace("-", "_"))
    if kind is None or kind.is_internal:
        names = [kind.name for kind in kinds.values() if not kind.is_internal]
        raise FunctionNotRegistered(function=function, functions=names)
    return kind


def _trigger(body: SchedulerJobRequest) -> dict[str, Any]:
    match body.schedule_type:
        case "interval":
            interval = _read(IntervalConfig, body)
            return {"every": {interval.unit: interval.interval}}
        case "daily":
            daily = _read(DailyConfig, body)
            return {"daily": {"at": _one_of(time=daily.time, at=daily.at)}}
        case "weekly":
            weekly = _read(WeeklyConfig, body)
            days = [WEEKDAYS[day] for day in weekly.days]
            return {"weekly": {"on": days, "at": _one_of(time=weekly.time, at=weekly.at)}}
        case "hourly":
            return {"hourly": {"minute": _read(HourlyConfig, body).minute}}
        case "cron":
            cron = _read(CronConfig, body)
            return {"cron": _one_of(expression=cron.expression, cron=cron.cron)}
        case "once":
            once = _read(OnceConfig, body)
            seconds = None if once.delay is None else {"in_seconds": once.delay * _SECONDS[once.unit]}
            return {"once": _one_of(delay=seconds, at=None if once.at is None else {"at": once.at})}
        case _:
            assert_never(body.schedule_type)


Config = TypeVar("Config", bound=BaseModel)


def _read(config: type[Config], body: SchedulerJobRequest) -> Config:
    try:
        return config.model_validate(body.schedule_config)
    except ValidationError as error:
        raise _invalid(error, lambda path: (_CONFIG, *path)) from None


def _one_of(**given: T | None) -> T:
    """Return the only value that is given. Raises RequestValidationError if there is none, or more."""
    values = [value for value in given.values() if value is not None]
    if len(values) != 1:
        message = f"give one of {' and '.join(given)}"
        raise RequestValidationError([{"loc": ("body", _CONFIG), "msg": message, "type": "value_error"}])
    return values[0]


def _invalid(error: ValidationError, to_path: Callable[[Path], Path]) -> RequestValidationError:
    """Return the same faults, each at the field of the request that it comes from."""
    faults = error.errors(include_url=False)
    return RequestValidationError([{**fault, "loc": ("body", *to_path(fault["loc"]))} for fault in faults])


def _path_in_body(path: Path) -> Path:
    match path:
        case ("job", _, name, *rest):
            return (_OPTIONS[name],) if name in _OPTIONS else ("kwargs", name, *rest)
        case ("job", *_):
            return ("kwargs",)
        case ("trigger", *_):
            return (_CONFIG,)
        case ("name", *_):
            return ("job_name",)
        case _:
            return path


def to_job(schedule: ScheduleSummary) -> SchedulerJob:
    """Return a schedule in the terms of the compatibility paths."""
    return SchedulerJob(
        job_id=str(schedule.id),
        job_name=schedule.name,
        func_name=schedule.kind,
        group=schedule.group_name,
        status=schedule.status,
        next_run=schedule.next_fire_at,
        last_run=schedule.last_fire_at,
        run_count=schedule.fired,
    )
