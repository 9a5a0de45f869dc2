"""The server process: imports the functions once, and forks a process for each request.

It never reads a task: the descriptors of a request pass through it unread. It ends, and kills its processes,
when the process that started it has gone.
"""

import errno
import gc
import os
import pkgutil
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from app.core import hardening
from app.core.forking.protocol import DESCRIPTORS, NUMBER, REQUEST_BYTES, Function
from app.core.sandbox import readable

_SIGNALS_FOR_THE_PARENT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Service managers signal all processes of a service; this one ends when its parent does."""

_CONNECTION: Final = 3
"""The only descriptor of a forked process, after the standard ones."""


def main() -> None:
    """Import the functions, then serve requests until the parent has gone. Called by `fork_server`."""
    _import_path, control_fd, *names = sys.argv[1:]
    hardening.make_undumpable()
    for number in _SIGNALS_FOR_THE_PARENT:
        signal.signal(number, _ignore)
    functions: list[Function] = [pkgutil.resolve_name(name) for name in names]
    installed = readable.installed()
    hardening.drop_capabilities()  # for all processes
    # These objects live as long as the process. A collection in a fork would copy their shared pages.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(control_fd)) as control:
        _Server(control, functions, installed).serve()


class _Server:
    def __init__(
        self, control: socket.socket, functions: Sequence[Function], installed: Sequence[Path]
    ) -> None:
        self._control = control
        self._functions = functions
        self._installed = installed
        self._pid = os.getpid()
        self._lifelines: dict[int, socket.socket] = {}
        self._has_parent = True
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def serve(self) -> None:
        """Serve requests until the parent has gone, then kill and reap all processes."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        self._selector.register(self._control, selectors.EVENT_READ, self._handle_request)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)
        while self._has_parent:
            for key, _ in self._selector.select():
                key.data()
        for pid in self._lifelines:
            _kill(pid)
        for pid in self._lifelines:
            os.waitpid(pid, 0)

    def _handle_request(self) -> None:
        request, descriptors = b"", list[int]()
        with suppress(ConnectionError):
            # Each request is read alone: the kernel never merges messages that carry file descriptors.
            request, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, DESCRIPTORS)
        if request:
            self._fork(self._functions[request[0]], *descriptors)
        else:
            self._has_parent = False

    def _fork(self, function: Function, connection_fd: int, errors_fd: int, lifeline_fd: int) -> None:
        lifeline = socket.socket(fileno=lifeline_fd)
        try:
            pid = os.fork()
        except OSError as error:
            _send(lifeline, -(error.errno or errno.EAGAIN))
            lifeline.close()
        else:
            if pid == 0:
                self._run(function, connection_fd, errors_fd)
            self._lifelines[pid] = lifeline
            self._selector.register(lifeline, selectors.EVENT_READ, partial(self._let_go, pid))
            _send(lifeline, pid)
        os.close(connection_fd)
        os.close(errors_fd)

    def _run(self, function: Function, connection_fd: int, errors_fd: int) -> NoReturn:
        """Run a function in the forked process, with no descriptor of the server or of other processes."""
        exit_code = 1
        try:
            os.setsid()
            hardening.die_with_parent(signal.SIGKILL)
            if os.getppid() == self._pid:  # otherwise it has died before it could be watched
                _keep_only(connection_fd, errors_fd)
                _restore_signals()
                _write(_CONNECTION, function(_read(_CONNECTION), self._installed))
                exit_code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(exit_code)

    def _let_go(self, pid: int) -> None:
        """Kill a process whose lifeline has closed."""
        if (lifeline := self._lifelines.get(pid)) is not None:
            self._selector.unregister(lifeline)
            _kill(pid)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        for pid, lifeline in list(self._lifelines.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._lifelines[pid]
            with suppress(KeyError):  # it was killed
                self._selector.unregister(lifeline)
            _send(lifeline, os.waitstatus_to_exitcode(status))
            lifeline.close()


def _keep_only(connection_fd: int, errors_fd: int) -> None:
    """Close all descriptors but the connection, stderr, and a stdout that is stderr."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, wanted in ((nothing, 0), (errors_fd, 1), (errors_fd, 2), (connection_fd, _CONNECTION)):
        os.dup2(given, wanted)
    os.closerange(_CONNECTION + 1, os.sysconf("SC_OPEN_MAX"))


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (*_SIGNALS_FOR_THE_PARENT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _read(descriptor: int) -> bytes:
    """Read until the other side has closed its direction."""
    blocks = []
    while block := os.read(descriptor, 1024 * 1024):
        blocks.append(block)
    return b"".join(blocks)


def _write(descriptor: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(descriptor, view) :]


def _send(lifeline: socket.socket, number: int) -> None:
    with suppress(OSError):  # the other side has let go of the process
        lifeline.send(NUMBER.pack(number))


def _kill(pid: int) -> None:
    # It has not been reaped, so the process id is still its own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
