"""What callers choose: the time that figures cover, whose jobs they count, and how they are grouped."""

from datetime import timedelta
from enum import StrEnum
from typing import Final


class OwnerScope(StrEnum):
    """Whose jobs the figures count: the caller's, or those of all users."""

    OWN = "own"
    ALL = "all"


class Step(StrEnum):
    """The length of time that one row of the statistics covers."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class TimeRange(StrEnum):
    """The time that figures cover, up to now."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    ALL = "all"

    @property
    def step(self) -> Step:
        """The step of the statistics with which it begins."""
        return Step.HOUR if self in (TimeRange.HOUR, TimeRange.DAY) else Step.DAY


LENGTHS: Final = {
    TimeRange.HOUR: timedelta(hours=1),
    TimeRange.DAY: timedelta(hours=24),
    TimeRange.WEEK: timedelta(days=7),
    TimeRange.MONTH: timedelta(days=30),
}
"""The length of each range but `all`."""


class By(StrEnum):
    """What the figures are grouped by."""

    KIND = "kind"
    QUEUE = "queue"
    MODEL = "model"
    ERROR = "error"
    HOUR = "hour"
    DAY = "day"
    USER = "user"

    @property
    def is_of_time(self) -> bool:
        """Whether the groups are consecutive spans of time."""
        return self in (By.HOUR, By.DAY)


class OverviewRange(StrEnum):
    """The time that the overview covers."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
