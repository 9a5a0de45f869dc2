"""Handlers that try what a malicious model would. Each raises the error of the kernel, or reports success."""

import ctypes
import mmap
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from app.core.sandbox import syscalls
from worker.context import Handler, JobContext

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _fork(_job: JobContext) -> None:
    if os.fork() == 0:
        os._exit(0)


def _signal_worker(job: JobContext) -> None:
    os.kill(job.params["worker"], signal.SIGTERM)


def _signal_by_descriptor(job: JobContext) -> None:
    """Signal without `kill`: the kernel signals the owner of a descriptor when there is data to read."""
    import fcntl

    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, job.params["worker"])


def _read_memory(job: JobContext) -> None:
    with Path(f"/proc/{job.params['worker']}/mem").open("rb") as memory:
        memory.read(1)


def _read_memory_by_call(job: JobContext) -> None:
    _call("process_vm_readv", job.params["worker"], 0, 0, 0, 0, 0)


def _trace(job: JobContext) -> None:
    _call("ptrace", 16, job.params["worker"], 0, 0)


def _call(name: str, *arguments: int) -> None:
    number = syscalls.number(name, platform.machine())
    assert number is not None
    if _libc.syscall(number, *map(ctypes.c_long, arguments)) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _outlive_the_worker(_job: JobContext) -> None:
    if _libc.prctl(1, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _write_much(job: JobContext) -> None:
    with (job.scratch / "large").open("wb") as file:
        for _ in range(1000):
            file.write(b"x" * 1024 * 1024)


def _new_namespace(_job: JobContext) -> None:
    _call("unshare", 0x10000000)


def _slow_the_worker(job: JobContext) -> None:
    os.setpriority(os.PRIO_PROCESS, job.params["worker"], 19)


def _pin_the_worker(job: JobContext) -> None:
    os.sched_setaffinity(job.params["worker"], {0})


ATTEMPTS: Final[dict[str, Callable[[JobContext], object]]] = {
    "open a socket": lambda _: socket.socket(),
    "open a local socket": lambda _: socket.socket(socket.AF_UNIX),
    "open a pair of datagram sockets": lambda _: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    "look up a name": lambda _: socket.getaddrinfo("example.com", 443),
    "run a program": lambda _: subprocess.run([sys.executable, "-c", ""], check=True),
    "fork": _fork,
    "signal the worker": _signal_worker,
    "signal the worker by a descriptor": _signal_by_descriptor,
    "signal all processes": lambda _: os.kill(-1, signal.SIGTERM),
    "open the worker by its pid": lambda job: os.pidfd_open(job.params["worker"]),
    "slow the worker down": _slow_the_worker,
    "pin the worker": _pin_the_worker,
    "trace the worker": _trace,
    "read the worker's environment": lambda job: Path(f"/proc/{job.params['worker']}/environ").read_bytes(),
    "read the worker's memory": _read_memory,
    "read the worker's memory by a call": _read_memory_by_call,
    "outlive the worker": _outlive_the_worker,
    "make a namespace": _new_namespace,
    "read a file": lambda job: Path(job.params["path"]).read_bytes(),
    "list a folder": lambda job: list(Path(job.params["path"]).parent.iterdir()),
    "write a file": lambda job: Path(job.params["path"]).write_bytes(b"mine"),
    "delete a file": lambda job: Path(job.params["path"]).unlink(),
    "cut a file": lambda job: os.truncate(job.params["path"], 0),
    "change a file's mode": lambda job: Path(job.params["path"]).chmod(0o777),
    "change a file's time": lambda job: os.utime(job.params["path"]),
    "link to a file": lambda job: (job.scratch / "link").symlink_to(job.params["path"]),
    "link a file": lambda job: (job.scratch / "link").hardlink_to(job.params["path"]),
    "write a large file": _write_much,
    "make a file in memory": lambda _: os.memfd_create("uncounted"),
}


def attempt(job: JobContext) -> dict[str, Any]:
    ATTEMPTS[job.params["what"]](job)
    return {"worked": True}


def do_what_is_allowed(job: JobContext) -> dict[str, Any]:
    """Do what libraries do legitimately."""
    import asyncio

    done: list[str] = []
    thread = threading.Thread(target=done.append, args=("thread",))
    thread.start()
    thread.join()
    asyncio.run(asyncio.to_thread(done.append, "loop"))
    zoneinfo.ZoneInfo("Pacific/Chatham")
    psutil.Process().memory_info()
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"temporary")
    mmap.mmap(-1, 4096).close()
    (job.scratch / "written").write_text("kept")
    os.kill(os.getpid(), 0)
    return {"done": sorted(done), "temporary": tempfile.gettempdir()}


def read_files(job: JobContext) -> dict[str, Any]:
    return {"pid": os.getpid(), **{name: job.file(name).read_text() for name in job.params["names"]}}


def fork_twice(job: JobContext) -> dict[str, Any]:
    """Leave an orphan in a session of its own, and commit its process id."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.write(writing, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    os.wait()
    job.commit([int(os.read(reading, 100))])
    if job.params["then"] == "exit":
        os._exit(0)
    return {}


HANDLERS: dict[str, Handler] = {
    handler.__name__: handler for handler in (attempt, do_what_is_allowed, read_files, fork_twice)
}
