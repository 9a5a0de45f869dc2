"""Handlers that misbehave, each in one way, and a few that work, to show that the child survives."""

import asyncio
import ctypes
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from worker.context import BadInput, Handler, JobContext, JobError, Yielded
from worker.handlers import HANDLERS as GOOD_HANDLERS

MEBIBYTE = 1024 * 1024


PRELOADED_IN: list[int] = []


def record_preload() -> None:
    PRELOADED_IN.append(os.getpid())


def fail_to_preload() -> None:
    raise RuntimeError("a broken installation")


def report_preload(job: JobContext) -> dict[str, Any]:
    return {"in": PRELOADED_IN, "parent": os.getppid()}


def add_one(job: JobContext) -> dict[str, Any]:
    job.commit([row + 1 for row in job.rows()])
    return {"pid": os.getpid()}


async def add_one_later(job: JobContext) -> dict[str, Any]:
    await asyncio.sleep(0)
    return add_one(job)


def report_environment(job: JobContext) -> dict[str, Any]:
    return {"environment": dict(os.environ), "parent": os.getppid()}


def commit_slowly(job: JobContext) -> dict[str, Any]:
    """Commit batches that take time to compute, and record each in a file."""
    return _commit(job, seconds=0.03)


def commit_fast(job: JobContext) -> dict[str, Any]:
    return _commit(job, seconds=0.0)


def _commit(job: JobContext, seconds: float) -> dict[str, Any]:
    computed = Path(job.params["computed"])
    for number in range(job.resume.batch, job.params["batches"]):
        time.sleep(seconds)
        with computed.open("a") as file:
            file.write(f"{number}\n")
        job.commit([number])
    return {}


def work_until_stopped(job: JobContext) -> dict[str, Any] | Yielded:
    number = 0
    while not job.stop_requested:
        job.commit([number], checkpoint=b"%d" % number)
        number += 1
    return Yielded()


def yield_unrequested(job: JobContext) -> Yielded:
    return Yielded()


def describe(job: JobContext) -> dict[str, Any]:
    job.log("a line\0 with NUL", level="warning")
    job.commit([1], step="half\ud800way", data={"epoch": 1, "loss": 0.5})
    return {}


def commit_last(job: JobContext) -> dict[str, Any]:
    job.commit(job.rows(), is_last=True)
    return {"is": "done"}


def raise_key_error(job: JobContext) -> NoReturn:
    raise KeyError("missing")


def raise_unprintable(job: JobContext) -> NoReturn:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError

    raise Unprintable


def raise_job_error(job: JobContext) -> NoReturn:
    raise JobError("no_luck", "Not today.\0", is_retryable=True)


def raise_bad_input(job: JobContext) -> NoReturn:
    raise BadInput("Not ever.")


def raise_system_exit(job: JobContext) -> NoReturn:
    sys.exit("enough")


def raise_keyboard_interrupt(job: JobContext) -> NoReturn:
    raise KeyboardInterrupt


def print_garbage(job: JobContext) -> dict[str, Any]:
    print("\x00\x01 garbage " * 1000)  # noqa: T201  # the purpose of this handler
    sys.stdout.flush()
    os.write(1, b"\xff\xfe\xfd" * 1000)
    return {}


def return_a_list(job: JobContext) -> Any:
    return [1, 2]


def return_an_object(job: JobContext) -> dict[str, Any]:
    return {"model": object()}


def return_nan(job: JobContext) -> dict[str, Any]:
    return {"metrics": [{"loss": float("nan")}]}


def return_nul(job: JobContext) -> dict[str, Any]:
    return {"text": "a\0b"}


def return_recursion(job: JobContext) -> dict[str, Any]:
    result: dict[str, Any] = {}
    result["itself"] = result
    return result


def commit_an_object_in_row_12(job: JobContext) -> dict[str, Any]:
    job.commit([None] * 10)
    job.commit([{"ok": 1}, {"ok": None}, {"ok": {1, object()}}])
    return {}


