"""What a search looks for and finds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from app.core.rows import Row
from app.jobs.states import Status
from app.schedules.states import ScheduleStatus


@dataclass(frozen=True)
class Wanted:
    """What to look for: a text, and the first and the last id that begin with it, if it may begin an id."""

    text: str
    ids: tuple[UUID, UUID] | None


@dataclass(frozen=True)
class FoundJob:
    """A job that was found. `model` is `name@version`, or the name of the model that it makes."""

    job_id: UUID
    owner: str
    kind: str
    status: Status
    model: str | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of a query."""
        return cls(
            row["id"], row["owner"], row["kind"], Status(row["status"]), row["model"], row["created_at"]
        )


@dataclass(frozen=True)
class FoundModel:
    """A model that was found. `owner` is None for a built-in model."""

    name: str
    owner: str | None
    is_own: bool
    is_built_in: bool = False

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of a query."""
        return cls(row["name"], row["owner"], row["is_own"])


@dataclass(frozen=True)
class FoundDataset:
    """A dataset that was found."""

    dataset_id: UUID
    name: str
    rows: int
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of a query."""
        return cls(row["id"], row["name"], row["rows"], row["created_at"])


@dataclass(frozen=True)
class FoundSchedule:
    """A schedule that was found."""

    schedule_id: UUID
    name: str
    owner: str
    status: ScheduleStatus

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of a query."""
        return cls(row["id"], row["name"], row["owner"], ScheduleStatus(row["status"]))
