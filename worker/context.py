"""The handler's interface to its job: read params and rows, resume, commit batches, hand over files."""

import hashlib
import io
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any, BinaryIO, Final, TypeAlias, assert_never
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
    Phase,
    PhaseEnded,
    PhaseStarted,
    Start,
    Stop,
    Yielded,
)
from worker.framing import MessageTooLarge

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

RUN_AHEAD_SECONDS: Final = 0.020
"""A handler runs ahead while its unacknowledged batches together took less than this to compute."""

MAX_UNACKNOWLEDGED: Final = 32

CHECKPOINT_FILE: Final = "checkpoint"
"""The name of the job file that holds a checkpoint too large for a message."""

ONNX_CUDA: Final = "HEADRACE_ONNX_CUDA"
"""The environment variable by which a child knows that ONNX models run on the GPUs of its slot."""

MAX_INLINE_CHECKPOINT_BYTES: Final = 1024 * 1024
"""A larger checkpoint is written to a file in the scratch folder."""

Outcome: TypeAlias = Mapping[str, Any] | Yielded
"""What a handler returns: the result of the job, or `Yielded()` after `stop_requested` was true."""


class JobError(Exception):
    """Fails the attempt. The owner of the job sees `code`, which is stable, and `message`, one sentence."""

    def __init__(self, code: str, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_retryable = is_retryable


class BadInput(JobError):
    """The params or rows are invalid; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_input", message, is_retryable=False)


class ArtifactIntegrity(JobError):
    """A file does not have the SHA-256 with which it was stored; never retried."""

    def __init__(self, name: str) -> None:
        super().__init__("artifact_integrity", damaged(name), is_retryable=False)


class UnserialisableOutput(JobError):
    """An output or the result cannot be stored as JSON; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("unserialisable_output", message, is_retryable=False)


@dataclass(frozen=True)
class Resume:
    """Where an attempt resumes: after `batch` committed batches and `done` committed rows, both 0 at first.

    `errors` of those rows have an error instead of an output. `stored` is the last checkpoint, or its file if
    it is large.
    """

    batch: int
    done: int
    stored: bytes | Path | None
    errors: int = 0

    @property
    def checkpoint(self) -> bytes | None:
        """The last committed checkpoint."""
        return self.stored.read_bytes() if isinstance(self.stored, Path) else self.stored

    def open_checkpoint(self) -> BinaryIO | None:
        """Open the last committed checkpoint, which may be larger than memory; None if there is none."""
        if isinstance(self.stored, Path):
            return self.stored.open("rb")
        return None if self.stored is None else io.BytesIO(self.stored)


class JobContext:
    """One attempt at a job. Not thread-safe: call it from the thread that runs the handler.

    Each `commit` sends one batch: some rows, or one epoch. Commits are pipelined: `commit` returns once the
    batch is sent, so that the handler computes the next one while the worker writes. At most one batch is
    unacknowledged, which bounds what a crash can lose. Batches that together took less than
    `RUN_AHEAD_SECONDS` may run further ahead, up to `MAX_UNACKNOWLEDGED`.

    A shard computes the `total` rows of its dataset from `first_row` on, numbered from 0; that is None for
    any other job.
    """

    def __init__(self, start: Start, channel: Channel) -> None:
        self.job_id: Final[UUID] = start.job_id
        self.attempt: Final = start.attempt
        self.total: Final = start.total
        self.first_row: Final = start.first_row
        self.resume: Final = Resume(start.resume_batch, start.done, _checkpoint(start), start.errors)
        self._start = start
        self._channel = channel
        self._next_batch = start.resume_batch
        self._done = start.done
        self._errors = start.errors
        self._artifacts: dict[str, str] = {}
        self._is_early = False
        self._unacknowledged: deque[tuple[int, float]] = deque()
        self._moved: deque[tuple[int, Path]] = deque()
        self._last_batch: bytearray | None = None
        self._is_closed = False
        self._is_stop_requested = False
        self._computing_since = perf_counter()

    @cached_property
    def params(self) -> dict[str, Any]:
        """The params of the job, as its kind defines them."""
        return msgspec.json.decode(self._start.params, type=dict[str, Any])

    @cached_property
    def payload(self) -> Any:
        """The content submitted with the job; None without any."""
        return None if self._start.payload is None else msgspec.json.decode(self._start.payload)

    def rows(self) -> list[Any]:
        """Return the payload as a list of rows. Raises BadInput if it is not a list."""
        if not isinstance(self.payload, list):
            raise BadInput("the job has no rows: its payload is not a list")
        return self.payload

    @property
    def next_batch(self) -> int:
        """The index of the batch that the next `commit` sends."""
        return self._next_batch

    @property
    def done(self) -> int:
        """The number of rows committed so far, including earlier attempts."""
        return self._done

    @property
    def errors(self) -> int:
        """How many of those rows have an error instead of an output."""
        return self._errors

    def has_file(self, name: str) -> bool:
        """Return whether the job has a file of this name."""
        return name in self._start.files

    def file(self, name: str) -> Path:
        """Return the local path of a file of the job (read-only). Raises BadInput, ArtifactIntegrity."""
        if not self.has_file(name):
            raise BadInput(f"the job has no file {name!r}")
        file = self._start.files[name]
        if _sha256(file.path) != file.sha256:
            _sha256.cache_clear()
            raise ArtifactIntegrity(name)
        return Path(file.path)

    @cached_property
    def scratch(self) -> Path:
        """The scratch folder, created on first use. The worker removes it at the end of the attempt."""
        if self._start.scratch is None:
            raise RuntimeError("this kind of job may not write files: it declares writes_files=False")
        folder = Path(self._start.scratch)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def artifact(self, name: str, path: Path) -> None:
        """Store a file from the scratch folder with the result, under this name."""
        self._artifacts[name] = str(path.relative_to(self.scratch))

    def finish_early(self) -> None:
        """Declare that the job is complete when the handler returns, with fewer batches than `total` says."""
        self._is_early = True

    @property
    def stop_requested(self) -> bool:
        """Whether the worker asks the handler to stop. Return `Yielded()` then; a later attempt resumes."""
        while (message := self._channel.receive_nowait()) is not None:
            self._handle(message)
        return self._is_stop_requested

    def commit(
        self,
        outputs: Sequence[Any],
        *,
        ids: Sequence[Any] | None = None,
        step: str = "",
        checkpoint: bytes | Path | None = None,
        data: Mapping[str, Any] | None = None,
        is_last: bool = False,
    ) -> None:
        """Commit one batch: a JSON value or a RowError for each row, in input order.

        `ids` are the rows' own ids, if they have some. `checkpoint` replaces the previous one in the same
        transaction; a file of the scratch folder is moved. `data` becomes part of the progress event. Set
        `is_last` when nothing is left to compute: the worker then writes the batch and the result in one
        statement. Raises UnserialisableOutput, and JobError `message_too_large`.
        """
        if self._is_closed or self._last_batch is not None:
            raise RuntimeError("commit was called after the last batch or after the handler returned")
        seconds = perf_counter() - self._computing_since
        errors = list(map(type, outputs)).count(RowError)
        inline, name = (None, None) if checkpoint is None else self._store(checkpoint)
        try:
            batch = Batch(
                index=self._next_batch,
                first_row=self._done,
                row_count=len(outputs),
                output=encoding.json_lines(outputs, (self.first_row or 0) + self._done, ids),
                step=encoding.plain_text(step),
                seconds=seconds,
                checkpoint=inline,
                checkpoint_file=name,
                data=None if data is None else encoding.plain_object(data),
                errors=errors,
            )
        except NotJson as error:
            raise UnserialisableOutput(str(error)) from None
        framed = _frame(batch)
        self._unacknowledged.append((self._next_batch, seconds))
        self._next_batch += 1
        self._done += len(outputs)
        self._errors += errors
        if is_last:
            self._last_batch = framed
            return
        self._channel.send(framed)
        while not self._may_run_ahead():
            self._handle(self._channel.receive())
        self._computing_since = perf_counter()

    @contextmanager
    def phase(self, phase: Phase, *, rows: int | None = None) -> Iterator[None]:
        """Show the body as its own span in the attempt's trace. Sends nothing if the attempt is not traced.

        `rows` is how many it works through; by default those that it commits.
        """
        if not self._start.is_traced:
            yield
            return
        done = self._done
        self._channel.send(messages.frame(PhaseStarted(phase, time_ns())))
        try:
            yield
        finally:
            counted = self._done - done if rows is None else rows
            self._channel.send(messages.frame(PhaseEnded(time_ns(), counted)))

    def log(self, text: str, level: str = "info") -> None:
        """Write a line to the log of the job, which its owner reads: at most 8000 characters.

        Levels are `debug`, `info`, `warning` and `error`. The log keeps the last 10 000 lines. A line is sent
        at once, and stored within about a second.
        """
        if not self._is_closed:
            line = Log(level=encoding.plain_text(level), text=encoding.plain_text(text))
            self._channel.send(messages.frame(line))

    def done_message(self, result: bytes) -> Done:
        """Return the message that reports the handler's result, a JSON object."""
        return Done(result=result, artifacts=self._artifacts, is_early=self._is_early)

    def close(self) -> bytes | bytearray:
        """Refuse further commits. Returns the frame of the last batch if it still has to be sent."""
        self._is_closed = True
        return self._last_batch or b""

    def _store(self, checkpoint: bytes | Path) -> tuple[bytes | None, str | None]:
        """Return a checkpoint as bytes if it is small, and otherwise the name of its file."""
        name = f"checkpoint-{self._next_batch}"
        if isinstance(checkpoint, Path):
            if checkpoint.stat().st_size <= MAX_INLINE_CHECKPOINT_BYTES:
                return checkpoint.read_bytes(), None
            # It may be large: it is deleted once the worker has stored it.
            self._moved.append((self._next_batch, checkpoint.rename(self.scratch / name)))
        else:
            if len(checkpoint) <= MAX_INLINE_CHECKPOINT_BYTES:
                return checkpoint, None
            (self.scratch / name).write_bytes(checkpoint)
        return None, name

    def _may_run_ahead(self) -> bool:
        pending = self._unacknowledged
        if len(pending) <= 1:
            return True
        return (
            len(pending) < MAX_UNACKNOWLEDGED and sum(seconds for _, seconds in pending) < RUN_AHEAD_SECONDS
        )

    def _handle(self, message: messages.ToChild) -> None:
        match message:
            case Committed(index=index):
                while self._unacknowledged and self._unacknowledged[0][0] <= index:
                    self._unacknowledged.popleft()
                while self._moved and self._moved[0][0] <= index:
                    self._moved.popleft()[1].unlink(missing_ok=True)
            case Stop():
                self._is_stop_requested = True
            case Start() | Confine():
                raise RuntimeError(f"the worker sent {type(message).__name__} while a job was running")
            case never:
                assert_never(never)


Handler: TypeAlias = Callable[[JobContext], Outcome | Coroutine[Any, Any, Outcome]]
"""The function that runs jobs of one kind. It may block or crash, since it runs in a child process."""


def _checkpoint(start: Start) -> bytes | Path | None:
    file = start.files.get(CHECKPOINT_FILE)
    return start.checkpoint if file is None else Path(file.path)


def damaged(name: str) -> str:
    """Return what the owner of a job is told about a damaged file."""
    return f"The file {name!r} is damaged: its SHA-256 is not the one recorded when it was stored."


# Cached, because stored files never change and a child opens the same ones for many jobs.
@lru_cache(maxsize=64)
def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _frame(batch: Batch) -> bytearray:
    try:
        return messages.frame(batch)
    except MessageTooLarge as error:
        raise JobError("message_too_large", f"{error}; use smaller batches", is_retryable=False) from None
