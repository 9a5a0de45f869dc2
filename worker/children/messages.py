"""What a worker and its child say to each other: a closed set of messages, as data.

Each message is msgpack behind a four-byte big-endian length. Nothing is pickled: a model's odd return
value is an error in the child that made it, never a surprise in the parent.
"""

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

MAX_FROM_CHILD_BYTES: Final = 64 * 1024 * 1024
"""The worker holds a whole message in memory, once for each slot; larger outputs need smaller batches."""

MAX_TO_CHILD_BYTES: Final = 2**32 - 1
"""What the length can say. A payload has its bounds where it is submitted."""

_LENGTH: Final = struct.Struct(">I")


class StopReason(StrEnum):
    """Why a child is asked to stop at its next commit."""

    SOFT_LIMIT = "soft_limit"
    DRAIN = "drain"


class Message(msgspec.Struct, frozen=True, tag=True):
    """One message; its class name is its tag."""


# Worker → child


class Confine(Message, frozen=True):
    """Give up everything but what the jobs to come need; sent once, before the first `Start`.

    `permissions` are values of `Permission`. `files` are all the files that the jobs may read, `scratch` is
    the one folder in which they may write; None if they may not.
    """

    permissions: tuple[str, ...]
    files: tuple[str, ...]
    scratch: str | None


class LocalFile(msgspec.Struct, frozen=True):
    """A file for the handler, and the SHA-256, in hexadecimal, that it must have."""

    path: str
    sha256: str


class Start(Message, frozen=True):
    """Run one attempt at a job.

    `params` and `payload` are JSON as stored with the job. `resume_batch` is the first batch that is not
    committed yet, `done` the number of rows committed before it, of which `errors` have an error instead of
    an output; `checkpoint` is what the handler saved last. `files` are on this machine, by the names under
    which the handler asks for them. `scratch` is a path at which it may make a folder for what it writes.
    """

    job_id: UUID
    attempt: int
    kind: str
    params: bytes
    payload: bytes | None
    total: int | None
    resume_batch: int
    done: int
    checkpoint: bytes | None
    errors: int = 0
    files: dict[str, LocalFile] = {}
    scratch: str | None = None


class Committed(Message, frozen=True):
    """All batches up to and including this index are committed."""

    index: int


class Stop(Message, frozen=True):
    """Stop at the next commit: save a checkpoint and answer `Yielded`."""

    reason: StopReason


# Child → worker


class Ready(Message, frozen=True):
    """The child has started and waits for `Start`; `kinds` are the kinds it has handlers for."""

    kinds: tuple[str, ...]


class Batch(Message, frozen=True):
    """One batch, computed whole: rows `first_row` to `first_row + row_count - 1`, numbered from 0.

    `output` holds one JSON object a line, one line a row, in input order; every line ends in a newline.
    `errors` of them tell of an error. `checkpoint`, if any, replaces the last one in the same commit; a
    large one is `checkpoint_file` instead, the name of a file in the scratch folder. `seconds` is how long
    the batch took to compute. `data` holds JSON values only, and only such as Postgres can store.
    """

    index: int
    first_row: int
    row_count: int
    output: bytes
    step: str
    seconds: float
    checkpoint: bytes | None = None
    checkpoint_file: str | None = None
    data: dict[str, Any] | None = None
    errors: int = 0


class Log(Message, frozen=True):
    """A line for the worker's log."""

    level: str
    text: str


class Done(Message, frozen=True):
    """The handler returned; `result` is the job's result as a JSON object.

    `artifacts` are files in the scratch folder that belong to it, by the names that the handler gave them.
    `is_early` says that what is committed is all there will be, though more was expected.
    """

    result: bytes
    artifacts: dict[str, str] = {}
    is_early: bool = False


class Yielded(Message, frozen=True):
    """The handler stopped because it was asked to; it goes on from its last commit another time."""


class Failed(Message, frozen=True):
    """The handler raised. `traceback` is for the worker's log and for the attempt's record."""

    code: str
    message: str
    is_retryable: bool
    traceback: str


ToChild = Confine | Start | Committed | Stop
FromChild = Ready | Batch | Log | Done | Yielded | Failed

_encode_into = msgspec.msgpack.Encoder().encode_into
decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode


class MessageTooLarge(Exception):
    """The message is larger than a child may send at once; smaller batches help."""


class NotAMessage(Exception):
    """The bytes on the wire are none of our messages."""


def frame(message: ToChild | FromChild) -> bytearray:
    """The bytes of a message on the wire. Raises MessageTooLarge."""
    framed = bytearray(_LENGTH.size)
    _encode_into(message, framed, _LENGTH.size)
    size = len(framed) - _LENGTH.size
    limit = MAX_TO_CHILD_BYTES if isinstance(message, ToChild) else MAX_FROM_CHILD_BYTES
    if size > limit:
        raise MessageTooLarge(f"{type(message).__name__} of {size} bytes, at most {limit}")
    _LENGTH.pack_into(framed, 0, size)
    return framed


M = TypeVar("M")


class MessageReader(Generic[M]):
    """Cuts a stream of bytes into messages."""

    def __init__(self, decode: Callable[[memoryview], M], max_bytes: int) -> None:
        self._decode = decode
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """The messages that these bytes complete. Raises NotAMessage."""
        buffer = self._buffer
        buffer += data
        messages: list[M] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if size > self._max_bytes:
                raise NotAMessage(f"a frame of {size} bytes, at most {self._max_bytes}")
            end = start + _LENGTH.size + size
            if len(buffer) < end:
                break
            with memoryview(buffer) as view, view[start + _LENGTH.size : end] as body:
                messages.append(self._decoded(body))
            start = end
        del buffer[:start]
        return messages

    def _decoded(self, body: memoryview) -> M:
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotAMessage(str(error)) from error
