"""Values as canonical text: the only way in which a number or a boolean becomes a category."""

import math
import re
from collections.abc import Collection
from datetime import date, time
from typing import Any, Final


def to_canonical_text(value: Any) -> str | None:
    """Return a value as text: "3" for 3 and 3.0, "true" for true, ISO 8601 for times, None if missing."""
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
        case date() | time():
            return value.isoformat()
    return str(value)


NUMBER: Final = re.compile(r"\s*[+-]?(0|[1-9][0-9]*|(?=\.[0-9]))(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")
"""Text that reads as a number: not "007", which is a code, nor "1_000" and "nan", which Python accepts."""

_CODE_WITH_ZERO: Final = re.compile(r"\s*[+-]?0[0-9]+(\.[0-9]*)?\s*")

CODE: Final = re.compile(r"\s*(\+.*|[0-9]+[eE][0-9]+)\s*")
"""Text that reads as a number but is more likely a phone number or a code: +4791234567, 1E5."""

MAX_EXACT: Final = 2**53
"""Larger integers are not exact as doubles."""

MAX_DIGITS: Final = 17
"""No double needs more significant digits."""


def not_a_number(value: Any, *, shown: str) -> str:
    """The message that a value, shown like this, does not read as a number."""
    is_code = isinstance(value, str) and _CODE_WITH_ZERO.fullmatch(value)
    return f"{shown} is not a number{': it begins with 0, as codes do' if is_code else ''}"


def number_fault(texts: Collection[str]) -> str | None:
    """Why distinct texts that read as numbers must stay text; None if they may become numbers."""
    by_value: dict[float, str] = {}
    has_decimals = any("." in text or "e" in text or "E" in text for text in texts)
    for text in texts:
        if CODE.fullmatch(text):
            return f"{text[:40]!r} would not be reproduced as written"
        value = float(text)
        if has_decimals and abs(value) > MAX_EXACT and text.strip().lstrip("-").isdecimal():
            return f"{text[:40]!r} has too many digits for a column with decimals"
        if len(text) > MAX_DIGITS and significant_digits(text) > MAX_DIGITS:
            return f"{text[:40]!r} has more digits than a number can hold"
        other = by_value.setdefault(value, text)
        if other != text and value != 0:
            return f"{other[:40]!r} and {text[:40]!r} would be the same number"
    return None


def significant_digits(text: str) -> int:
    """The number of significant digits."""
    mantissa = re.split("[eE]", text.strip().lstrip("+-"), maxsplit=1)[0]
    whole, _, decimals = mantissa.partition(".")
    digits = (whole + decimals).lstrip("0")
    return len(digits if decimals else digits.rstrip("0"))
