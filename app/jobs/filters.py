"""Filters of lists of jobs."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from app.jobs.states import Priority, Status

MAX_PREFIX_LENGTH: Final = 200


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; None or an empty tuple means any. A job matches if it matches every filter.

    `prefix` is the beginning of the id, of at least four hexadecimal digits, or of the model's name.
    """

    statuses: tuple[Status, ...] = ()
    priorities: tuple[Priority, ...] = ()
    kind: str | None = None
    queue: str | None = None
    model: str | None = None
    prefix: str | None = None
    metadata: dict[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    schedule_id: UUID | None = None
    group_id: UUID | None = None

    def by_status(self) -> list[Self]:
        """Return one filter for each status that may match: together they match the same jobs.

        An index lists the jobs of one status in order, but not those of several.
        """
        return [replace(self, statuses=(status,)) for status in self.statuses or Status]
