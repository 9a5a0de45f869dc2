"""The child process: confines itself as it is told, then runs jobs and reports how each of them ended."""

import asyncio
import inspect
import resource
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from traceback import TracebackException
from typing import Final, assert_never

import psutil

from app.core.sandbox import confinement
from app.core.sandbox.permissions import Permission
from worker import context
from worker.children import encoding, messages
from worker.children.channel import Channel
from worker.children.encoding import NotJson
from worker.children.messages import (
    Committed,
    Confine,
    Done,
    Failed,
    MessageTooLarge,
    Ready,
    Start,
    Stop,
    Yielded,
)
from worker.context import Handler, JobContext, JobError, UnserialisableOutput

DATA_LIMIT_FACTOR: Final = 1.5
"""How far above the memory limit the kernel itself refuses memory.

The limit proper is on what is resident, and is watched by the worker. The kernel counts what is reserved,
which harmless programs do lavishly; but it does stop the one allocation that is too large at once. What the
libraries have reserved before the first job does not count.
"""

_OUR_FRAMES: Final = (__file__, context.__file__, f"{Path(asyncio.__file__).parent}/")


class Limits:
    """What this process was told that it may take; nothing before it is limited, or outside of a child."""

    memory_bytes: int | None = None


def limit(*, memory_bytes: int, max_file_bytes: int, max_processes: int | None) -> None:
    """Bound what this process can take of its machine. A limit once lowered cannot be raised by a handler.

    `max_processes` counts the processes and threads of this user, ours or not.
    """
    Limits.memory_bytes = memory_bytes
    confinement.limit_files(max_file_bytes)
    if max_processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (max_processes, max_processes))
    if sys.platform == "linux":  # elsewhere the kernel does not count mapped memory
        limit = psutil.Process().memory_info().data + int(memory_bytes * DATA_LIMIT_FACTOR)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def serve(connection: socket.socket, handlers: Mapping[str, Handler], installed: Iterable[Path]) -> None:
    """Run what the worker sends, until the worker is gone; nothing before this process is confined."""
    channel = Channel(connection)
    prepared = confinement.Confinement(installed)
    channel.send(messages.frame(Ready(kinds=tuple(handlers))))
    is_confined = False
    while True:
        match channel.receive():
            case Confine() as limits:
                prepared.apply(
                    frozenset(map(Permission, limits.permissions)),
                    files=map(Path, limits.files),
                    scratch=None if limits.scratch is None else Path(limits.scratch),
                )
                is_confined = True
            case Start() as start:
                if not is_confined:
                    raise RuntimeError("the worker sent a job before the confinement")
                channel.send(_run(start, channel, handlers))
            case Committed() | Stop():
                pass  # meant for the job that has just ended
            case never:
                assert_never(never)


def _run(start: Start, channel: Channel, handlers: Mapping[str, Handler]) -> bytes | bytearray:
    """Run one attempt; the frames that tell of its end."""
    job = JobContext(start, channel)
    try:
        ending = messages.frame(_attempt(job, start.kind, handlers))
    except BaseException as error:  # whatever a handler raises ends its attempt, never the child
        ending = messages.frame(_failure(error))
    return job.close() + ending


def _attempt(job: JobContext, kind: str, handlers: Mapping[str, Handler]) -> Done | Yielded:
    handler = handlers.get(kind)
    if handler is None:
        raise JobError("unknown_kind", f"this worker has no handler for {kind}")
    outcome = handler(job)
    if inspect.iscoroutine(outcome):
        outcome = asyncio.run(outcome)
    if isinstance(outcome, Yielded):
        if not job.stop_requested:
            raise RuntimeError("the handler yielded, but nobody asked it to stop")
        return outcome
    try:
        return job.done_with(encoding.json_object(outcome))
    except NotJson as error:
        raise UnserialisableOutput(f"the result: {error}") from None


def _failure(error: BaseException) -> Failed:
    match error:
        case JobError():
            code, message, is_retryable = str(error.code), str(error.message), bool(error.is_retryable)
        case MemoryError():
            code, message, is_retryable = "memory_limit", "The attempt ran out of memory.", True
        case MessageTooLarge():
            code, message, is_retryable = "message_too_large", f"the result: {error}", False
        case SystemExit() | KeyboardInterrupt():
            code, message, is_retryable = "handler_exit", f"The handler raised {_described(error)}.", True
        case _:
            code, message, is_retryable = "handler_error", _described(error), True
    return Failed(
        code=encoding.plain_text(code),
        message=encoding.plain_text(message),
        is_retryable=is_retryable,
        traceback=_traceback(error),
    )


def _described(error: BaseException) -> str:
    # Unlike str(), it survives an exception whose own __str__ raises.
    return "".join(TracebackException(type(error), error, None).format_exception_only()).strip()


def _traceback(error: BaseException) -> str:
    """The end of the traceback, without our own frames: it is for whoever wrote the handler."""
    try:
        described = TracebackException.from_exception(error)
        _forget_our_frames(described)
        text = "".join(described.format())
    except (MemoryError, RecursionError):
        return ""
    return encoding.plain_text(text[-encoding.MAX_TEXT_CHARACTERS :])


def _forget_our_frames(described: TracebackException | None) -> None:
    if described is None:
        return
    described.stack[:] = [frame for frame in described.stack if not frame.filename.startswith(_OUR_FRAMES)]
    for part in (described.__cause__, described.__context__, *(described.exceptions or ())):
        _forget_our_frames(part)
