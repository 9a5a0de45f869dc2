"""Filters of lists of jobs."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import AfterValidator

from app.http.body import CleanStr
from app.jobs.states import Priority, Status

MAX_PREFIX_LENGTH: Final = 200

# The name of a model has no slash and no `@`, that of its owner may have any character.
_MODEL: Final = re.compile(r"((?:.+/)?[^@/]+)(?:@([1-9][0-9]{0,8}))?", re.DOTALL)


def check_model(reference: str) -> str:
    """Return a reference to a model that `split_model` takes. Raises ValueError."""
    split_model(reference)
    return reference


def split_model(reference: str | None) -> tuple[str | None, int | None]:
    """Return the name and the version of `name` or `name@version`. Raises ValueError for an alias."""
    if reference is None:
        return None, None
    parts = _MODEL.fullmatch(reference)
    if parts is None:
        raise ValueError("give `name` or `name@version`: a job keeps the version that an alias pointed to")
    return parts[1], None if parts[2] is None else int(parts[2])


ModelFilter = Annotated[CleanStr, AfterValidator(check_model)]
"""`name` or `name@version`, as a request gives it."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; None or an empty tuple means any. A job matches if it matches every filter.

    `prefix` is the beginning of the id, of at least four hexadecimal digits, or of the model's name.
    `model_version` selects jobs that use this version of the `model`; `dataset_id` jobs whose rows are
    that dataset.
    """

    statuses: tuple[Status, ...] = ()
    priorities: tuple[Priority, ...] = ()
    kind: str | None = None
    queue: str | None = None
    model: str | None = None
    model_version: int | None = None
    dataset_id: UUID | None = None
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
