"""Profiles of jobs as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.client.exchange import Exchange
from app.client.steps import Flow, Request


@dataclass(frozen=True, slots=True)
class FunctionTime:
    """The time spent in a function itself, and in all that it called. Most of it was spent on `line`."""

    function: str
    file: str
    line: int
    self_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Where an attempt spent its time: the functions in which most of it was spent come first.

    `shard` is the number of the shard that was attempted, None if the job has none.

    >>> profile = client.profile(job)
    >>> profile.top[0].function, profile.top[0].self_seconds
    ('fit', 8.13)
    """

    attempt: int
    shard: int | None
    seconds: float
    samples: int
    cpu_seconds: float | None
    memory_peak_bytes: int | None
    top: Sequence[FunctionTime]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Profile":
        """Parse the JSON document."""
        return cls(
            attempt=document["attempt"],
            shard=document.get("shard"),
            seconds=document["seconds"],
            samples=document["samples"],
            cpu_seconds=document.get("cpu_seconds"),
            memory_peak_bytes=document.get("memory_peak_bytes"),
            top=tuple(_function_time(item) for item in document["top"]),
            raw=document,
        )


def profile(exchange: Exchange, path: str, attempt: int | None, shard: int | None) -> Flow[Profile]:
    """Fetch the profile of an attempt at the job with this path, or at a shard of it.

    None: of the last one that has one.
    """
    return exchange.read(Profile.parse, Request("GET", f"{path}/profile", params=_params(attempt, shard)))


def stacks(exchange: Exchange, path: str, attempt: int | None, shard: int | None) -> Flow[str]:
    """Fetch the stacks of a profile, one in each line."""
    params = _params(attempt, shard)
    request = Request("GET", f"{path}/profile", params=params, headers={"accept": "text/plain"})
    response = yield from exchange.ask(request)
    return response.body.decode()


def _params(attempt: int | None, shard: int | None) -> dict[str, str]:
    given = {"attempt": attempt, "shard": shard}
    return {name: str(number) for name, number in given.items() if number is not None}


def _function_time(item: Mapping[str, Any]) -> FunctionTime:
    return FunctionTime(
        function=item["function"],
        file=item["file"],
        line=item["line"],
        self_seconds=item["self_seconds"],
        total_seconds=item["total_seconds"],
    )
