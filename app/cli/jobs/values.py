"""Option values with a syntax of their own, such as KEY=VALUE."""

import json
import re
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, get_args

import typer

ColumnType = Literal["number", "category", "text", "boolean", "timestamp", "id", "ignore"]
COLUMN_TYPES: Final = get_args(ColumnType)

MAX_SHARDS: Final = 1000
"""The server's limit, which is checked before a file is uploaded."""

_NUMBER: Final = re.compile("[1-9][0-9]{0,5}")


class Pair(NamedTuple):
    """The two sides of KEY=VALUE."""

    key: str
    value: Any


def parse_pair(text: str) -> Pair:
    """Parse KEY=VALUE; the value may contain `=`."""
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise typer.BadParameter("expected KEY=VALUE")
    return Pair(key, value)


def parse_column_type(text: str) -> Pair:
    """Parse COLUMN=TYPE; the name of the column may contain `=`."""
    column, _, column_type = text.rpartition("=")
    if not column or column_type not in COLUMN_TYPES:
        raise typer.BadParameter(f"expected COLUMN=TYPE, with one of the types {', '.join(COLUMN_TYPES)}")
    return Pair(column, column_type)


def parse_param(text: str) -> Pair:
    """Parse NAME=VALUE; a value that is not JSON is a string."""
    name, value = parse_pair(text)
    try:
        return Pair(name, json.loads(value))
    except ValueError:
        return Pair(name, value)


def parse_shards(text: str) -> str:
    """Parse a number of shards, or `auto`."""
    if text != "auto" and not (_NUMBER.fullmatch(text) and int(text) <= MAX_SHARDS):
        raise typer.BadParameter(f"expected a number from 1 to {MAX_SHARDS}, or auto")
    return text


def parse_split(text: str) -> Pair:
    """Parse METHOD or METHOD=COLUMN; the value is None if there is no column."""
    method, separator, column = text.partition("=")
    if not method or (separator and not column):
        raise typer.BadParameter("expected METHOD or METHOD=COLUMN, such as time=sold_at")
    return Pair(method, column or None)


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 date and time with a time zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise typer.BadParameter("expected a date and time with a time zone, such as 2026-03-01T12:00:00Z")
    return instant
