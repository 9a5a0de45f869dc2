"""Requests and responses of the routes of dead letters."""

from typing import Final
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.http.body import StrictBody

MAX_JOBS: Final = 1000


class Selection(StrictBody):
    """A selection of dead letters: these jobs, or all (at most 1000 at a time)."""

    job_ids: list[UUID] = Field(default_factory=list, max_length=MAX_JOBS)
    all: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> "Selection":
        if bool(self.job_ids) == self.all:
            raise ValueError("give job_ids, or all: true")
        return self


class Handled(TypedDict):
    """The dead letters that were retried or dismissed; other ids are left out."""

    job_ids: list[UUID]
