"""Checks that a value can be stored as JSON: finite numbers, 64-bit integers, limited depth."""

import math
from datetime import date, time
from typing import Any, Final

from app.core import text

MAX_DEPTH: Final = 20
_INTEGERS: Final = range(-(2**63), 2**63)

TOO_DEEP: Final = f"it is nested deeper than {MAX_DEPTH} levels"


def fault(value: Any) -> str | None:
    """Why a value cannot be stored, as a clause; None if it can. Not recursive: its depth is untrusted.

    The value may come from JSON or from Parquet. Dates and times are accepted: their JSON is ISO 8601.
    """
    waiting: list[tuple[Any, int]] = [([value], -1)]
    while waiting:
        part, depth = waiting.pop()
        if type(part) is dict:
            if (reason := _fault_of_names(part)) is not None:
                return reason
            part = part.values()
        for member in part:
            kind = type(member)
            if kind is str:
                if not text.is_storable(member):
                    return "a string has a NUL character"
            elif kind is int:
                if member not in _INTEGERS:
                    return "an integer has more than 64 bits"
            elif kind is float:
                if not math.isfinite(member):
                    return "a number is not finite"
            elif kind is dict or kind is list:
                if depth == MAX_DEPTH:
                    return TOO_DEEP
                waiting.append((member, depth + 1))
            elif not (member is None or kind is bool or isinstance(member, date | time)):
                return f"a value of the type {kind.__name__} has no JSON"
    return None


def _fault_of_names(members: dict[Any, Any]) -> str | None:
    for name in members:
        if type(name) is not str:
            return f"a name of the type {type(name).__name__} has no JSON"
        if not text.is_storable(name):
            return "a name has a NUL character"
    return None
