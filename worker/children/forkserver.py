"""The process that forks the children: everything is imported once, each child is a copy of it.

Why not `multiprocessing`'s forkserver: each of its children runs the parent's main module again (a second
of imports for a worker), it has no public way to be stopped, and it lives on with its children when the
worker is killed. This one holds the other end of a socket that closes with the worker, and then ends the
process group of every child, also of one that is deep in a C call and cannot look for itself.

It never loads what users have sent, and neither do children before they are confined: so each child starts
clean.

Worker and fork server exchange records of one size. A request to fork carries the child's end of its
connection; it is answered by the child's process id, and when the child has ended by its exit code.
"""

import errno
import faulthandler
import gc
import io
import os
import pkgutil
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import psutil

from app.core import hardening
from app.core.errors import ConfigurationError
from app.core.sandbox import readable
from worker import plugins
from worker.children import child
from worker.context import Handler

RECORD: Final = struct.Struct(">cii")
"""What it is about, a process id, and an exit code or errno."""

# Worker → fork server
FORK: Final = b"F"
KILL: Final = b"K"

# Fork server → worker
READY: Final = b"R"
FORKED: Final = b"P"
NOT_FORKED: Final = b"N"
ENDED: Final = b"E"

PROCESSES_TO_SPARE: Final = 2000
"""How many processes and threads may be added to those of the user before its children get no more."""

_SIGNALS_FOR_THE_WORKER: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A Ctrl-C, or a service manager that stops the whole group: what becomes of a job, the worker decides."""


def main() -> None:
    """Load the handlers, then fork until the worker is gone. The arguments are those of `forking`."""
    _import_path, control_fd, handlers_names, plugin_names, preload, *numbers = sys.argv[1:]
    hardening.make_undumpable()
    _leave_signals_to_the_worker()
    hardening.adopt_orphans()
    faulthandler.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a child that is killed must not keep lines back
    handlers: dict[str, Handler] = {}
    for name in handlers_names.split(","):
        handlers |= pkgutil.resolve_name(name)
    try:
        handlers = plugins.install(filter(None, plugin_names.split(",")), handlers)
    except ConfigurationError as error:
        sys.exit(str(error))
    for name in filter(None, preload.split(",")):
        preloaded = pkgutil.resolve_name(name)
        if callable(preloaded):
            preloaded()
    hardening.drop_capabilities()  # for all children
    memory_limit_bytes, max_file_bytes = map(int, numbers)
    limits = _Limits(memory_limit_bytes, max_file_bytes, _max_processes())
    installed = readable.installed()
    # What is here now is never freed; looking at it would only copy shared memory into each child.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(control_fd)) as control:
        _ForkServer(control, handlers, limits, installed).serve()


@dataclass(frozen=True)
class _Limits:
    memory_bytes: int
    max_file_bytes: int
    max_processes: int | None


class _ForkServer:
    def __init__(
        self,
        control: socket.socket,
        handlers: Mapping[str, Handler],
        limits: _Limits,
        installed: Sequence[Path],
    ) -> None:
        self._control = control
        self._handlers = handlers
        self._limits = limits
        self._installed = installed
        self._children: set[int] = set()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def serve(self) -> None:
        """Do what the worker asks. Returns when the worker is gone, and every child with it."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        with suppress(ConnectionError):
            self._tell(READY)
            while self._is_wanted():
                pass
        for pid in self._children:
            _end_group(pid)
        for pid in self._children:
            os.waitpid(pid, 0)
        self._end_orphans()

    def _is_wanted(self) -> bool:
        """Wait for something to happen and see to it; False when the worker is gone."""
        readable, _, _ = select.select((self._control.fileno(), self._woken), (), ())
        if self._woken in readable:
            os.read(self._woken, 4096)
            self._reap()
        return self._control.fileno() not in readable or self._answer()

    def _answer(self) -> bool:
        # One request is one record is one packet of the kernel, which never merges those with descriptors.
        record, descriptors, _, _ = socket.recv_fds(self._control, RECORD.size, 1)
        if not record:
            return False
        request, pid, _ = RECORD.unpack(record)
        if request == FORK:
            self._fork(descriptors[0])
        elif pid in self._children:  # otherwise it has ended, and its number may be somebody else's
            _end_group(pid)
        return True

    def _fork(self, connection_fd: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            os.close(connection_fd)
            self._tell(NOT_FORKED, 0, error.errno or errno.EAGAIN)
            return
        if pid == 0:
            self._become_child(connection_fd)
        os.close(connection_fd)
        self._children.add(pid)
        self._tell(FORKED, pid)

    def _become_child(self, connection_fd: int) -> NoReturn:
        try:
            os.setsid()
            hardening.die_with_parent(signal.SIGKILL)
            hardening.adopt_orphans()  # so that whatever this child starts stays below it, until it ends
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (self._control.detach(), self._woken, self._waker):
                os.close(descriptor)
            os.set_inheritable(connection_fd, False)
            child.limit(
                memory_bytes=self._limits.memory_bytes,
                max_file_bytes=self._limits.max_file_bytes,
                max_processes=self._limits.max_processes,
            )
            child.serve(socket.socket(fileno=connection_fd), self._handlers, self._installed)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _reap(self) -> None:
        ended: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._children:  # otherwise an orphan that was adopted
                self._children.remove(pid)
                # What the child left behind: as long as anything is in the group its number is not given
                # away again, and if nothing is, nothing is hit.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                ended.append((pid, os.waitstatus_to_exitcode(status)))
        self._end_orphans()
        for pid, exit_code in ended:
            self._tell(ENDED, pid, exit_code)

    def _end_orphans(self) -> None:
        """End what children have started and left behind, in whatever group or session it is.

        Each child adopts what its own descendants leave behind; so what comes to this process was a child's
        that has ended. What was below one that is ended here comes next.
        """
        while orphans := _own_children() - self._children:
            # First they stop, so that none starts another while it is looked at.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in orphans:
                    os.kill(pid, number)
            for pid in orphans:
                os.waitpid(pid, 0)

    def _tell(self, what: bytes, pid: int = 0, code: int = 0) -> None:
        self._control.sendall(RECORD.pack(what, pid, code))


def _own_children() -> set[int]:
    """The processes whose parent is this one, also those that have ended and wait to be reaped."""
    try:
        # One thread forks and waits here; the list is the kernel's own.
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    except OSError:  # no such system, or a kernel without it
        return {process.pid for process in psutil.Process().children()}


def _max_processes() -> int | None:
    """How many processes and threads the user may have. None for root: the kernel ignores the limit."""
    uid = os.getuid()
    if uid == 0:
        return None
    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == uid:
            count += process.info["num_threads"] or 1
    return count + PROCESSES_TO_SPARE


def _end_group(pid: int) -> None:
    # Both: a child that was forked a moment ago may not lead its group yet.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _leave_signals_to_the_worker() -> None:
    # Not SIG_IGN: programs that a handler starts would inherit that, and could not be terminated.
    for number in _SIGNALS_FOR_THE_WORKER:
        signal.signal(number, _ignore)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
