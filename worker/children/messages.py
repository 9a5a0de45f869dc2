"""The protocol between a worker and its child: a closed set of messages.

Nothing is pickled, so a value that a handler returns cannot run code in the worker.
"""

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from worker import framing
from worker.framing import Message

MAX_FROM_CHILD_BYTES: Final = 64 * 1024 * 1024
"""The worker holds a whole message in memory for each slot. Larger outputs need smaller batches."""

MAX_TO_CHILD_BYTES: Final = framing.MAX_BYTES
"""The API limits payloads."""


class StopReason(StrEnum):
    """Why a child is asked to stop at its next commit."""

    SOFT_LIMIT = "soft_limit"
    DRAIN = "drain"


class Phase(StrEnum):
    """A part of an attempt that traces show on its own."""

    LOAD_MODEL = "load model"
    TRAIN = "train"
    PREDICT = "predict"


# Worker → child


class Confine(Message, frozen=True):
    """Apply the sandbox. Sent once, before the first `Start`.

    `permissions` are values of `Permission`. `files` are all files that jobs of this child may read.
    `scratch` is the only folder in which they may write; None if they may not write. `gpus` are those that
    they may use, as in CUDA_VISIBLE_DEVICES; empty for those that the environment shows, None for none.
    """

    permissions: tuple[str, ...]
    files: tuple[str, ...]
    scratch: str | None
    gpus: str | None = None
    onnx_cuda: bool = False


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
    The stacks of an attempt that `is_profiled` are sampled. A shard computes the `total` rows of its dataset
    from `first_row` on, and numbers them from 0; None for any other job.
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
    files: dict[str, LocalFile] = msgspec.field(default_factory=dict)
    scratch: str | None = None
    is_traced: bool = False
    failures: int = 0
    is_profiled: bool = False
    first_row: int | None = None


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
    """A line for the log of the job, and for the worker's own."""

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
    artifacts: dict[str, str] = msgspec.field(default_factory=dict)
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

decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode


def frame(message: ToChild | FromChild) -> bytearray:
    """Encode a message with its length before it. Raises MessageTooLarge."""
    limit = MAX_TO_CHILD_BYTES if isinstance(message, ToChild) else MAX_FROM_CHILD_BYTES
    return framing.frame(message, limit)
