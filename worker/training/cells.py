"""Single values, from JSON or a file, as models take them. Training and prediction read them here alike."""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import numpy as np

SECONDS_OF_A_DAY: Final = 86_400
MAX_SHOWN_CHARACTERS: Final = 40

# Not "007", which is a code, nor "1_000" and "nan", which Python would take.
NUMBER: Final = re.compile(r"\s*[+-]?(0|[1-9][0-9]*|(?=\.[0-9]))(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")
BOOLEANS: Final = {"true": 1.0, "false": 0.0}


class Content(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"


class BadCell(ValueError):
    """The value is none that the column can hold; the message says what it is not."""


def number(value: Any) -> float:
    """A number, NaN if it is missing. Infinity counts as missing. Raises BadCell."""
    match value:
        case None:
            return math.nan
        case bool() | int() | float() | Decimal() | np.number():
            return _finite(value)
        case str() if not value.strip():
            return math.nan
        case str() if NUMBER.fullmatch(value):
            return _finite(value)
        case str() if value.strip().lower() in BOOLEANS:
            return BOOLEANS[value.strip().lower()]
    raise BadCell(f"{shown(value)} is not a number")


def day(value: Any) -> float:
    """A date or an instant as days since 1970 in UTC, NaN if it is missing. Raises BadCell."""
    match value:
        case None:
            return math.nan
        case str() if not value.strip():
            return math.nan
        case str():
            try:
                return _days(datetime.fromisoformat(value.strip()))
            except ValueError:
                pass
        case datetime():
            return _days(value)
        case date():
            return float((value - date(1970, 1, 1)).days)
    raise BadCell(f"{shown(value)} is not a date (ISO 8601)")


def category(value: Any) -> str | None:
    """A category, None if it is missing. Raises BadCell."""
    if isinstance(value, dict | list):
        raise BadCell(f"{shown(value)} is not a category")
    return label(value) or None


def text(value: Any) -> str:
    """A text; one that is missing is empty. Raises BadCell."""
    if isinstance(value, dict | list):
        raise BadCell(f"{shown(value)} is not a text")
    return label(value) or ""


def label(value: Any) -> str | None:
    """A class as it is written: 3 and 3.0 are "3", true is "true"; None if it is missing."""
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case None:
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value):
            return None
        case float() if value.is_integer():
            return str(int(value))
    return str(value)


def shown(value: Any) -> str:
    """The value in a message, not all of it if it is long."""
    written = repr(value)
    return written if len(written) <= MAX_SHOWN_CHARACTERS else f"{written[:MAX_SHOWN_CHARACTERS]}…"


READERS: Final[dict[Content, Callable[[Any], Any]]] = {
    Content.NUMBER: number,
    Content.BOOLEAN: number,
    Content.DATE: day,
    Content.CATEGORY: category,
    Content.TEXT: text,
}
"""How a value of each content is read."""


def _finite(value: Any) -> float:
    try:
        read = float(value)
    except OverflowError:
        return math.nan
    return read if math.isfinite(read) else math.nan


def _days(instant: datetime) -> float:
    in_utc = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
    return in_utc.timestamp() / SECONDS_OF_A_DAY
