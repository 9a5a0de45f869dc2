"""The protocol between a worker and its child: a closed set of messages.

Each message is msgpack, preceded by its length as four bytes, big-endian. Nothing is pickled, so a value
that a handler returns cannot run code in the worker.
"""

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

MAX_FROM_CHILD_BYTES: Final = 64 * 1024 * 1024
"""The worker holds a whole message in memory for each slot. Larger outputs need smaller batches."""

MAX_TO_CHILD_BYTES: Final = 2**32 - 1
"""The largest length that four bytes can hold. The API limits payloads."""

_LENGTH: Final = struct.Struct(">I")


class StopReason(StrEnum):
    """Why a child is asked to stop at its next commit."""

    SOFT_LIMIT = "soft_limit"
    DRAIN = "drain"


class Phase(StrEnum):
    """A part of an attempt that traces show on its own."""

    LOAD_MODEL = "load model"
    TRAIN = "train"
    PREDICT = "predict"


class Message(msgspec.Struct, frozen=True, tag=True):
    """One message; its class name is its tag."""


# Worker → child


class Confine(Message, frozen=True):
    """Apply the sandbox. Sent once, before the first `Start`.

    `permissions` are values of `Permission`. `files` are all files that jobs of this child may read.
    `scratch` is the only folder in which they may write; None if they may not write.
    """

    permissions: tuple[str, ...]
    files: tuple[str, ...]
    scratch: str | None


class LocalFile(msgspec.Struct, frozen=True):
    """A file for the handler, and its expected SHA-256 in hexadecimal."""

    path: str
    sha256: str


class Start(Message, frozen=True):
    """Run one attempt at a job.

    `params` and `payload` are JSON as stored with the job. `resume_batch` is the first batch to compute,
    `done` the number of rows committed before it, `errors` how many of those have an error instead of an
    output, and `checkpoint` the last committed checkpoint. `files` are local files, by the names that the
    handler uses for them. `scratch` is where the handler may create its scratch folder; None if it may not
    write. Phases are reported only if the attempt `is_traced`. `failures` is how many attempts have failed.
    The stacks of an attempt that `is_profiled` are sampled.
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
    is_traced: bool = False
    failures: int = 0
    is_profiled: bool = False


class Committed(Message, frozen=True):
    """All batches up to and including this index are committed."""

    index: int


class Stop(Message, frozen=True):
    """Stop at the next commit and answer `Yielded`."""

    reason: StopReason


# Child → worker


class Ready(Message, frozen=True):
    """The child has started. `kinds` are the kinds of jobs that it has handlers for."""

    kinds: tuple[str, ...]


class Batch(Message, frozen=True):
    """One computed batch: rows `first_row` to `first_row + row_count - 1`, numbered from 0.

    `output` holds one line for each row, in input order: a JSON object and a newline. `errors` of the rows
    have an error. `checkpoint` replaces the previous one in the same transaction; a large one is in
    `checkpoint_file` instead, a file in the scratch folder. `seconds` is the time to compute the batch.
    `data` is for the progress event and holds only JSON that Postgres can store.
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


class PhaseStarted(Message, frozen=True):
    """The handler has begun with a phase. `at_ns` are nanoseconds since 1970. Phases follow each other."""

    phase: Phase
    at_ns: int


class PhaseEnded(Message, frozen=True):
    """The phase that began last is over. `rows` is what it worked through, if it counts rows."""

    at_ns: int
    rows: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """What the attempt used: processor time, and peak resident memory where the kernel can measure it.

    `process_cpu_seconds` is the processor time of the child since its fork. Both times include those of the
    processes that it has started and reaped.
    """

    cpu_seconds: float
    memory_peak_bytes: int | None
    process_cpu_seconds: float


class Done(Message, frozen=True):
    """The handler returned. `result` is the result of the job, a JSON object.

    `artifacts` are its files: paths in the scratch folder by name. `is_early` means that the job is
    complete with fewer batches than expected. `profile` is the file in the scratch folder that holds the
    profile of the attempt. The messages below have `usage` and `profile` too.
    """

    result: bytes
    artifacts: dict[str, str] = {}
    is_early: bool = False
    usage: Usage | None = None
    profile: str | None = None


class Yielded(Message, frozen=True):
    """The handler stopped on request. A later attempt resumes after its last commit.

    A handler that runs in the worker may stop by itself, and then the job waits for `delay_seconds`.
    """

    delay_seconds: float = 0.0
    usage: Usage | None = None
    profile: str | None = None


class Failed(Message, frozen=True):
    """The handler raised. `traceback` goes into the worker's log and the record of the attempt."""

    code: str
    message: str
    is_retryable: bool
    traceback: str
    usage: Usage | None = None
    profile: str | None = None


ToChild = Confine | Start | Committed | Stop
FromChild = Ready | Batch | Log | PhaseStarted | PhaseEnded | Done | Yielded | Failed

_encode_into = msgspec.msgpack.Encoder().encode_into
decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode


class MessageTooLarge(Exception):
    """The message exceeds the size limit; smaller batches help."""


class NotAMessage(Exception):
    """The received bytes are not a valid message."""


def frame(message: ToChild | FromChild) -> bytearray:
    """Encode a message with its length prefix. Raises MessageTooLarge."""
    framed = bytearray(_LENGTH.size)
    _encode_into(message, framed, _LENGTH.size)
    size = len(framed) - _LENGTH.size
    limit = MAX_TO_CHILD_BYTES if isinstance(message, ToChild) else MAX_FROM_CHILD_BYTES
    if size > limit:
        raise MessageTooLarge(f"the message {type(message).__name__} has {size} bytes; the limit is {limit}")
    _LENGTH.pack_into(framed, 0, size)
    return framed


M = TypeVar("M")


class MessageReader(Generic[M]):
    """Decodes a stream of bytes into messages."""

    def __init__(self, decode: Callable[[memoryview], M], max_bytes: int) -> None:
        self._decode = decode
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Return the messages that these bytes complete. Raises NotAMessage."""
        buffer = self._buffer
        buffer += data
        messages: list[M] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if size > self._max_bytes:
                raise NotAMessage(f"a message of {size} bytes exceeds the limit of {self._max_bytes}")
            end = start + _LENGTH.size + size
            if len(buffer) < end:
                break
            with memoryview(buffer) as view, view[start + _LENGTH.size : end] as body:
                messages.append(self._decode_body(body))
            start = end
        del buffer[:start]
        return messages

    def _decode_body(self, body: memoryview) -> M:
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotAMessage(str(error)) from error
