"""Options of `headrace schedules`. Does not import the client, so that `--help` stays fast."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from app.cli.errors import UsageError
from app.cli.jobs.options import without_none
from app.cli.jobs.values import parse_instant
from app.cli.schedules.values import (
    parse_interval,
    parse_moment,
    parse_monthly,
    parse_seconds,
    parse_weekly,
)

_TRIGGER = "Trigger (exactly one)"
_WINDOW = "Window"
_POLICY = "What to do about ticks that cannot be served"

CatchUp = Literal["none", "last", "all"]
Overlap = Literal["skip", "queue", "replace", "allow"]
Status = Literal["active", "paused", "finished", "suspended", "broken"]
Outcome = Literal["fired", "waiting", "skipped", "replaced", "missed", "refused", "manual"]

ScheduleName = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id or name of a schedule.")]
ScheduleNames = Annotated[
    list[str] | None, typer.Argument(metavar="SCHEDULE...", help="Ids or names of schedules.")
]
Group = Annotated[str | None, typer.Option(metavar="NAME", help="All your schedules of this group instead.")]


@dataclass(frozen=True)
class TriggerOptions:
    """When a schedule fires."""

    every: Annotated[
        dict[str, int] | None,
        typer.Option(
            metavar="INTERVAL",
            parser=parse_interval,
            help="At an interval, such as 30s, 5m or 1h30m.",
            rich_help_panel=_TRIGGER,
        ),
    ] = None
    cron: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION",
            help="By a cron expression of 5 fields, of 6 with seconds first, or a macro such as @daily.",
            rich_help_panel=_TRIGGER,
        ),
    ] = None
    hourly: Annotated[
        int | None,
        typer.Option(metavar="MINUTE", help="At this minute of each hour.", rich_help_panel=_TRIGGER),
    ] = None
    daily: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="On each day.", rich_help_panel=_TRIGGER)
    ] = None
    weekly: Annotated[
        dict[str, Any] | None,
        typer.Option(
            metavar="DAYS@HH:MM",
            parser=parse_weekly,
            help="On days of the week, such as mon,thu@08:00.",
            rich_help_panel=_TRIGGER,
        ),
    ] = None
    monthly: Annotated[
        dict[str, Any] | None,
        typer.Option(
            metavar="DAY@HH:MM",
            parser=parse_monthly,
            help="On a day of the month, such as 1@00:00 or last@18:00.",
            rich_help_panel=_TRIGGER,
        ),
    ] = None
    once: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            parser=parse_moment,
            help="Once, such as 2027-03-01T09:00; without an offset in --timezone.",
            rich_help_panel=_TRIGGER,
        ),
    ] = None
    once_in: Annotated[
        int | None,
        typer.Option(
            "--in",
            metavar="INTERVAL",
            parser=parse_seconds,
            help="Once, after an interval such as 10m.",
            rich_help_panel=_TRIGGER,
        ),
    ] = None
    fire_immediately: Annotated[
        bool,
        typer.Option(
            "--fire-immediately",
            help="With --every: fire at the start too.",
            show_default=False,
            rich_help_panel=_TRIGGER,
        ),
    ] = False

    @property
    def given(self) -> dict[str, Any]:
        """The trigger as the API takes it. Raises UsageError unless there is exactly one."""
        triggers = without_none(
            every=self.every,
            cron=self.cron,
            hourly=None if self.hourly is None else {"minute": self.hourly},
            daily=None if self.daily is None else {"at": self.daily},
            weekly=self.weekly,
            monthly=self.monthly,
            once=self._once,
        )
        if len(triggers) != 1 or (self.once is not None and self.once_in is not None):
            raise UsageError(
                "Give one of --every, --cron, --hourly, --daily, --weekly, --monthly, --once and --in."
            )
        if self.fire_immediately:
            if self.every is None:
                raise UsageError("--fire-immediately: only applies to --every.")
            triggers["fire_immediately"] = True
        return triggers

    @property
    def _once(self) -> dict[str, Any] | None:
        if self.once is not None:
            return {"at": self.once.isoformat()}
        return None if self.once_in is None else {"in_seconds": self.once_in}


@dataclass(frozen=True)
class WindowOptions:
    """The time zone, and between which times a schedule fires."""

    timezone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Such as Europe/Berlin; default UTC.", rich_help_panel=_WINDOW),
    ] = None
    starts_at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            parser=parse_instant,
            help="No tick before this time, such as 2027-03-01T12:00:00Z.",
            rich_help_panel=_WINDOW,
        ),
    ] = None
    ends_at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME", parser=parse_instant, help="No tick after this time.", rich_help_panel=_WINDOW
        ),
    ] = None
    duration: Annotated[
        int | None,
        typer.Option(
            metavar="INTERVAL",
            parser=parse_seconds,
            help="No tick later than this after the start, such as 10m.",
            rich_help_panel=_WINDOW,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client. Raises UsageError."""
        if self.ends_at is not None and self.duration is not None:
            raise UsageError("Give --ends-at or --duration, not both.")
        return without_none(
            timezone=self.timezone,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            duration_seconds=self.duration,
        )


@dataclass(frozen=True)
class PolicyOptions:
    """Limits of a schedule, and what it does about ticks that it cannot serve at once."""

    group: Annotated[str | None, typer.Option(metavar="NAME", help="Label of the schedule.")] = None
    max_runs: Annotated[
        int | None, typer.Option(metavar="N", help="Finish after this many runs.", rich_help_panel=_WINDOW)
    ] = None
    pause_after_failures: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Pause after this many failed jobs in a row.", rich_help_panel=_POLICY
        ),
    ] = None
    misfire_grace: Annotated[
        int | None,
        typer.Option(
            metavar="INTERVAL",
            parser=parse_seconds,
            help="A tick up to this old is on time; default 60s.",
            rich_help_panel=_POLICY,
        ),
    ] = None
    catch_up: Annotated[
        CatchUp | None,
        typer.Option(help="Older ticks that run after all; default last.", rich_help_panel=_POLICY),
    ] = None
    catch_up_limit: Annotated[
        int | None, typer.Option(metavar="N", help="With all: at most so many.", rich_help_panel=_POLICY)
    ] = None
    catch_up_window: Annotated[
        int | None,
        typer.Option(
            metavar="INTERVAL",
            parser=parse_seconds,
            help="With all: at most so old; default 1d.",
            rich_help_panel=_POLICY,
        ),
    ] = None
    overlap: Annotated[
        Overlap | None,
        typer.Option(help="While its job still runs: default skip.", rich_help_panel=_POLICY),
    ] = None
    queue_limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="With queue: how many ticks may wait; default 1.", rich_help_panel=_POLICY
        ),
    ] = None
    jitter: Annotated[
        int | None,
        typer.Option(
            metavar="INTERVAL",
            parser=parse_seconds,
            help="Start each job up to this much later.",
            rich_help_panel=_POLICY,
        ),
    ] = None
    paused: Annotated[
        bool, typer.Option("--paused", help="Create the schedule paused.", show_default=False)
    ] = False

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client."""
        return without_none(
            group=self.group,
            max_runs=self.max_runs,
            pause_after_failures=self.pause_after_failures,
            misfire_grace_seconds=self.misfire_grace,
            catch_up=self.catch_up,
            catch_up_limit=self.catch_up_limit,
            catch_up_window_seconds=self.catch_up_window,
            overlap=self.overlap,
            queue_limit=self.queue_limit,
            jitter_seconds=self.jitter,
            enabled=False if self.paused else None,
        )
