"""Schedules and what became of their ticks as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.client.data import instant


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a schedule is not active, or why a tick created no job. `code` is stable."""

    code: str
    message: str

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Reason":
        """Parse the JSON document."""
        return cls(document["code"], document.get("message", ""))


@dataclass(frozen=True, slots=True)
class Firing:
    """What became of a tick: `fired`, `waiting`, `skipped`, `replaced`, `missed`, `refused` or `manual`.

    One that was `missed` stands for `count` ticks, from `fire_at` through `through_at`; `count` is None if
    there are more than 1000.

    >>> firing = next(client.firings("nightly scoring"))
    >>> firing.outcome, firing.lateness_ms
    ('fired', 12)
    """

    fire_at: datetime
    outcome: str
    job_id: str | None
    count: int | None
    through_at: datetime | None
    reason: Reason | None
    lateness_ms: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Firing":
        """Parse the JSON document."""
        return cls(
            fire_at=datetime.fromisoformat(document["fire_at"]),
            outcome=document["outcome"],
            job_id=document.get("job_id"),
            count=document.get("count"),
            through_at=instant(document, "through_at"),
            reason=_reason(document),
            lateness_ms=document.get("lateness_ms", 0),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule at the time of the request.

    `recent`, the statuses of its last jobs, is in listings. `next_fires`, `active_job_ids`, `last_firing` and
    `failures`, the failed jobs in a row, are what `client.schedule` returns.

    >>> schedule = client.schedule("nightly scoring")
    >>> schedule.description, schedule.timezone, schedule.next_fire_at
    ('At 02:30 every day', 'Europe/Berlin', datetime.datetime(…))
    """

    id: str
    name: str
    group: str | None
    kind: str
    status: str
    reason: Reason | None
    trigger: Mapping[str, Any]
    cron: str | None
    description: str
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    overlap: str | None
    catch_up: str | None
    job: Mapping[str, Any]
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    fired: int
    max_runs: int | None
    revision: int
    created_at: datetime | None
    recent: Sequence[str]
    next_fires: Sequence[datetime]
    active_job_ids: Sequence[str]
    last_firing: Firing | None
    failures: int | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    is_new: bool = False
    """Whether the request created it."""

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, is_new: bool = False) -> "Schedule":
        """Parse the JSON document."""
        last_firing = document.get("last_firing")
        return cls(
            id=document["schedule_id"],
            name=document["name"],
            group=document.get("group"),
            kind=document.get("kind", ""),
            status=document["status"],
            reason=_reason(document),
            trigger=document.get("trigger") or {},
            cron=document.get("cron"),
            description=document.get("description", ""),
            timezone=document.get("timezone", "UTC"),
            starts_at=instant(document, "starts_at"),
            ends_at=instant(document, "ends_at"),
            overlap=document.get("overlap"),
            catch_up=document.get("catch_up"),
            job=document.get("job") or {},
            next_fire_at=instant(document, "next_fire_at"),
            last_fire_at=instant(document, "last_fire_at"),
            fired=document.get("fired", 0),
            max_runs=document.get("max_runs"),
            revision=document["revision"],
            created_at=instant(document, "created_at"),
            recent=tuple(document.get("recent") or ()),
            next_fires=tuple(map(datetime.fromisoformat, document.get("next_fires") or ())),
            active_job_ids=tuple(document.get("active_job_ids") or ()),
            last_firing=None if last_firing is None else Firing.parse(last_firing),
            failures=document.get("failures"),
            raw=document,
            is_new=is_new,
        )


@dataclass(frozen=True, slots=True)
class Tick:
    """A time at which a trigger fires, in UTC and in its time zone. `note` says what clocks do there."""

    fire_at: datetime
    local: datetime
    note: str | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Tick":
        """Parse the JSON document."""
        return cls(
            datetime.fromisoformat(document["fire_at"]),
            datetime.fromisoformat(document["local"]),
            document.get("note"),
        )


@dataclass(frozen=True, slots=True)
class Preview:
    """What a trigger means, and its next ticks.

    >>> preview = client.preview_schedule({"daily": {"at": "02:30"}}, timezone="Europe/Berlin", count=1)
    >>> preview.description, preview.cron
    ('At 02:30 every day', '30 2 * * *')
    """

    description: str
    cron: str | None
    fires: Sequence[Tick]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Preview":
        """Parse the JSON document."""
        return cls(
            description=document["description"],
            cron=document.get("cron"),
            fires=tuple(Tick.parse(tick) for tick in document["fires"]),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class ScheduleGroup:
    """A group of schedules: how many there are, how many are active, and when the next one fires."""

    name: str
    schedules: int
    active: int
    next_fire_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "ScheduleGroup":
        """Parse the JSON document."""
        return cls(
            name=document["group"],
            schedules=document["schedules"],
            active=document["active"],
            next_fire_at=instant(document, "next_fire_at"),
            raw=document,
        )


AnySchedule = str | UUID | Schedule
"""A schedule, its id or its name."""


def schedule_reference(schedule: AnySchedule) -> str:
    """The id of a schedule, or its name if that is what is given."""
    return schedule.id if isinstance(schedule, Schedule) else str(schedule)


def _reason(document: Mapping[str, Any]) -> Reason | None:
    reason = document.get("reason")
    return None if reason is None else Reason.parse(reason)
