"""Converts single values to another type, exactly or not at all.

Each function returns the value in its type, and raises ValueError if the conversion would lose something.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any, Final

import pyarrow as pa
from pyarrow import types

from app.jobs.preprocessing.checking import DATE, TIMESTAMP, read_time

MAX_EXACT: Final = 2**53
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


def to_integer(value: Any) -> int:
    """Convert a whole number, a boolean, or a text of digits that fits into 64 bits."""
    if isinstance(value, str):
        text = value.strip()
        if not _INTEGER.fullmatch(text):
            raise ValueError(value)
        value = int(text) if len(text) <= 20 else _LARGEST + 1
    if isinstance(value, float) and (not value.is_integer() or abs(value) > MAX_EXACT):
        raise ValueError(value)
    whole = int(value)
    if not _SMALLEST <= whole <= _LARGEST:
        raise ValueError(value)
    return whole


def to_number(value: Any) -> float:
    """Convert a boolean, an integer that a double holds exactly, or a decimal text."""
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            raise ValueError(value)
        value = float(text)
    number = float(value)
    if not math.isfinite(number) or (isinstance(value, int) and int(number) != value):
        raise ValueError(value)
    return number


def to_boolean(value: Any) -> bool:
    """Convert 0, 1, `true` and `false`."""
    found = _BOOLEANS.get(str(value).strip().lower())
    if found is None:
        raise ValueError(value)
    return found


def to_date(value: Any, form: str | None = None) -> date:
    """Convert a timestamp, whose time is dropped, or a text in ISO 8601 or in this format."""
    if isinstance(value, str):
        text = value.strip()
        return (read_time(text, DATE) if form is None else datetime.strptime(text, form)).date()  # noqa: DTZ007
    return value.date() if isinstance(value, datetime) else value


def to_timestamp(value: Any, form: str | None = None) -> datetime:
    """Convert a date, or a text in ISO 8601 or in this format; a time with an offset is converted to UTC."""
    if isinstance(value, str):
        text = value.strip()
        value = read_time(text, TIMESTAMP) if form is None else datetime.strptime(text, form)  # noqa: DTZ007
    if not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def converter(to: str, form: str | None) -> Callable[[Any], Any]:
    """Return the function that converts to a type."""
    if form is None:
        return _CONVERTERS[to]
    return partial(to_date if to == DATE else to_timestamp, form=form)


_CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "date": to_date,
    "timestamp": to_timestamp,
}


def to_scalar(value: Any, arrow_type: pa.DataType) -> pa.Scalar:
    """Return a value of a request, which has been checked, in the type of a column."""
    if types.is_timestamp(arrow_type):
        stamp = to_timestamp(value)
        return pa.scalar(stamp if arrow_type.tz is None else stamp.replace(tzinfo=UTC), arrow_type)
    if types.is_date(arrow_type):
        return pa.scalar(to_date(value), arrow_type)
    return pa.scalar(value, arrow_type)
