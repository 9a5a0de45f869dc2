"""Schedules: creates, declares, changes, runs and deletes them, as flows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict
from urllib.parse import quote
from uuid import UUID, uuid4

from app.client.errors import NotFound
from app.client.exchange import Exchange, json_request, parse_json
from app.client.schedule_values import (
    AnySchedule,
    Firing,
    Preview,
    Schedule,
    ScheduleGroup,
    schedule_reference,
)
from app.client.steps import Flow, Request
from app.client.values import Job

CREATED: Final = 201

Trigger = Mapping[str, Any]
"""When a schedule fires: `{"daily": {"at": "02:30"}}`, `{"cron": "0 9 * * mon-fri"}` and others."""

JobTemplate = Mapping[str, Any]
"""The job to submit at each tick: `kind` and what `POST /jobs/<kind>` takes."""


class WindowOptions(TypedDict, total=False):
    """The time zone of a trigger, and between which times it fires."""

    timezone: str
    starts_at: datetime
    ends_at: datetime
    duration_seconds: int


class ScheduleOptions(WindowOptions, total=False):
    """Options of a schedule; the server has defaults."""

    group: str
    max_runs: int
    pause_after_failures: int
    misfire_grace_seconds: int
    catch_up: Literal["none", "last", "all"]
    catch_up_limit: int
    catch_up_window_seconds: int
    overlap: Literal["skip", "queue", "replace", "allow"]
    queue_limit: int
    jitter_seconds: int
    enabled: bool


class ScheduleChanges(TypedDict, total=False):
    """What to change of a schedule; None removes an optional field."""

    name: str
    trigger: Trigger
    job: JobTemplate
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    duration_seconds: int | None
    group: str | None
    max_runs: int | None
    pause_after_failures: int | None
    misfire_grace_seconds: int
    catch_up: Literal["none", "last", "all"]
    catch_up_limit: int
    catch_up_window_seconds: int
    overlap: Literal["skip", "queue", "replace", "allow"]
    queue_limit: int
    jitter_seconds: int


class ScheduleFilters(TypedDict, total=False):
    """Filters of a listing of schedules."""

    status: Literal["active", "paused", "finished", "suspended", "broken"]
    group: str
    kind: str
    owner: str


class Schedules:
    """The methods of the clients for schedules, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def create(
        self,
        name: str,
        trigger: Trigger,
        job: JobTemplate,
        idempotency_key: str | None,
        options: ScheduleOptions,
    ) -> Flow[Schedule]:
        """Create a schedule. All attempts send one idempotency key, so that they create one schedule."""
        key = idempotency_key or str(uuid4())
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an idempotency key may only have printable ASCII characters")
        body = {"name": name, "trigger": trigger, "job": job, **options}
        request = _request("POST", "/schedules", body, {"idempotency-key": key})
        response = yield from self._exchange.ask(request)
        return parse_json(lambda document: Schedule.parse(document, is_new=True), response)

    def put(self, name: str, trigger: Trigger, job: JobTemplate, options: ScheduleOptions) -> Flow[Schedule]:
        """Create the schedule with this name, or replace its definition."""
        return self.apply({"name": name, "trigger": trigger, "job": job, **options})

    def apply(self, definition: Mapping[str, Any]) -> Flow[Schedule]:
        """Create or replace a schedule as a document defines it, with its `name`."""
        name = definition.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError("a definition of a schedule needs a name")
        response = yield from self._exchange.ask(_request("PUT", _path(name), definition))
        is_new = response.status == CREATED
        return parse_json(lambda document: Schedule.parse(document, is_new=is_new), response)

    def preview(self, trigger: Trigger, count: int, window: WindowOptions) -> Flow[Preview]:
        """Compute the next ticks of a trigger."""
        body = {"trigger": trigger, "count": count, **window}
        return self._exchange.read(Preview.parse, _request("POST", "/schedules/preview", body))

    def list(self, filters: ScheduleFilters, page_size: int) -> Flow[None]:
        """Emit schedules, newest first."""
        params = {name: str(value) for name, value in filters.items() if value is not None}
        return self._exchange.pages("/schedules", Schedule.parse, page_size, params)

    def get(self, schedule: AnySchedule) -> Flow[Schedule]:
        """Fetch a schedule."""
        return self._exchange.read(Schedule.parse, Request("GET", _path(schedule)))

    def change(
        self, schedule: AnySchedule, if_revision: int | None, changes: ScheduleChanges
    ) -> Flow[Schedule]:
        """Change a schedule; with a revision without retries, since the first attempt makes it outdated."""
        if if_revision is None:
            return (
                yield from self._exchange.read(Schedule.parse, _request("PATCH", _path(schedule), changes))
            )
        request = _request("PATCH", _path(schedule), changes, {"if-match": f'"{if_revision}"'})
        response = yield from self._exchange.once(request)
        return parse_json(Schedule.parse, response)

    def pause(self, schedule: AnySchedule) -> Flow[Schedule]:
        """Pause a schedule."""
        return self._exchange.read(Schedule.parse, Request("POST", f"{_path(schedule)}/pause"))

    def resume(self, schedule: AnySchedule) -> Flow[Schedule]:
        """Resume a schedule."""
        return self._exchange.read(Schedule.parse, Request("POST", f"{_path(schedule)}/resume"))

    def run(self, schedule: AnySchedule, is_forced: bool) -> Flow[Job]:
        """Create a job of a schedule now, without retries: each request may create one."""
        request = _request("POST", f"{_path(schedule)}/run", {"force": is_forced})
        response = yield from self._exchange.once(request)
        return parse_json(Job.parse, response)

    def delete(self, schedule: AnySchedule, cancels_jobs: bool) -> Flow[None]:
        """Delete a schedule. It is no error if an attempt whose response was lost has deleted it."""
        retry_state = self._exchange.retry_state()
        params = {"cancel_jobs": "true"} if cancels_jobs else {}
        try:
            yield from self._exchange.ask(Request("DELETE", _path(schedule), params=params), retry_state)
        except NotFound:
            if not retry_state.failures:
                raise

    def firings(self, schedule: AnySchedule, outcome: str | None, page_size: int) -> Flow[None]:
        """Emit what became of the ticks of a schedule, newest first."""
        params = {} if outcome is None else {"outcome": outcome}
        return self._exchange.pages(f"{_path(schedule)}/firings", Firing.parse, page_size, params)

    def groups(self) -> Flow[Sequence[ScheduleGroup]]:
        """Fetch the groups of schedules."""
        return self._exchange.read(
            lambda document: [ScheduleGroup.parse(item) for item in document["items"]],
            Request("GET", "/schedule-groups"),
        )

    def change_group(self, group: str, verb: Literal["pause", "resume"]) -> Flow[int]:
        """Pause or resume the schedules of a group, and return how many changed."""
        return self._exchange.read(_count, Request("POST", f"{_group_path(group)}/{verb}"))

    def run_group(self, group: str) -> Flow[int]:
        """Create a job of each schedule of a group, without retries, and return how many."""
        response = yield from self._exchange.once(Request("POST", f"{_group_path(group)}/run"))
        return parse_json(_count, response)

    def delete_group(self, group: str, cancels_jobs: bool) -> Flow[int]:
        """Delete the schedules of a group, and return how many the last attempt deleted."""
        retry_state = self._exchange.retry_state()
        params = {"cancel_jobs": "true"} if cancels_jobs else {}
        try:
            response = yield from self._exchange.ask(
                Request("DELETE", _group_path(group), params=params), retry_state
            )
        except NotFound:
            if not retry_state.failures:
                raise
            return 0
        return parse_json(_count, response)


def _request(
    method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Request:
    return json_request(method, path, _to_json(body), headers or {})


def _to_json(value: Any) -> Any:
    """Write dates, times and ids of a body as JSON has them. Without an offset, a time is a local one."""
    match value:
        case Mapping():
            return {name: _to_json(member) for name, member in value.items()}
        case list() | tuple():
            return [_to_json(member) for member in value]
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value


def _path(schedule: AnySchedule) -> str:
    return f"/schedules/{quote(schedule_reference(schedule), safe='')}"


def _group_path(group: str) -> str:
    return f"/schedule-groups/{quote(group, safe='')}"


def _count(document: Mapping[str, Any]) -> int:
    return int(document["schedules"])
