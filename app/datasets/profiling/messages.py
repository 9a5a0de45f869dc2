"""Messages between the API and the process that computes a profile, and what a profile has."""

from typing import Any

import msgspec


class Task(msgspec.Struct, frozen=True):
    """The file with the rows to profile, and the limits."""

    source: str
    cpu_seconds: int
    memory_bytes: int


class Histogram(msgspec.Struct, frozen=True):
    """How many values lie in each bin: from one edge to before the next, the last edge included."""

    edges: tuple[float | str, ...]
    counts: tuple[int, ...]


class Frequency(msgspec.Struct, frozen=True):
    """A value, and how many rows have it."""

    value: Any
    count: int


class Warning(msgspec.Struct, frozen=True):  # the word of the API
    """What a data scientist should look at: a stable code and a sentence."""

    code: str
    message: str


class ColumnProfile(msgspec.Struct, frozen=True):
    """The profile of one column. What does not apply to its type, or has no value, is null.

    `unique` does not count missing as a value. `min` and `max` are of numbers and times, `lengths` are those
    of texts in characters. `std` is the sample standard deviation. `most_frequent` has up to ten values.
    """

    name: str
    type: str
    missing: int
    unique: int
    min: float | int | str | None = None
    max: float | int | str | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: dict[str, float] | None = None
    histogram: Histogram | None = None
    lengths: dict[str, float] | None = None
    most_frequent: tuple[Frequency, ...] = ()
    warnings: tuple[Warning, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    """The profile of a dataset. `duplicate_rows` counts rows that equal an earlier one in all columns."""

    rows: int
    duplicate_rows: int
    columns: tuple[ColumnProfile, ...]
