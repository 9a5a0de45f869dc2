"""Single values, from JSON or a file, as models take them. Training and prediction read them here alike."""

import math
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import numpy as np

from app.datasets.canonical_text import NUMBER, written

SECONDS_OF_A_DAY: Final = 86_400
MAX_NUMBER: Final = 1e38
"""What is beyond is a mark for what is missing, like -1.797e308, or an accident: no algorithm squares it."""

MAX_SHOWN_CHARACTERS: Final = 40

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


def bounded(value: Any) -> float:
    """A number as those that are trained here take it: one beyond ±MAX_NUMBER is missing. Raises BadCell."""
    read = number(value)
    return read if abs(read) <= MAX_NUMBER else math.nan


def without(marks: Collection[str]) -> Callable[[Any], float]:
    """How a number is read in a column where these texts mark one that is missing."""
    missing = frozenset(marks)

    def read(value: Any) -> float:
        return math.nan if isinstance(value, str) and value.strip() in missing else bounded(value)

    return read


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
    return written(value.item() if isinstance(value, np.generic) else value)


def shown(value: Any) -> str:
    """The value in a message, not all of it if it is long."""
    written = repr(value)
    return written if len(written) <= MAX_SHOWN_CHARACTERS else f"{written[:MAX_SHOWN_CHARACTERS]}…"


READERS: Final[dict[Content, Callable[[Any], Any]]] = {
    Content.NUMBER: bounded,
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
