"""Functions for a fork server of the tests. Their task names a file, if they need one."""

import json
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

LOADED_IN = os.getpid()
_SIGNALS = signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD


def describe(task: bytes, _installed: Sequence[Path]) -> bytes:
    """Return the task, and what the process is like."""
    return json.dumps(
        {
            "task": task.decode(),
            "pid": os.getpid(),
            "parent": os.getppid(),
            "loaded_in": LOADED_IN,
            "threads": len(_names("/proc/self/task")),
            "environment": dict(os.environ),
            "descriptors": sorted(_names("/proc/self/fd"))[:-1],  # the last one is of the folder
            "has_handlers": any(callable(signal.getsignal(number)) for number in _SIGNALS),
        }
    ).encode()


def _names(folder: str) -> list[int]:
    return [int(path.name) for path in Path(folder).iterdir()]


def fail(task: bytes, _installed: Sequence[Path]) -> bytes:
    """Raise an error, after as many lines of stderr as the task says."""
    for number in range(int(task)):
        os.write(2, b"line %d\n" % number)
    raise ValueError("this failed")


def repeat(task: bytes, _installed: Sequence[Path]) -> bytes:
    """Return as many bytes as the task says."""
    return b"x" * int(task)


def wait(task: bytes, _installed: Sequence[Path]) -> bytes:
    """Add the process id to the file that the task names, and wait for a signal."""
    with Path(task.decode()).open("a") as file:
        print(os.getpid(), file=file)
    signal.pause()
    return b""


def die_first(task: bytes, _installed: Sequence[Path]) -> bytes:
    """Kill the server, unless the file that the task names says that this was done."""
    path = Path(task.decode())
    if path.exists():
        return b"done"
    path.touch()
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
    return b""


def die_always(_task: bytes, _installed: Sequence[Path]) -> bytes:
    """Kill the server."""
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
    return b""


def spin(_task: bytes, _installed: Sequence[Path]) -> bytes:
    """Use processor time up to the limit."""
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    while True:
        pass
