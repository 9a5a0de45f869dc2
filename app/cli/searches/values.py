"""The values to try for a hyperparameter: NAME=LIST, NAME=MIN..MAX or NAME=MIN..MAX:log."""

import json
import re
from typing import Any, Final

import typer

from app.cli.jobs.values import Pair, parse_pair

_RANGE: Final = re.compile(r"(?P<min>[^.,]+(?:\.[0-9]+[^.,]*)?)\.\.(?P<max>[^:]+)(?P<log>:log)?")


def parse_values(text: str) -> Pair:
    """Parse NAME=VALUES: a range, a JSON list or object, or values between commas."""
    name, values = parse_pair(text)
    return Pair(name, _parse(values))


def _parse(text: str) -> Any:
    if (found := _RANGE.fullmatch(text)) is not None:
        low, high = _number(found["min"]), _number(found["max"])
        return {"min": low, "max": high, **({"log": True} if found["log"] else {})}
    parsed = _json_or_text(text)
    if isinstance(parsed, list | dict):
        return parsed
    return [_json_or_text(part) for part in text.split(",")]


def _number(text: str) -> int | float:
    value = _json_or_text(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise typer.BadParameter(f"{text!r} is not a number: a range is MIN..MAX or MIN..MAX:log")
    return value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
