"""The levels of log lines."""

from enum import StrEnum
from typing import Final


class LogLevel(StrEnum):
    """How important a line is, the least important first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_SYNONYMS: Final = {
    "trace": LogLevel.DEBUG,
    "warn": LogLevel.WARNING,
    "critical": LogLevel.ERROR,
    "fatal": LogLevel.ERROR,
    **{level.value: level for level in LogLevel},
}


def parse(word: str) -> LogLevel:
    """Return the level that a handler means; `info` for a word that is none."""
    return _SYNONYMS.get(word.strip().lower(), LogLevel.INFO)


def at_least(level: LogLevel) -> tuple[LogLevel, ...]:
    """Return this level and all that are more important."""
    levels = tuple(LogLevel)
    return levels[levels.index(level) :]
