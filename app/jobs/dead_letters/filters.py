"""Filters of dead letters."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True)
class LetterFilter:
    """Which dead letters are meant; None means any. A letter matches if it matches every filter.

    `model` is `name@version`, the name alone, or empty for jobs that use no version of a model.
    """

    code: str | None = None
    kind: str | None = None
    model: str | None = None
    queue: str | None = None
    failed_before: datetime | None = None


ANY: Final = LetterFilter()
