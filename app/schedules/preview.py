"""The next ticks of a rule, with the local time of each and what the change of clocks does to it."""

from datetime import datetime, tzinfo
from itertools import islice
from typing import NamedTuple

from app.schedules import rules, zones
from app.schedules.rules import Interval, Rule, Window


class PreviewedTick(NamedTuple):
    """A tick: its instant in UTC, the same instant in the zone of the schedule, and a note or None.

    Notes: `gap: 02:30 does not exist`, `overlap: first of two`, `overlap: second of two`.
    """

    fire_at: datetime
    local: datetime
    note: str | None


def fires(rule: Rule, window: Window, *, timezone: str, since: datetime, count: int) -> list[PreviewedTick]:
    """The first ticks at `since` or later, at most `count`. Raises RuleFailed and UnknownTimezone."""
    zone = zones.get(timezone)
    return [_preview(rule, tick, zone) for tick in islice(window.ticks(rule, since), count)]


def _preview(rule: Rule, tick: datetime, zone: tzinfo) -> PreviewedTick:
    return PreviewedTick(tick, tick.astimezone(zone), _note(rule, tick, zone))


def _note(rule: Rule, tick: datetime, zone: tzinfo) -> str | None:
    """What a reader may not expect of the local time of a tick."""
    if isinstance(rule, Interval):
        return None
    skipped = rules.skipped_time(rule, tick)
    if skipped is not None:
        return f"gap: {skipped:%H:%M} does not exist"
    local = tick.astimezone(zone)
    if local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset():
        return None
    return "overlap: second of two" if local.fold else "overlap: first of two"
