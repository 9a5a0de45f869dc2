"""Runs a handler of ours in the worker's own process, behind the same face as a child process.

For kinds that need credentials or a network, which no child has, and that run no code and read no file of a
user. Plugins cannot add any.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from traceback import TracebackException
from types import TracebackType
from typing import Any, Final, Self, TypeVar, assert_never
from uuid import UUID

import msgspec

from app.jobs.transition_types import NOT_MEASURED
from worker.children import encoding
from worker.children.encoding import NotJson
from worker.children.errors import ChildDied, KillReason
from worker.children.messages import (
    Committed,
    Confine,
    Done,
    Failed,
    FromChild,
    Start,
    Stop,
    ToChild,
    Yielded,
)
from worker.context import BadInput, JobError, Outcome, UnserialisableOutput

T = TypeVar("T")

End = Done | Yielded | Failed


@dataclass
class InsideJob:
    """One attempt at a job whose handler runs in the worker. `failures` is how many attempts have failed."""

    id: UUID
    attempt: int
    failures: int
    params: bytes
    payload: bytes | None
    is_stop_requested: bool = field(default=False, init=False)

    def read_params(self, type_: type[T]) -> T:
        """Return the params of the job. Raises BadInput."""
        return _decode(self.params, type_)

    def read_row(self, type_: type[T]) -> T:
        """Return the only row of the payload. Raises BadInput."""
        [row] = _decode(self.payload or b"[]", tuple[type_])  # type: ignore[valid-type]  # checked by msgspec
        return row


InsideHandler = Callable[[InsideJob], Awaitable[Outcome]]
"""A handler that runs in the worker: it must wait for nothing longer than its time limit, and not compute."""


class InsideChild:
    """One attempt at a job, run by a task of the worker. An async context manager that ends the task."""

    pid: Final = os.getpid()
    folder: Final = None
    measurements: Final = NOT_MEASURED
    """Its processor time and memory are those of the worker, which runs other tasks at the same time."""

    def __init__(self, handler: InsideHandler) -> None:
        self.kill_reason: KillReason | None = None
        self._handler = handler
        self._job: InsideJob | None = None
        self._task: asyncio.Task[End] | None = None
        self._killed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def send(self, message: ToChild) -> None:
        """Start the handler, or tell it to stop. Other messages mean nothing here."""
        match message:
            case Start():
                self._job = InsideJob(
                    message.job_id, message.attempt, message.failures, message.params, message.payload
                )
                self._task = asyncio.create_task(_run(self._handler, self._job))
                if self._killed.is_set():
                    self._task.cancel()
            case Stop():
                if self._job is not None:
                    self._job.is_stop_requested = True
            case Committed():
                pass
            case Confine():
                raise RuntimeError("a handler in the worker cannot be confined")
            case never:
                assert_never(never)

    async def receive(self) -> FromChild:
        """Wait for the end of the handler and return it. Raises ChildDied if it was killed first."""
        if self._task is None:
            raise RuntimeError("no job was started")
        await asyncio.wait((self._task,))
        if self._task.cancelled():
            raise self._died()
        return self._task.result()

    def receive_nowait(self) -> FromChild | None:
        """Return None: the only message is the end, for which `receive` waits."""
        return None

    async def wait_at_most(self, seconds: float) -> bool:
        """Return False, as there are no batches after which a further message would come."""
        return False

    def left_unread(self) -> AbstractContextManager[None]:
        """Do nothing: there is nothing to read."""
        return nullcontext()

    async def poll(self) -> None:
        """Do nothing, as above."""

    async def run_while_alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` and return its result. If the attempt is killed first, raises ChildDied."""
        task, killed = asyncio.ensure_future(work), asyncio.ensure_future(self._killed.wait())
        try:
            await asyncio.wait((task, killed), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self._died()
            return await task
        finally:
            for pending in (task, killed):
                pending.cancel()
            await asyncio.wait((task, killed))

    def kill(self, reason: KillReason) -> None:
        """Stop the handler at once. `receive` then raises ChildDied, unless the handler has ended before."""
        if self.kill_reason is None and (self._task is None or not self._task.done()):
            self.kill_reason = reason
            self._killed.set()
            if self._task is not None:
                self._task.cancel()

    def _died(self) -> ChildDied:
        return ChildDied(self.pid, self.kill_reason, -signal.SIGKILL)


async def _run(handler: InsideHandler, job: InsideJob) -> End:
    try:
        outcome = await handler(job)
        if isinstance(outcome, Yielded):
            return outcome
        return Done(result=_result(outcome))
    except JobError as error:
        return Failed(error.code, encoding.plain_text(error.message), error.is_retryable, "")
    except Exception as error:  # a bug of ours fails the attempt, not the worker
        described = TracebackException.from_exception(error)
        message = "".join(described.format_exception_only()).strip()
        traceback = "".join(described.format())[-encoding.MAX_TEXT_CHARACTERS :]
        return Failed("handler_error", encoding.plain_text(message), True, encoding.plain_text(traceback))


def _result(outcome: object) -> bytes:
    try:
        return encoding.json_object(outcome)
    except NotJson as error:
        raise UnserialisableOutput(f"the result: {error}") from None


def _decode(content: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=type_)
    except msgspec.MsgspecError as error:
        raise BadInput(str(error)) from None
