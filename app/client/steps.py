"""Requests, responses and flows, as values.

A *flow* is a generator that yields the steps to execute and receives the outcome of each. It does no I/O, so
that the blocking and the asynchronous client share it, and tests need no network.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the server. `read_seconds` is the read timeout.

    The content of `file`, if given, is the body, read while it is sent. A parameter with several values is
    repeated.
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
class Response:
    """A response of the server, with lower-case header names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request. Outcome: the whole Response, or Unreachable."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request. Outcome: the Response, without its body if the status is 2xx, or Unreachable.

    The body is read with Read. Closes the response that the flow had open before.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Read from the open response. Outcome: the next bytes, b"" at the end, or Unreachable."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Run another flow under the lock of this client. Outcome: its result."""

    flow: Generator[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Yield an item to the caller."""

    item: Any


Step = Send | Open | Read | Pause | Exclusive | Emit
Flow = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a step."""

    value: Any = None
    error: Exception | None = None

    def resume(self, flow: Flow[Any]) -> Step | None:
        """Send the outcome to the flow and return its next step, or None at its end."""
        try:
            return flow.send(self.value) if self.error is None else flow.throw(self.error)
        except StopIteration:
            return None


def send(request: Request) -> Flow[Response]:
    """Send a request and return its response."""
    response: Response = yield Send(request)
    return response


def open_(request: Request) -> Flow[Response]:
    """Send a request and return its response, whose body is then read in chunks."""
    response: Response = yield Open(request)
    return response


def read() -> Flow[bytes]:
    """Return the next chunk of the open response; b"" at its end."""
    chunk: bytes = yield Read()
    return chunk


def exclusively(flow: Flow[T]) -> Flow[T]:
    """Run a flow under the lock of this client."""
    result: T = yield Exclusive(flow)
    return result


def emit_result(flow: Flow[Any]) -> Flow[None]:
    """A flow that emits the result of another as its only item."""
    result = yield from flow
    yield Emit(result)


Ask = Callable[[Request], Flow[Response]]
