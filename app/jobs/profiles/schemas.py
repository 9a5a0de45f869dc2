"""Responses of the route of profiles."""

from typing import NotRequired

from typing_extensions import TypedDict


class FunctionTimeView(TypedDict):
    """The time spent in a function itself, and in all that it called. Most of it was spent on `line`."""

    function: str
    file: str
    line: int
    self_seconds: float
    total_seconds: float


class ProfileView(TypedDict):
    """Where an attempt spent its time: the functions in which most of it was spent themselves come first.

    `shard` is the number of the shard, if the job has shards.
    """

    shard: NotRequired[int]
    attempt: int
    seconds: float
    samples: int
    cpu_seconds: float | None
    memory_peak_bytes: int | None
    top: list[FunctionTimeView]
