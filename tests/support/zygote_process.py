"""The zygote: has imported the programs of Headrace, and forks a process for each that a test runs.

`python -m tests.support.zygote_process FD` reads requests from a socket. Each brings the open files of the
new process: its status socket, stdin, stdout, stderr and those that it inherits. The zygote writes the
process id to the status socket and, once the process has ended, its exit code as in `subprocess`. When the
socket of requests is closed, the zygote kills its processes and ends.
"""

import fcntl
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

NUMBER: Final = struct.Struct(">i")
"""What is written to the status socket: a process id, then an exit code."""

MAX_REQUEST_BYTES: Final = 128 * 1024
MAX_FILES: Final = 16
_SPARE_FILES: Final = 512
"""Above the numbers of all files that the zygote has open."""

_CLIENT_COMMANDS: Final = (
    *("datasets", "jobs", "keys", "models", "predictions", "preprocessing", "schedules", "searches"),
    *("subscriptions", "training"),
)
IMPORTS: Final = {
    "app": ("app.cli.main", *(f"app.cli.{name}.actions" for name in _CLIENT_COMMANDS)),
    "notify": ("app.cli.notify",),
    "tests.schedules.firing_process": ("app.schedules.firing", "app.jobs.kinds.registry"),
    "serve": ("app.cli.serve", "app.main"),
    "users": ("app.cli.users",),
    "uvicorn": ("uvicorn.main", "app.main"),
    "worker": ("uvloop", "worker.main"),
}
"""What is imported before the first fork, by the module or the first argument. None of it may start a
thread: a fork would not have it."""

_FORK_SAFE_THREAD: Final = "jemalloc_bg_thd"
"""Arrow's allocator starts it, and starts it anew in a fork."""

RELOADED: Final = {"FAILPOINTS": "app.core.failpoints"}
"""Modules that read a variable when they are imported."""


class Request(msgspec.Struct, frozen=True):
    """A module to run as a program; `inherited` are the numbers of the files that it inherits."""

    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    inherited: tuple[int, ...] = ()


def main() -> None:
    """Serve requests. In a process that was forked, run its program as `python -m` does."""
    request = _Zygote(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is None:
        return
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


class _Zygote:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._statuses: dict[int, socket.socket] = {}
        self._environment = dict(os.environ)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def serve(self) -> Request | None:
        """Return the request in the process that was forked for it, and None in the zygote at the end."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for pytest, which then closes the socket
        while True:
            ready, _, _ = select.select((self._requests.fileno(), self._woken), (), ())
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._requests.fileno() in ready:
                message, files, _, _ = socket.recv_fds(self._requests, MAX_REQUEST_BYTES, MAX_FILES)
                if not message:
                    break
                request = msgspec.msgpack.decode(message, type=Request)
                if self._fork(request, files):
                    return request
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
        return None

    def _fork(self, request: Request, files: Sequence[int]) -> bool:
        """Fork a process; return whether this is it."""
        _import(request)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for opened in (self._requests, *self._statuses.values()):
                opened.detach()  # `_become` closes the files
            imported = {name: value for name, value in os.environ.items() if name not in self._environment}
            _become(request, files[1:], request.environment | imported)
            return True
        for file in files[1:]:
            os.close(file)
        self._statuses[pid] = status = socket.socket(fileno=files[0])
        _tell(status, pid)
        return False

    def _reap(self) -> None:
        while self._statuses:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._statuses.pop(pid) as status:
                _tell(status, os.waitstatus_to_exitcode(code))


def _tell(status: socket.socket, number: int) -> None:
    try:
        status.sendall(NUMBER.pack(number))
    except OSError:
        return  # the test no longer asks


def _import(request: Request) -> None:
    """Import what the program imports, unless an earlier one has."""
    for name in (request.module, *request.arguments[:1]):
        for module in IMPORTS.get(name, ()):
            importlib.import_module(module)
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    if len(threads) - threads.count(_FORK_SAFE_THREAD) != 1:
        raise RuntimeError(f"an import has started a thread: {threads}")
    gc.freeze()


def _become(request: Request, files: Sequence[int], environment: Mapping[str, str]) -> None:
    """Make this process what a new interpreter would be, with these files and this environment."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _SPARE_FILES) for file in files]
    os.closerange(3, _SPARE_FILES)
    for file, number in zip(moved, (0, 1, 2, *request.inherited), strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(environment)
    for variable, module in RELOADED.items():
        if variable in environment and module in sys.modules:
            importlib.reload(sys.modules[module])


if __name__ == "__main__":
    main()
