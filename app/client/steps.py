"""Requests, answers and flows, as values.

A *flow* is a generator that says what it needs, one step after the other, and is told what came of each. It
does no I/O, so the same flow serves the blocking and the asynchronous client, and a test needs no network.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the server. `read_seconds` is how long it may be silent before it counts as gone.

    With a `file` its content is the body, read as it is sent. Each value of a parameter is sent.
    """

    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    read_seconds: float | None = None
    file: Path | None = None

    def with_header(self, name: str, value: str) -> "Request":
        """The same request with one more header."""
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; gives the whole Answer. Raises Unreachable into the flow."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request; gives the Answer without its body if that is a success, to be read piece by piece.

    What the flow had open before is closed.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of what is open; none at its proper end. Raises Unreachable when it was cut."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Let some time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alone:
    """Run another flow while no other flow of this client runs one so; gives what that one returns."""

    flow: Generator[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand something to whoever iterates."""

    item: Any


Step = Send | Open | Read | Pause | Alone | Emit
Flow = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step."""

    value: Any = None
    error: Exception | None = None

    def resume(self, flow: Flow[Any]) -> Step | None:
        """Tell the flow, and get its next step; None at its end."""
        try:
            return flow.send(self.value) if self.error is None else flow.throw(self.error)
        except StopIteration:
            return None


def send(request: Request) -> Flow[Answer]:
    """The answer to a request."""
    answer: Answer = yield Send(request)
    return answer


def open_(request: Request) -> Flow[Answer]:
    """The beginning of an answer that is read piece by piece."""
    answer: Answer = yield Open(request)
    return answer


def read() -> Flow[bytes]:
    """The next piece of the answer that is open; none at its end."""
    piece: bytes = yield Read()
    return piece


def alone(flow: Flow[T]) -> Flow[T]:
    """Run a flow while no other one of this client runs so."""
    result: T = yield Alone(flow)
    return result


def emitting(flow: Flow[Any]) -> Flow[None]:
    """The flow, with its result handed out as its only item."""
    result = yield from flow
    yield Emit(result)


Ask = Callable[[Request], Flow[Answer]]
