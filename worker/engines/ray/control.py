"""The protocol between a worker and a host: a closed set of messages.

A host opens one *control connection* to its worker and, for each child, one *data connection*. Both begin
with `Hello`. The host passes a data connection to the child, which speaks the messages of a child over it.

Nothing is pickled, and the worker decodes nothing but `FromHost`: a host in the hands of a user's file can
spoil the jobs that it runs, and nothing else. A request carries a number, which its answer repeats. Blocks of
files are answered one by one, so neither end holds more than one of them.
"""

import socket
from enum import StrEnum
from typing import Final

import msgspec

from worker.framing import Message

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""How much of a file is in one message."""

MAX_FROM_HOST_BYTES: Final = BLOCK_BYTES + 64 * 1024
"""The largest message of a host: a block of a file."""

MAX_TO_HOST_BYTES: Final = 16 * 1024 * 1024
"""The largest message of a worker: the names of the files that a child keeps."""

MAX_HELLO_BYTES: Final = 256

SECRET_SECONDS: Final = 60.0
"""How long a secret is valid."""

KEEPALIVE_SECONDS: Final = 15
"""After this time without an answer from its machine, a connection is lost."""


class Hello(Message, frozen=True):
    """The first message on each connection. The secret says what the connection is for."""

    secret: str
    version: str


# Worker → host


class Setup(Message, frozen=True):
    """Start the fork server. The first message after the `Hello` of a host."""

    request: int
    handlers: str
    plugins: tuple[str, ...]
    preload: tuple[str, ...]
    memory_limit_bytes: int
    max_file_bytes: int
    max_scratch_bytes: int
    cache_bytes: int


class Fork(Message, frozen=True):
    """Fork a child, on a data connection that begins with this secret."""

    request: int
    child: int
    secret: str


class Kill(Message, frozen=True):
    """Kill a child and all that it has started. Answered by `Exited`."""

    child: int


class Bring(Message, frozen=True):
    """Keep a file for a child. Answered by its path, or by None if the node does not have it."""

    request: int
    child: int
    sha256: str
    size: int


class Write(Message, frozen=True):
    """Append a block to a file that the node does not have yet."""

    request: int
    child: int
    sha256: str
    data: bytes


class Seal(Message, frozen=True):
    """The file is complete: check its SHA-256, and keep it for the child. Answered by its path."""

    request: int
    child: int
    sha256: str


class Keep(Message, frozen=True):
    """Keep files for another child. Answered by the paths of those that are still there."""

    request: int
    child: int
    paths: tuple[str, ...]


class CreateFolder(Message, frozen=True):
    """Create the folder of a child. Answered by its path."""

    request: int
    child: int


class Clear(Message, frozen=True):
    """Remove everything in the folder of a child."""

    request: int
    child: int


class Open(Message, frozen=True):
    """Open a file below the folder of a child, to read it. Answered by a number for it."""

    request: int
    child: int
    name: str


class Read(Message, frozen=True):
    """Read the next block of an open file. Answered by the block, which is empty at the end."""

    request: int
    file: int


class Close(Message, frozen=True):
    """Close an open file."""

    file: int


# Host → worker


class Answer(Message, frozen=True):
    """The request has been carried out. It says what it is answered by; the rest is None."""

    request: int
    path: str | None = None
    paths: tuple[str, ...] | None = None
    file: int | None = None
    data: bytes | None = None


class Fault(StrEnum):
    """Why a request could not be carried out."""

    FAILED = "failed"
    """For a reason of the node's: its disk is full, for example."""

    MISSING = "missing"
    """There is no such file, or it is not a regular one."""

    DAMAGED = "damaged"
    """The file does not have its SHA-256."""


class Refusal(Message, frozen=True):
    """The request could not be carried out."""

    request: int
    fault: Fault
    reason: str


class Sample(Message, frozen=True):
    """What a child uses at this moment."""

    child: int
    rss_bytes: int
    cpu_seconds: float
    exceeds_limit: bool


class Exited(Message, frozen=True):
    """A child has exited."""

    child: int
    exit_code: int
    cpu_seconds: float
    peak_bytes: int


Transfer = Bring | Write | Seal | Keep | Open | Read
Request = Setup | Fork | CreateFolder | Clear | Transfer
ToHost = Request | Kill | Close
FromHost = Answer | Refusal | Sample | Exited

decode_hello = msgspec.msgpack.Decoder(Hello).decode
decode_to_host = msgspec.msgpack.Decoder(ToHost).decode
decode_from_host = msgspec.msgpack.Decoder(FromHost).decode


def keep_alive(connection: socket.socket) -> None:
    """Have the kernel find out that the other machine is gone, and send small messages at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS // 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS // 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        # Also while something that was sent is not acknowledged, when no probes are sent.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, KEEPALIVE_SECONDS * 1000)
