"""Parse single values, from JSON or from a file, the same way for training and for prediction."""

import math
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import numpy as np

from app.datasets.canonical_text import NUMBER, not_a_number, to_canonical_text

SECONDS_OF_A_DAY: Final = 86_400
MAX_NUMBER: Final = 1e38
"""Larger magnitudes are markers for missing values, like -1.797e308, or accidents. Algorithms could not
square them without overflow."""

MAX_PREVIEW_CHARACTERS: Final = 40

BOOLEANS: Final = {"true": 1.0, "false": 0.0}


class Content(StrEnum):
    """What the values of a column are."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"


class BadCell(ValueError):
    """The value does not fit its column. The message quotes the value and names the expected type."""


def parse_number(value: Any) -> float:
    """Return a number as a float; NaN for a missing or infinite one. Raises BadCell."""
    match value:
        case None:
            return math.nan
        case bool() | int() | float() | Decimal() | np.number():
            return _finite_or_nan(value)
        case str() if not value.strip():
            return math.nan
        case str() if NUMBER.fullmatch(value):
            return _finite_or_nan(value)
        case str() if value.strip().lower() in BOOLEANS:
            return BOOLEANS[value.strip().lower()]
    raise BadCell(not_a_number(value, shown=preview(value)))


def parse_bounded_number(value: Any) -> float:
    """Return a number for models trained here: like `parse_number`, but NaN beyond ±MAX_NUMBER."""
    number = parse_number(value)
    return number if abs(number) <= MAX_NUMBER else math.nan


def number_parser(missing_markers: Collection[str]) -> Callable[[Any], float]:
    """Return `parse_bounded_number` for a column in which these texts, like `NA`, mark a missing number."""
    markers = frozenset(missing_markers)

    def parse(value: Any) -> float:
        is_missing = isinstance(value, str) and value.strip() in markers
        return math.nan if is_missing else parse_bounded_number(value)

    return parse


def parse_date(value: Any) -> float:
    """Return a date or time as days since 1970-01-01 UTC; NaN for a missing one. Raises BadCell."""
    match value:
        case None:
            return math.nan
        case str() if not value.strip():
            return math.nan
        case str():
            try:
                return _days_since_1970(datetime.fromisoformat(value.strip()))
            except ValueError:
                pass
        case datetime():
            return _days_since_1970(value)
        case date():
            return float((value - date(1970, 1, 1)).days)
    raise BadCell(f"{preview(value)} is not a date (ISO 8601)")


def parse_category(value: Any) -> str | None:
    """Return a category as text; None for a missing one. Raises BadCell."""
    if isinstance(value, dict | list):
        raise BadCell(f"{preview(value)} is not a category")
    return to_label(value) or None


def parse_text(value: Any) -> str:
    """Return a text; empty for a missing one. Raises BadCell."""
    if isinstance(value, dict | list):
        raise BadCell(f"{preview(value)} is not a text")
    return to_label(value) or ""


def to_label(value: Any) -> str | None:
    """Return a class label in canonical form: "3" for 3 and 3.0, "true" for true, None for a missing one."""
    return to_canonical_text(value.item() if isinstance(value, np.generic) else value)


def preview(value: Any) -> str:
    """Return the repr of a value for a message, cut to MAX_PREVIEW_CHARACTERS."""
    text = repr(value)
    return text if len(text) <= MAX_PREVIEW_CHARACTERS else f"{text[:MAX_PREVIEW_CHARACTERS]}…"


PARSERS: Final[dict[Content, Callable[[Any], Any]]] = {
    Content.NUMBER: parse_bounded_number,
    Content.BOOLEAN: parse_number,
    Content.DATE: parse_date,
    Content.CATEGORY: parse_category,
    Content.TEXT: parse_text,
}


def _finite_or_nan(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _days_since_1970(moment: datetime) -> float:
    in_utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return in_utc.timestamp() / SECONDS_OF_A_DAY
