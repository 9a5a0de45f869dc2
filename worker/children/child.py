"""The child process: applies its sandbox, then runs jobs one at a time and reports how each ended."""

import asyncio
import os
import resource
import selectors
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from traceback import TracebackException
from types import CoroutineType
from typing import Final, assert_never

import msgspec
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
    Ready,
    Start,
    Stop,
    Yielded,
)
from worker.children.profiler import Profiler
from worker.children.usage import UsageMeter
from worker.context import Handler, JobContext, JobError, UnserialisableOutput
from worker.framing import MessageTooLarge

DATA_LIMIT_FACTOR: Final = 1.5
"""RLIMIT_DATA as a multiple of the memory limit.

The worker enforces the limit itself, on resident memory. The kernel counts reserved memory, of which harmless
programs have a lot, so its limit is higher; it stops a single huge allocation at once. Memory that libraries
reserved before the first job does not count.
"""

_ASYNCIO: Final = f"{Path(asyncio.__file__).parent}/"
_OUR_FRAMES: Final = (__file__, context.__file__, _ASYNCIO)
_BEFORE_HANDLERS: Final = (
    f"{Path(context.__file__).parent}/handlers/__init__.py",
    _ASYNCIO,
    selectors.__file__,
)
"""Files whose frames a profile leaves out where they lead to the handler, or wait for it."""

PROFILE_FILE: Final = ".profile"
"""The name of the file in the scratch folder that holds the profile of an attempt."""


class Limits:
    """The limits of this process. None outside of a child and before `limit` is called."""

    memory_bytes: int | None = None


def limit(*, memory_bytes: int, max_file_bytes: int, max_processes: int | None) -> None:
    """Set the resource limits of this process. A handler cannot raise them again.

    `max_processes` counts all processes and threads of the Unix user, not only ours.
    """
    Limits.memory_bytes = memory_bytes
    confinement.limit_files(max_file_bytes)
    if max_processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (max_processes, max_processes))
    if sys.platform == "linux":  # elsewhere the kernel does not count mapped memory
        limit = psutil.Process().memory_info().data + int(memory_bytes * DATA_LIMIT_FACTOR)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def serve(connection: socket.socket, handlers: Mapping[str, Handler], installed: Iterable[Path]) -> None:
    """Run the jobs that the worker sends, until the worker is gone. Refuses jobs before it is confined."""
    channel = Channel(connection)
    sandbox = confinement.Confinement(installed)
    meter = UsageMeter()
    channel.send(messages.frame(Ready(kinds=tuple(handlers))))
    is_confined = False
    while True:
        match channel.receive():
            case Confine() as limits:
                _show_gpus(limits)
                sandbox.apply(
                    frozenset(map(Permission, limits.permissions)),
                    files=map(Path, limits.files),
                    scratch=None if limits.scratch is None else Path(limits.scratch),
                    uses_gpus=limits.gpus is not None,
                )
                is_confined = True
            case Start() as start:
                if not is_confined:
                    raise RuntimeError("the worker sent a job before it confined this process")
                channel.send(_run(start, channel, handlers, meter))
            case Committed() | Stop():
                pass  # was sent to the job that has just ended
            case never:
                assert_never(never)


def _show_gpus(limits: Confine) -> None:
    """Set what CUDA and the runtimes read from the environment when a model first uses a GPU."""
    if limits.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = limits.gpus
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the numbers that nvidia-smi shows
    if limits.onnx_cuda:
        os.environ[context.ONNX_CUDA] = "true"


def _run(
    start: Start, channel: Channel, handlers: Mapping[str, Handler], meter: UsageMeter
) -> bytes | bytearray:
    """Run one attempt and return the frames that report its end."""
    job = JobContext(start, channel)
    meter.start()
    profiler = _start_profiler(start)
    try:
        end = messages.frame(_finished(_call_handler(job, start.kind, handlers), job, meter, profiler))
    except BaseException as error:  # including SystemExit: an attempt may fail, the child continues
        end = messages.frame(_finished(_failure(error), job, meter, profiler))
    return job.close() + end


