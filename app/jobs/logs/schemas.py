"""The response of the route of logs."""

from datetime import datetime
from typing import NotRequired

from typing_extensions import TypedDict

from app.jobs.logs.levels import LogLevel


class LogLine(TypedDict):
    """A line that a handler has written. Numbers of lines grow from 1 over all attempts.

    Some are missing where lines were not kept. A text has at most 8000 characters and may have several lines.
    Lines of a job with shards have the number of their `shard`, and are themselves numbered by the instant.
    """

    shard: NotRequired[int]
    line: int
    attempt: int
    at: datetime
    level: LogLevel
    text: str


class JobLog(TypedDict):
    """Lines of a job's log, in order. To continue, pass `next_after` as `after`."""

    items: list[LogLine]
    next_after: int
