"""A manual clock for code that takes a clock as an argument."""

from dataclasses import dataclass


@dataclass
class Clock:
    """A clock that advances only when a test sets `now`."""

    now: float

    def __call__(self) -> float:
        return self.now