def _finished(
    end: Done | Yielded | Failed, job: JobContext, meter: UsageMeter, profiler: Profiler | None
) -> Done | Yielded | Failed:
    """Return the end with what the attempt has used, and write its profile."""
    usage = meter.read()
    profile = None if profiler is None else _write_profile(profiler, job)
    return msgspec.structs.replace(end, usage=usage, profile=profile)


def _start_profiler(start: Start) -> Profiler | None:
    if not start.is_profiled:
        return None
    profiler = Profiler(_outcome_of.__code__, left_out=_BEFORE_HANDLERS)
    try:
        profiler.start()
    except RuntimeError:  # no further thread may be started
        return None
    return profiler


def _write_profile(profiler: Profiler, job: JobContext) -> str | None:
    """Write the profile into the scratch folder and return its name. No attempt fails for its profile."""
    try:
        profiler.stop()
        (job.scratch / PROFILE_FILE).write_bytes(profiler.profile().encode())
    except Exception as error:  # out of memory or space, or a handler has removed the folder
        job.log(f"the profile could not be written: {error!r}", level="warning")
        return None
    return PROFILE_FILE


def _call_handler(job: JobContext, kind: str, handlers: Mapping[str, Handler]) -> Done | Yielded:
    handler = handlers.get(kind)
    if handler is None:
        raise JobError("unknown_kind", f"this worker has no handler for jobs of kind {kind}")
    outcome = _outcome_of(handler, job)
    if isinstance(outcome, Yielded):
        if not job.stop_requested:
            raise RuntimeError("the handler returned Yielded() although stop_requested was false")
        return outcome
    try:
        return job.done_message(encoding.json_object(outcome))
    except NotJson as error:
        raise UnserialisableOutput(f"the result: {error}") from None


def _outcome_of(handler: Handler, job: JobContext) -> object:
    """Call the handler, and nothing of ours: a profile begins below this frame."""
    outcome = handler(job)
    # inspect.iscoroutine would have a frame, in which the thread of the profiler gets its turn.
    return asyncio.run(outcome) if isinstance(outcome, CoroutineType) else outcome


def _failure(error: BaseException) -> Failed:
    match error:
        case JobError():
            code, message, is_retryable = str(error.code), str(error.message), bool(error.is_retryable)
        case MemoryError():
            code, message, is_retryable = "memory_limit", "The attempt ran out of memory.", True
        case MessageTooLarge():
            code, message, is_retryable = "message_too_large", f"the result is too large: {error}", False
        case SystemExit() | KeyboardInterrupt():
            code, message, is_retryable = "handler_exit", f"The handler raised {_describe(error)}.", True
        case _:
            code, message, is_retryable = "handler_error", _describe(error), True
    return Failed(
        code=encoding.plain_text(code),
        message=encoding.plain_text(message),
        is_retryable=is_retryable,
        traceback=_traceback(error),
    )


def _describe(error: BaseException) -> str:
    # Unlike str(), this works for an exception whose own __str__ raises.
    return "".join(TracebackException(type(error), error, None).format_exception_only()).strip()


def _traceback(error: BaseException) -> str:
    """Return the end of the traceback without our own frames, for the author of the handler."""
    try:
        traceback = TracebackException.from_exception(error)
        _remove_our_frames(traceback)
        text = "".join(traceback.format())
    except (MemoryError, RecursionError):
        return ""
    return encoding.plain_text(text[-encoding.MAX_TEXT_CHARACTERS :])


def _remove_our_frames(traceback: TracebackException | None) -> None:
    if traceback is None:
        return
    traceback.stack[:] = [frame for frame in traceback.stack if not frame.filename.startswith(_OUR_FRAMES)]
    for nested in (traceback.__cause__, traceback.__context__, *(traceback.exceptions or ())):
        _remove_our_frames(nested)
