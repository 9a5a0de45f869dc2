"""The worker's half: handlers that count, loop, crash and write garbage."""

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec

from tests.kinds_for_tests.kinds import FAULTS, CountParams, FaultParams, counted
from worker.context import Handler, JobContext, JobError, Outcome, Yielded

MIB: Final = 1024 * 1024
GARBAGE: Final = b"\xff\x00\xc3\x28 not a message \r\n\x1b[2J" * 8
LAST_DESCRIPTOR: Final = 256


def count(job: JobContext) -> Outcome:
    """Compute batches, each from its index and the sum in the checkpoint."""
    params = msgspec.convert(job.params, CountParams)
    total = 0 if job.resume.checkpoint is None else int(job.resume.checkpoint)
    for batch in range(job.resume.batch, params.batches):
        if params.heeds_stop and job.stop_requested:
            return Yielded()
        for number in range(params.lines_per_batch):
            job.log(f"attempt {job.attempt}, batch {batch}, line {number}")
        _compute(params.work_ms)
        outputs = []
        for row in range(job.done, job.done + params.rows_per_batch):
            total += row
            outputs.append({"row": row, "square": row * row, "sum": total})
        if params.counter_path is not None:
            _note(params.counter_path, job, batch)
        job.commit(
            outputs,
            step=f"Batch {batch + 1}/{params.batches}",
            checkpoint=str(total).encode(),
            is_last=batch + 1 == params.batches,
        )
    return {"sum": total}


def _compute(milliseconds: float) -> None:
    """Use this much CPU time, which takes longer where processors are scarce."""
    end = time.process_time() + milliseconds / 1000
    while time.process_time() < end:
        sum(range(200))


def _note(path: str, job: JobContext, batch: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{job.job_id} {batch} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def _loop(_job: JobContext) -> NoReturn:
    while True:
        pass


def _sleep_in_c(_job: JobContext) -> NoReturn:
    # PyDLL, unlike CDLL, keeps the interpreter's lock: no other thread runs, no signal handler is called.
    libc = ctypes.PyDLL(None)
    while True:
        libc.sleep(3600)


def _crash(_job: JobContext) -> NoReturn:
    raise ZeroDivisionError("the model divides by nothing")


def _refuse(_job: JobContext) -> NoReturn:
    raise JobError("refused", "The model rejects these rows.")


def _sys_exit(_job: JobContext) -> NoReturn:
    sys.exit(3)


def _exit(_job: JobContext) -> NoReturn:
    os._exit(3)


def _segfault(_job: JobContext) -> Outcome:
    ctypes.string_at(0)
    return {}


def _kill_itself(_job: JobContext) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("the process survived SIGKILL")


def _grow(_job: JobContext) -> NoReturn:
    memory = []
    while True:
        memory.append(b"\1" * (4 * MIB))
        time.sleep(0.005)


def _grow_at_once(_job: JobContext) -> Outcome:
    return {"size": len(b"\1" * (1024 * 1024 * MIB))}


def _fill(job: JobContext) -> NoReturn:
    for number in itertools.count():
        (job.scratch / f"part-{number}").write_bytes(os.urandom(MIB))
        time.sleep(0.005)
    raise AssertionError


def _print_garbage(_job: JobContext) -> Outcome:
    for descriptor in (1, 2):
        os.write(descriptor, GARBAGE)
    for _ in range(100):
        print("noise " * 50)  # noqa: T201  # the point
    return {"printed": True}


def _scribble(_job: JobContext) -> Outcome:
    for descriptor in range(LAST_DESCRIPTOR):
        try:
            os.write(descriptor, GARBAGE)
        except OSError:  # it is closed, or cannot be written to
            continue
    return {"scribbled": True}


def _return_nonsense(_job: JobContext) -> Any:
    return {"model": object()}


def _commit_nonsense(job: JobContext) -> Outcome:
    job.commit([float("nan")])
    return {}


def _leave_helper(job: JobContext) -> NoReturn:
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.log(f"helper {helper.pid}")
    os._exit(4)


_FAULTS: Final[dict[str, Callable[[JobContext], Outcome]]] = {
    "loop": _loop,
    "sleep_in_c": _sleep_in_c,
    "crash": _crash,
    "refuse": _refuse,
    "sys_exit": _sys_exit,
    "exit": _exit,
    "segfault": _segfault,
    "kill_itself": _kill_itself,
    "grow": _grow,
    "grow_at_once": _grow_at_once,
    "fill": _fill,
    "print_garbage": _print_garbage,
    "scribble": _scribble,
    "return_nonsense": _return_nonsense,
    "commit_nonsense": _commit_nonsense,
    "leave_helper": _leave_helper,
}


def _going_wrong(fault: Callable[[JobContext], Outcome]) -> Handler:
    def handler(job: JobContext) -> Outcome:
        params = msgspec.convert(job.params, FaultParams)
        for batch in range(job.resume.batch, params.batches):
            job.commit(counted(batch))
        return fault(job) if job.attempt <= params.bad_attempts else {"attempt": job.attempt}

    return handler


HANDLERS: Final[dict[str, Handler]] = {
    "count": count,
    **{name: _going_wrong(_FAULTS[name]) for name in FAULTS},
}
