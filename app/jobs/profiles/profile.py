"""A profile as it is stored: the stacks that were sampled in an attempt, and the time spent in each.

A child writes it, and may be in the hands of a user's file, so a reader trusts only its types and bounds.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta

MAX_BYTES: Final = 4 * 1024 * 1024
"""The largest profile that is written, stored and read."""

OTHER: Final = "(other)"
"""The function of the stacks for which a profile had no room."""

Seconds = Annotated[float, Meta(ge=0, le=10**9)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """A line of a function. `first_line` is that of the function, `line` the one that was executed.

    `file` starts at the package. It is empty for what is no function, such as `OTHER`.
    """

    function: str
    file: str
    first_line: int
    line: int


class Stack(msgspec.Struct, frozen=True, array_like=True):
    """A stack, and how long it lasted: indices of its frames, the outermost first."""

    frames: tuple[Count, ...]
    seconds: Seconds
    samples: Count


class BadProfile(ValueError):
    """The bytes are not a profile."""


@dataclass(frozen=True)
class FunctionTime:
    """The time spent in a function itself, and in all that it called. Most of it was spent on `line`."""

    function: str
    file: str
    line: int
    self_seconds: float
    total_seconds: float


class Profile(msgspec.Struct, frozen=True):
    """The stacks of one attempt. `seconds` is how long it was sampled."""

    seconds: Seconds
    samples: Count
    frames: tuple[Frame, ...]
    stacks: tuple[Stack, ...]

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Read a stored profile. Raises BadProfile."""
        try:
            profile = msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadProfile(str(error)) from None
        known = len(profile.frames)
        if any(index >= known for stack in profile.stacks for index in stack.frames):
            raise BadProfile("a stack refers to a frame that is missing")
        return profile

    def encode(self) -> bytes:
        """Return the bytes to store."""
        return msgspec.json.encode(self)

    def top(self, limit: int) -> list[FunctionTime]:
        """Return the functions in which most time was spent themselves, at most `limit`."""
        functions: dict[tuple[str, str, int], _Spent] = defaultdict(_Spent)
        for stack in self.stacks:
            frames = [self.frames[index] for index in stack.frames]
            seen = set()
            for frame in reversed(frames):  # a recursive function counts once, with its innermost line
                if (key := _function(frame)) not in seen:
                    seen.add(key)
                    functions[key].add(frame.line, stack.seconds)
            if frames:
                functions[_function(frames[-1])].self_seconds += stack.seconds
        ordered = sorted(functions.items(), key=lambda item: item[1].order, reverse=True)
        return [
            FunctionTime(function, file, spent.line, spent.self_seconds, spent.total_seconds)
            for (function, file, _), spent in ordered[:limit]
        ]

    def folded(self) -> Iterator[str]:
        """Yield the stacks as flame graph tools read them, each with its time in microseconds."""
        names = [_name(frame) for frame in self.frames]
        for stack in self.stacks:
            if stack.frames:
                yield f"{';'.join(names[index] for index in stack.frames)} {round(stack.seconds * 1e6)}"


@dataclass
class _Spent:
    """The time spent in one function so far."""

    self_seconds: float = 0.0
    total_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._by_line: dict[int, float] = defaultdict(float)

    def add(self, line: int, seconds: float) -> None:
        self.total_seconds += seconds
        self._by_line[line] += seconds

    @property
    def line(self) -> int:
        return max(self._by_line, key=lambda line: self._by_line[line])

    @property
    def order(self) -> tuple[float, float]:
        return self.self_seconds, self.total_seconds


def _function(frame: Frame) -> tuple[str, str, int]:
    return frame.function, frame.file, frame.first_line


def _name(frame: Frame) -> str:
    """Return a frame without the characters that separate frames and lines."""
    name = f"{frame.function} ({frame.file}:{frame.line})" if frame.file else frame.function
    return " ".join(name.replace(";", ":").split())
