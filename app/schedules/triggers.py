"""Triggers as requests give them: when a schedule fires, and between which instants."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from app.http.body import CleanStr, StrictBody
from app.http.instants import LATEST, Instant

MAX_CRON_LENGTH: Final = 256
MAX_INTERVAL_SECONDS: Final = 366 * 86_400
MAX_DURATION_SECONDS: Final = 10 * 366 * 86_400

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


def _check_moment(value: str) -> str:
    if _MOMENT.fullmatch(value) is None:
        raise ValueError("give a date and a time, such as 2027-03-01T09:00 or 2027-03-01T09:00:00+01:00")
    _to_moment(value)
    return value


def _to_moment(value: str) -> datetime:
    """Read a date and a time; raises ValueError if there is no such day, time or offset."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the instant must be between the years 1 and 9999") from None


TimeOfDay = Annotated[
    str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM.", examples=["09:00"])
]
Moment = Annotated[CleanStr, AfterValidator(_check_moment)]


class Every(StrictBody):
    """An interval: the sum of its parts, from one second to 366 days."""

    seconds: int = Field(0, ge=0, le=MAX_INTERVAL_SECONDS)
    minutes: int = Field(0, ge=0, le=MAX_INTERVAL_SECONDS // 60)
    hours: int = Field(0, ge=0, le=MAX_INTERVAL_SECONDS // 3600)
    days: int = Field(0, ge=0, le=MAX_INTERVAL_SECONDS // 86_400)

    @property
    def total_seconds(self) -> int:
        """The interval in seconds."""
        return self.seconds + 60 * self.minutes + 3600 * self.hours + 86_400 * self.days

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        if not 1 <= self.total_seconds <= MAX_INTERVAL_SECONDS:
            raise ValueError("an interval has from 1 second to 366 days")
        return self


class Hourly(StrictBody):
    """Once in each hour."""

    minute: int = Field(0, ge=0, le=59)


class Daily(StrictBody):
    """Once on each day."""

    at: TimeOfDay


class Weekly(StrictBody):
    """Once on some days of each week."""

    on: list[Weekday] = Field(min_length=1, max_length=7)
    at: TimeOfDay


class Monthly(StrictBody):
    """Once in each month that has the day; `last` is the last day of each month."""

    day: Annotated[int, Field(ge=1, le=31)] | Literal["last"]
    at: TimeOfDay


class OnceAt(StrictBody):
    """One time: `at` some moment, or `in_seconds` from now."""

    at: Moment | None = Field(
        None,
        description="Without an offset it is read in `timezone`.",
        examples=["2027-03-01T09:00"],
    )
    in_seconds: int | None = Field(None, ge=1, le=MAX_INTERVAL_SECONDS)

    @model_validator(mode="after")
    def _check_one_time(self) -> Self:
        if (self.at is None) == (self.in_seconds is None):
            raise ValueError("give one of at and in_seconds")
        return self

    @property
    def moment(self) -> datetime | None:
        """`at` as a time: in UTC if it has an offset, else without a zone."""
        return None if self.at is None else _to_moment(self.at)


class Trigger(StrictBody):
    """When a schedule fires: one of `every`, `cron`, `hourly`, `daily`, `weekly`, `monthly` and `once`."""

    every: Every | None = Field(
        None, description="An interval of elapsed time, which no change of clocks shifts."
    )
    anchor_at: Instant | None = Field(
        None,
        description="With `every`: ticks are whole intervals after this instant. Default: `starts_at`, or the"
        " creation of the schedule.",
    )
    fire_immediately: bool = Field(False, description="With `every`: the anchor is a tick too.")
    cron: CleanStr | None = Field(
        None,
        max_length=MAX_CRON_LENGTH,
        description="A cron expression of 5 fields, of 6 with seconds first, or a macro such as `@daily`.",
        examples=["0 9 * * mon-fri"],
    )
    hourly: Hourly | None = None
    daily: Daily | None = None
    weekly: Weekly | None = None
    monthly: Monthly | None = None
    once: OnceAt | None = None

    @model_validator(mode="after")
    def _check_one_trigger(self) -> Self:
        given = (self.every, self.cron, self.hourly, self.daily, self.weekly, self.monthly, self.once)
        if sum(part is not None for part in given) != 1:
            raise ValueError("give exactly one of every, cron, hourly, daily, weekly, monthly and once")
        if self.every is None and (self.anchor_at is not None or self.fire_immediately):
            raise ValueError("anchor_at and fire_immediately belong to every")
        return self


class WindowFields(StrictBody):
    """The zone of a schedule, and the instants between which it fires."""

    timezone: CleanStr = Field(
        "UTC",
        max_length=64,
        description="Key of the IANA time zone database. Intervals ignore it.",
        examples=["Europe/Berlin"],
    )
    starts_at: Instant | None = Field(None, description="No tick before this instant.")
    ends_at: Instant | None = Field(
        None, description="No tick after this instant. Cannot be combined with `duration_seconds`."
    )
    duration_seconds: int | None = Field(
        None,
        ge=1,
        le=MAX_DURATION_SECONDS,
        description="No tick later than this after `starts_at`, or after the creation of the schedule.",
    )

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        if self.ends_at is not None and self.duration_seconds is not None:
            raise ValueError("give ends_at or duration_seconds, not both")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at < self.starts_at:
            raise ValueError("ends_at must not be before starts_at")
        return self

    def end(self, created_at: datetime) -> datetime | None:
        """The last instant at which a schedule created then fires; None if it has no end."""
        if self.duration_seconds is None:
            return self.ends_at
        try:
            return min((self.starts_at or created_at) + timedelta(seconds=self.duration_seconds), LATEST)
        except OverflowError:
            return LATEST
