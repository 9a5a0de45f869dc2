"""The job as its handler sees it: what to do, where to go on, and where to put what was computed."""

import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

import msgspec

from worker.children import encoding, messages
from worker.children.channel import Channel
from worker.children.encoding import NotJson, RowError
from worker.children.messages import (
    Batch,
    Committed,
    Confine,
    Done,
    Log,
    MessageTooLarge,
    Start,
    Stop,
    Yielded,
)

__all__ = [
    "BadInput",
    "Handler",
    "JobContext",
    "JobError",
    "Outcome",
    "Resume",
    "RowError",
    "UnserialisableOutput",
    "Yielded",
]

FREE_SECONDS: Final = 0.020
"""Unacknowledged batches that took less than this to compute are too little work to wait for."""

MAX_UNACKNOWLEDGED: Final = 32

CHECKPOINT_FILE: Final = "checkpoint"
"""The name under which a checkpoint that is a file comes back."""

MAX_SENT_CHECKPOINT_BYTES: Final = 1024 * 1024
"""A larger checkpoint goes by way of a file."""

Outcome: TypeAlias = Mapping[str, Any] | Yielded
"""What a handler returns: the job's result, or `Yielded()` once `stop_requested` said so."""


class JobError(Exception):
    """Ends the attempt with a stable code and a sentence for the job's owner."""

    def __init__(self, code: str, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_retryable = is_retryable


class BadInput(JobError):
    """The params or rows cannot be worked with, now or later; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_input", message, is_retryable=False)


class ArtifactIntegrity(JobError):
    """A file is not the one that was stored; never retried."""

    def __init__(self, name: str) -> None:
        message = f"The file {name!r} is damaged: it does not have the SHA-256 that it was stored with."
        super().__init__("artifact_integrity", message, is_retryable=False)


class UnserialisableOutput(JobError):
    """The handler computed something that is not JSON; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("unserialisable_output", message, is_retryable=False)


@dataclass(frozen=True)
class Resume:
    """Where an attempt begins: nothing done, or what earlier attempts have committed.

    `errors` of the rows done have an error instead of an output.
    """

    batch: int
    done: int
    checkpoint: bytes | None
    errors: int = 0


class JobContext:
    """One attempt at a job. Made for one thread: commit from where the handler runs.

    A batch is one `commit`: some rows, or one epoch. Commits are pipelined. `commit` sends the batch and
    returns, so that the next one is computed while the worker writes, but never with more than one batch
    of real work unacknowledged: that is all a crash can cost. Batches that cost next to nothing
    (`FREE_SECONDS` together) may run ahead further.
    """

    def __init__(self, start: Start, channel: Channel) -> None:
        self.job_id: Final[UUID] = start.job_id
        self.attempt: Final = start.attempt
        self.total: Final = start.total
        self.resume: Final = Resume(start.resume_batch, start.done, _checkpoint(start), start.errors)
        self._start = start
        self._channel = channel
        self._next_batch = start.resume_batch
        self._done = start.done
        self._errors = start.errors
        self._artifacts: dict[str, str] = {}
        self._is_early = False
        self._unacknowledged: deque[tuple[int, float]] = deque()
        self._held: bytearray | None = None
        self._is_closed = False
        self._is_stop_requested = False
        self._computing_since = perf_counter()

    @cached_property
    def params(self) -> dict[str, Any]:
        """The params of the job, as its kind defines them."""
        return msgspec.json.decode(self._start.params, type=dict[str, Any])

    @cached_property
    def payload(self) -> Any:
        """The content that was sent with the job; None if it came without."""
        return None if self._start.payload is None else msgspec.json.decode(self._start.payload)

    def rows(self) -> list[Any]:
        """The payload, which has to be a list. Raises BadInput."""
        if not isinstance(self.payload, list):
            raise BadInput("the job has no list of rows to work on")
        return self.payload

    @property
    def next_batch(self) -> int:
        """The index of the batch that the next `commit` sends."""
        return self._next_batch

    @property
    def done(self) -> int:
        """How many rows all commits so far cover, those of earlier attempts too."""
        return self._done

    @property
    def errors(self) -> int:
        """How many of those rows have an error instead of an output."""
        return self._errors

    def has_file(self, name: str) -> bool:
        """Whether the job has a file of this name."""
        return name in self._start.files

    def file(self, name: str) -> Path:
        """A file of the job, whole, on this machine, to be read only. Raises BadInput, ArtifactIntegrity."""
        if not self.has_file(name):
            raise BadInput(f"the job has no file {name!r}")
        file = self._start.files[name]
        if _sha256(file.path) != file.sha256:
            _sha256.cache_clear()
            raise ArtifactIntegrity(name)
        return Path(file.path)

    @cached_property
    def scratch(self) -> Path:
        """A folder for what this attempt writes; gone when it ends."""
        if self._start.scratch is None:
            raise RuntimeError("this attempt was started without a place for a scratch folder")
        folder = Path(self._start.scratch)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def artifact(self, name: str, path: Path) -> None:
        """Hand over a file in the scratch folder together with the result."""
        self._artifacts[name] = str(path.relative_to(self.scratch))

    def finish_early(self) -> None:
        """Say that what is committed when the handler returns is all, though `total` promised more."""
        self._is_early = True

    @property
    def stop_requested(self) -> bool:
        """Whether to stop here, with what is committed, and return `Yielded()`."""
        while (message := self._channel.receive_nowait()) is not None:
            self._take(message)
        return self._is_stop_requested

    def commit(
        self,
        outputs: Sequence[Any],
        *,
        ids: Sequence[Any] | None = None,
        step: str = "",
        checkpoint: bytes | None = None,
        data: Mapping[str, Any] | None = None,
        is_last: bool = False,
    ) -> None:
        """Hand over one batch: a JSON value, or a RowError, for each row, in input order.

        `ids` are the rows' own names, if they have some. `checkpoint` replaces the last one together with the
        batch; `data` becomes part of the progress event. A batch that `is_last` travels with the handler's
        return, so that both cost the worker one statement: set it when nothing is left to compute. Raises
        UnserialisableOutput, and JobError `message_too_large`.
        """
        if self._is_closed or self._held is not None:
            raise RuntimeError("commit after the last batch or after the end of the handler")
        seconds = perf_counter() - self._computing_since
        errors = sum(isinstance(output, RowError) for output in outputs)
        is_small = checkpoint is None or len(checkpoint) <= MAX_SENT_CHECKPOINT_BYTES
        try:
            batch = Batch(
                index=self._next_batch,
                first_row=self._done,
                row_count=len(outputs),
                output=encoding.json_lines(outputs, self._done, ids),
                step=encoding.plain_text(step),
                seconds=seconds,
                checkpoint=checkpoint if is_small else None,
                checkpoint_file=None if checkpoint is None or is_small else self._written(checkpoint),
                data=None if data is None else encoding.plain_object(data),
                errors=errors,
            )
        except NotJson as error:
            raise UnserialisableOutput(str(error)) from None
        framed = _framed(batch)
        self._unacknowledged.append((self._next_batch, seconds))
        self._next_batch += 1
        self._done += len(outputs)
        self._errors += errors
        if is_last:
            self._held = framed
            return
        self._channel.send(framed)
        while not self._may_compute():
            self._take(self._channel.receive())
        self._computing_since = perf_counter()

    def log(self, text: str, level: str = "info") -> None:
        """Write a line to the worker's log."""
        if not self._is_closed:
            line = Log(level=encoding.plain_text(level), text=encoding.plain_text(text))
            self._channel.send(messages.frame(line))

    def done_with(self, result: bytes) -> Done:
        """The message that tells of the handler's return."""
        return Done(result=result, artifacts=self._artifacts, is_early=self._is_early)

    def close(self) -> bytes | bytearray:
        """End the conversation, and give back the last batch if it still waits to be sent."""
        self._is_closed = True
        return self._held or b""

    def _written(self, checkpoint: bytes) -> str:
        name = f"checkpoint-{self._next_batch}"
        (self.scratch / name).write_bytes(checkpoint)
        return name

    def _may_compute(self) -> bool:
        waiting = self._unacknowledged
        if len(waiting) <= 1:
            return True
        return len(waiting) < MAX_UNACKNOWLEDGED and sum(seconds for _, seconds in waiting) < FREE_SECONDS

    def _take(self, message: messages.ToChild) -> None:
        match message:
            case Committed(index=index):
                while self._unacknowledged and self._unacknowledged[0][0] <= index:
                    self._unacknowledged.popleft()
            case Stop():
                self._is_stop_requested = True
            case Start() | Confine():
                raise RuntimeError("the worker started a job in the middle of another")
            case never:
                assert_never(never)


Handler: TypeAlias = Callable[[JobContext], Outcome | Coroutine[Any, Any, Outcome]]
"""The function that does a kind of job. It may block, crash or loop; the worker does not notice."""


def _checkpoint(start: Start) -> bytes | None:
    file = start.files.get(CHECKPOINT_FILE)
    return start.checkpoint if file is None else Path(file.path).read_bytes()


# Files in storage never change, and a child is asked for the same ones again and again.
@lru_cache(maxsize=64)
def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _framed(batch: Batch) -> bytearray:
    try:
        return messages.frame(batch)
    except MessageTooLarge as error:
        raise JobError("message_too_large", f"{error}; use smaller batches", is_retryable=False) from None
