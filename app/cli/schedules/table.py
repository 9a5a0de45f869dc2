"""Prints schedules and their firings for people."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from app.cli.jobs.table import COLOURS as JOB_COLOURS
from app.cli.tables import local, print_table
from app.client import Firing, Preview, Schedule

_COLOURS: Final[Mapping[str, str]] = {
    "active": "green",
    "paused": "yellow",
    "suspended": "yellow",
    "broken": "red",
    "fired": "green",
    "manual": "green",
    "missed": "red",
    "refused": "red",
    "waiting": "cyan",
}
_INITIALS: Final = {"completed": "C", "failed": "F", "cancelled": "X", "running": "R", "pending": "P"}


def when(schedule: Schedule) -> str:
    """Return when a schedule fires, with its time zone unless the description ends with that."""
    if schedule.description.endswith(f" {schedule.timezone}"):
        return schedule.description
    return f"{schedule.description} ({schedule.timezone})"


def print_schedules(schedules: Sequence[Schedule]) -> None:
    """Print one row per schedule to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "group", "status", "kind", "when", "next", "last", "fired", "recent"):
        table.add_column(column, no_wrap=column != "when", justify="right" if column == "fired" else "left")
    for schedule in schedules:
        table.add_row(
            schedule.name,
            schedule.group or "",
            Text(schedule.status, style=_COLOURS.get(schedule.status, "default")),
            schedule.kind,
            when(schedule),
            local(schedule.next_fire_at),
            local(schedule.last_fire_at),
            str(schedule.fired),
            _recent(schedule.recent),
        )
    print_table(table)


def print_schedule(schedule: Schedule) -> None:
    """Print what is known of a schedule, one fact per line."""
    last = schedule.last_firing
    facts = {
        "id": schedule.id,
        "group": schedule.group,
        "status": schedule.status,
        "reason": None if schedule.reason is None else schedule.reason.message,
        "when": when(schedule),
        "cron": schedule.cron,
        "starts at": local(schedule.starts_at),
        "ends at": local(schedule.ends_at),
        "kind": schedule.kind,
        "overlap": schedule.overlap,
        "catch up": schedule.catch_up,
        "fired": str(schedule.fired)
        if schedule.max_runs is None
        else f"{schedule.fired}/{schedule.max_runs}",
        "next": ", ".join(local(tick) for tick in schedule.next_fires),
        "last firing": None if last is None else f"{local(last.fire_at)} {last.outcome}",
        "active jobs": " ".join(schedule.active_job_ids),
        "failures in a row": str(schedule.failures) if schedule.failures else None,
    }
    print(schedule.name)
    for name, fact in facts.items():
        if fact:
            print(f"  {name}: {fact}")


def print_firings(firings: Sequence[Firing]) -> None:
    """Print one row per firing to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("tick", "outcome", "job", "late", "reason"):
        table.add_column(column, no_wrap=column != "reason", justify="right" if column == "late" else "left")
    for firing in firings:
        table.add_row(
            _span(firing),
            Text(firing.outcome, style=_COLOURS.get(firing.outcome, "default")),
            firing.job_id or "",
            "" if firing.job_id is None else f"{firing.lateness_ms} ms",
            "" if firing.reason is None else firing.reason.message,
        )
    print_table(table)


def print_preview(preview: Preview) -> None:
    """Print what a trigger means, and its next ticks in its time zone."""
    print(preview.description if preview.cron is None else f"{preview.description}  [{preview.cron}]")
    for tick in preview.fires:
        note = "" if tick.note is None else f"  {tick.note}"
        print(f"  {tick.local:%a %Y-%m-%d %H:%M:%S %z}{note}")


def _span(firing: Firing) -> str:
    if firing.through_at is None or firing.through_at == firing.fire_at:
        return local(firing.fire_at)
    ticks = "more than 1000" if firing.count is None else str(firing.count)
    return f"{local(firing.fire_at)} to {local(firing.through_at)} ({ticks})"


def _recent(statuses: Sequence[str]) -> Text:
    """One letter for each of the last jobs, the newest first."""
    text = Text()
    for status in statuses:
        text.append(_INITIALS.get(status, "?"), style=JOB_COLOURS.get(status, "default"))
    return text
