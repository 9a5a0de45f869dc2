"""The response of the search."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.jobs.states import Status
from app.schedules.states import ScheduleStatus


class FoundJob(TypedDict):
    """A job: its id begins with the text, or it is a recent job whose model's name does."""

    job_id: UUID
    owner: str
    kind: str
    status: Status
    model: Annotated[str | None, Field(description="`name@version`, or the name of the model that it makes.")]
    created_at: datetime


class FoundModel(TypedDict):
    """A model whose name begins with the text. `owner` is null for a built-in model."""

    name: str
    owner: str | None
    is_own: bool
    is_built_in: bool


class FoundDataset(TypedDict):
    """A dataset: its name or its id begins with the text."""

    dataset_id: UUID
    name: str
    rows: int
    created_at: datetime


class FoundSchedule(TypedDict):
    """A schedule: its name or its id begins with the text."""

    schedule_id: UUID
    name: str
    owner: str
    status: ScheduleStatus


class Found(TypedDict):
    """What was found, at most five of each."""

    jobs: list[FoundJob]
    models: list[FoundModel]
    datasets: list[FoundDataset]
    schedules: list[FoundSchedule]
