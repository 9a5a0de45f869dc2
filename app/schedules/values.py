"""A schedule and its firings, as queries return them."""

from datetime import datetime
from typing import Any, Self, TypedDict
from uuid import UUID

import msgspec

from app.core.rows import Row
from app.schedules.states import CatchUp, FiringOutcome, Overlap, ScheduleStatus


class Reason(TypedDict):
    """Why a schedule is not active, or why a tick created no job."""

    code: str
    message: str


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `schedules`. `rule` is the compiled trigger, `job` the template of its jobs.

    `tz_version` is the version of the zone data that `next_fire_at` was computed with; None if the rule needs
    none. `fired` counts the ticks that created a job or will. Each resume sets `resumed_at`: failures of jobs
    that are older do not pause the schedule again.
    """

    id: UUID
    owner_id: UUID
    name: str
    group_name: str | None
    trigger: dict[str, Any]
    rule: dict[str, Any]
    timezone: str
    tz_version: str | None
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
    kind: str
    job: dict[str, Any]
    status: ScheduleStatus
    reason: Reason | None
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    fired: int
    resumed_at: datetime | None
    revision: int
    request_digest: bytes | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with all columns of `schedules`."""
        return cls(
            id=row["id"],
            owner_id=row["owner_id"],
            name=row["name"],
            group_name=row["group_name"],
            trigger=row["trigger"],
            rule=row["rule"],
            timezone=row["timezone"],
            tz_version=row["tz_version"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            max_runs=row["max_runs"],
            pause_after_failures=row["pause_after_failures"],
            misfire_grace_seconds=row["misfire_grace_seconds"],
            catch_up=CatchUp(row["catch_up"]),
            catch_up_limit=row["catch_up_limit"],
            catch_up_window_seconds=row["catch_up_window_seconds"],
            overlap=Overlap(row["overlap"]),
            queue_limit=row["queue_limit"],
            jitter_seconds=row["jitter_seconds"],
            kind=row["kind"],
            job=row["job"],
            status=ScheduleStatus(row["status"]),
            reason=row["reason"],
            next_fire_at=row["next_fire_at"],
            last_fire_at=row["last_fire_at"],
            fired=row["fired"],
            resumed_at=row["resumed_at"],
            revision=row["revision"],
            request_digest=row["request_digest"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tick. One that was `missed` stands for `count` ticks, through `through_at`.

    `count` is None if there are more than 1000. `at` is when the outcome was decided.
    """

    schedule_id: UUID
    fire_at: datetime
    outcome: FiringOutcome
    job_id: UUID | None
    count: int | None
    through_at: datetime | None
    reason: Reason | None
    at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `schedule_firings`."""
        return cls(
            schedule_id=row["schedule_id"],
            fire_at=row["fire_at"],
            outcome=FiringOutcome(row["outcome"]),
            job_id=row["job_id"],
            count=row["count"],
            through_at=row["through_at"],
            reason=row["reason"],
            at=row["at"],
        )
