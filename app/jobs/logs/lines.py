"""Lines of a job's log: as an attempt writes them, and as they are stored."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.jobs.logs.levels import LogLevel

MAX_LINES: Final = 10_000
MAX_BYTES: Final = 1024 * 1024
"""The log of a job keeps its last lines: so many, or so many bytes of text if that is less."""

MAX_PART_LINES: Final = 1000
MAX_PART_BYTES: Final = 64 * 1024
"""Lines are written and deleted in parts of at most so many lines, and of so many bytes or one line."""

MAX_TEXT_CHARACTERS: Final = 8000

_ESCAPE_SEQUENCES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_LINE_ENDS: Final = re.compile(r"\r\n?")
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line that an attempt has written. `size` is the number of bytes of its text."""

    written_at: float
    """By the monotonic clock of the worker."""

    level: LogLevel
    text: str
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive lines of an attempt, stored together, after `skipped` lines that were not kept.

    Parts of an attempt are numbered from 1. A part that is written twice is stored once.
    """

    job_id: UUID
    attempt: int
    number: int
    skipped: int
    lines: Sequence[NewLine]

    @property
    def size(self) -> int:
        """The bytes of all texts."""
        return sum(line.size for line in self.lines)


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line of a job's log. `number` counts the lines of all attempts from 1.

    In the log of a job with shards, it is the instant in microseconds since 1970, and `shard` the number of
    the shard.
    """

    number: int
    attempt: int
    at: datetime
    level: LogLevel
    text: str
    shard: int | None = None

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> "StoredLine":
        """Return the line in a database row."""
        return cls(
            row["number"], row["attempt"], row["at"], LogLevel(row["level"]), row["text"], row["shard_no"]
        )


def clean(text: str) -> str:
    r"""Make a text harmless for terminals and databases: without colours, only \n and \t for control."""
    text = text[:MAX_TEXT_CHARACTERS]
    if not text.isprintable():
        text = _LINE_ENDS.sub("\n", _ESCAPE_SEQUENCES.sub("", text))
        text = _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.rstrip("\n")
