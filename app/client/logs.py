"""The logs of jobs: lines that handlers have written, as frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from app.client.exchange import Exchange
from app.client.steps import Emit, Flow, Pause, Request
from app.client.values import Job

LogLevel = Literal["debug", "info", "warning", "error"]

PAGE_SIZE: Final = 1000
FOLLOW_SECONDS: Final = 1.0
"""How long to wait for further lines: a worker stores them once a second."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a handler has written. Numbers of lines grow over all attempts; some may be missing.

    Of a job with shards, `shard` is the number of the one that has written it.

    >>> for line in client.logs(job, level="warning"):
    ...     print(line.number, line.attempt, line.level, line.text)
    2 1 warning 12 rows have no value for 'price' and were left out.
    """

    number: int
    attempt: int
    at: datetime
    level: str
    text: str
    shard: int | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "LogLine":
        """Parse the JSON document."""
        return cls(
            number=document["line"],
            attempt=document["attempt"],
            at=datetime.fromisoformat(document["at"]),
            level=document["level"],
            text=document["text"],
            shard=document.get("shard"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines to read: all, or those of an attempt, of a level and above, or the last ones."""

    attempt: int | None = None
    level: LogLevel | None = None
    after: int = 0
    tail: int | None = None

    @property
    def params(self) -> dict[str, str]:
        """The filters as parameters of a request. Raises ValueError."""
        if self.tail is not None and not 1 <= self.tail <= PAGE_SIZE:
            raise ValueError(f"tail is between 1 and {PAGE_SIZE}")
        filters = {"attempt": self.attempt, "level": self.level}
        return {name: str(value) for name, value in filters.items() if value is not None}


def lines(exchange: Exchange, path: str, query: LogQuery, *, follow: bool) -> Flow[None]:
    """Emit lines of the job at a path; to `follow` is to wait for further ones until the job has ended."""
    params = query.params
    after = query.after
    if query.tail is not None:
        newest = {"newest": "true", "limit": str(query.tail), "after": str(after), **params}
        _, after = yield from _page(exchange, path, newest)
    while True:
        # Asked before the lines: all of them are stored when the job has ended.
        is_final = not follow or (yield from exchange.read(Job.parse, Request("GET", path))).is_final
        while True:
            count, after = yield from _page(
                exchange, path, {"after": str(after), "limit": str(PAGE_SIZE), **params}
            )
            if count < PAGE_SIZE:
                break
        if is_final:
            return
        yield Pause(FOLLOW_SECONDS)


def _page(exchange: Exchange, path: str, params: Mapping[str, str]) -> Flow[tuple[int, int]]:
    """Emit the lines of a page. Return how many there are, and the number after which to read on."""
    found, next_after = yield from exchange.read(
        lambda page: ([LogLine.parse(item) for item in page["items"]], int(page["next_after"])),
        Request("GET", f"{path}/logs", params=params),
    )
    for line in found:
        yield Emit(line)
    return len(found), next_after