def commit_nan_in_row_1(job: JobContext) -> dict[str, Any]:
    job.commit([{"score": 1.0, "why": None}, {"score": float("inf")}])
    return {}


def commit_too_much(job: JobContext) -> dict[str, Any]:
    job.commit(["x" * (65 * MEBIBYTE)])
    return {}


def segfault(job: JobContext) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def exit_at_once(job: JobContext) -> dict[str, Any]:
    os._exit(3)


def commit_then_exit(job: JobContext) -> dict[str, Any]:
    job.commit([1])
    os._exit(4)


def allocate_at_once(job: JobContext) -> dict[str, Any]:
    return {"size": len(bytearray(64 * 1024 * MEBIBYTE))}


def allocate_bit_by_bit(job: JobContext) -> dict[str, Any]:
    hoard = []
    while True:
        hoard.append(b"x" * MEBIBYTE)
        time.sleep(0.001)


def write_files_and_wait(job: JobContext) -> dict[str, Any]:
    folders = [Path(tempfile.gettempdir(), str(number)) for number in range(10)]
    for folder in folders:
        folder.mkdir()
    for number in range(job.params["files"]):
        (folders[number % 10] / str(number)).write_bytes(os.urandom(job.params["bytes"]))
    return loop_forever(job)


def loop_forever(job: JobContext) -> dict[str, Any]:
    while True:
        pass


def hold_the_gil_forever(job: JobContext) -> dict[str, Any]:
    job.commit([os.getpid()])
    re.match("(a+)+b", "a" * 64)
    return {}


def write_into_the_protocol(job: JobContext) -> dict[str, Any]:
    _to_the_worker(bytes.fromhex(job.params["bytes"]))
    time.sleep(60)
    return {}


def close_everything(job: JobContext) -> dict[str, Any]:
    os.closerange(3, 256)
    time.sleep(60)
    return {}


def _to_the_worker(garbage: bytes) -> None:
    for name in Path("/proc/self/fd").iterdir():
        descriptor = int(name.name)
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, garbage)
        except OSError:
            pass


def spawn_a_grandchild(job: JobContext) -> dict[str, Any]:
    """Commit the process id of a grandchild, then exit or loop."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.commit([process.pid])
    if job.params["then"] == "exit":
        os._exit(0)
    return loop_forever(job)


def fork_a_grandchild_that_holds_the_connection(job: JobContext) -> dict[str, Any]:
    pid = os.fork()
    if pid == 0:
        os.setsid()  # leaves the process group of the child
        time.sleep(600)
    job.commit([pid])
    os._exit(5)


def ignore_signals(job: JobContext) -> dict[str, Any]:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return {"survived": True}


def terminate_a_program(job: JobContext) -> dict[str, Any]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    process.terminate()
    return {"returncode": process.wait(10)}


HANDLERS: dict[str, Handler] = GOOD_HANDLERS | {
    handler.__name__: handler
    for handler in (
        report_preload,
        add_one,
        add_one_later,
        report_environment,
        commit_slowly,
        commit_fast,
        work_until_stopped,
        yield_unrequested,
        describe,
        commit_last,
        raise_key_error,
        raise_unprintable,
        raise_job_error,
        raise_bad_input,
        raise_system_exit,
        raise_keyboard_interrupt,
        print_garbage,
        return_a_list,
        return_an_object,
        return_nan,
        return_nul,
        return_recursion,
        commit_an_object_in_row_12,
        commit_nan_in_row_1,
        commit_too_much,
        segfault,
        exit_at_once,
        commit_then_exit,
        allocate_at_once,
        allocate_bit_by_bit,
        write_files_and_wait,
        loop_forever,
        hold_the_gil_forever,
        write_into_the_protocol,
        close_everything,
        spawn_a_grandchild,
        fork_a_grandchild_that_holds_the_connection,
        ignore_signals,
        terminate_a_program,
    )
}
