"""Option values of triggers, such as 1h30m and mon,thu@08:00."""

import re
from datetime import datetime
from typing import Any, Final

import typer

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_INTERVAL: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_SECONDS: Final = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}


def parse_interval(text: str) -> dict[str, int]:
    """Parse an interval such as 30s, 5m or 1h30m into its parts."""
    found = _INTERVAL.fullmatch(text)
    if not text or found is None:
        raise typer.BadParameter("expected an interval such as 30s, 5m, 1h30m or 7d")
    return {
        _UNITS[unit]: int(number)
        for unit, number in zip(_UNITS, found.groups(), strict=True)
        if number is not None
    }


def parse_seconds(text: str) -> int:
    """Parse an interval into seconds."""
    return sum(_SECONDS[unit] * number for unit, number in parse_interval(text).items())


def parse_weekly(text: str) -> dict[str, Any]:
    """Parse DAYS@HH:MM, such as mon,thu@08:00; the server checks the names and the time."""
    days, separator, at = text.partition("@")
    if not (days and separator and at):
        raise typer.BadParameter("expected DAYS@HH:MM, such as mon,thu@08:00")
    return {"on": days.lower().split(","), "at": at}


def parse_monthly(text: str) -> dict[str, Any]:
    """Parse DAY@HH:MM, such as 1@00:00 or last@18:00."""
    day, separator, at = text.partition("@")
    if not (separator and at) or not (day == "last" or (day.isascii() and day.isdigit())):
        raise typer.BadParameter("expected DAY@HH:MM, such as 1@00:00 or last@18:00")
    return {"day": day if day == "last" else int(day), "at": at}


def parse_moment(text: str) -> datetime:
    """Parse an ISO 8601 date and time, with or without an offset."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected a date and time, such as 2027-03-01T09:00") from None
