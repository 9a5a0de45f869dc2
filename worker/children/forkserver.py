"""The fork server: imports everything once and forks the children, each a copy of it.

The fork server of `multiprocessing` is unsuitable: each of its children runs the parent's main module again
(a second of imports for a worker), it has no public API to stop it, and it outlives a killed worker together
with its children. This one holds a socket that the kernel closes when the worker exits. It then kills the
process group of every child, including children that are inside a C call and could not notice it
themselves.

It never opens files of users, so every child starts clean. Children open them only after they are confined.

Worker and fork server exchange fixed-size records. A fork request carries the file descriptor of the child's
connection. The server answers with the process id. When the child has exited, it sends the exit code, and
the processor time and memory that the child has used.
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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import psutil

from app.core import garbage, hardening
from app.core.errors import ConfigurationError
from app.core.sandbox import readable
from worker import plugins
from worker.children import child
from worker.context import Handler

RECORD: Final = struct.Struct(">ciidq")
"""A record: its type, a process id, an exit code or errno; of an exited process also its processor time and
the peak of its resident memory."""

_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024
"""The unit of `ru_maxrss`."""

# Worker → fork server
FORK: Final = b"F"
KILL: Final = b"K"

# Fork server → worker
READY: Final = b"R"
FORKED: Final = b"P"
NOT_FORKED: Final = b"N"
EXITED: Final = b"E"

SPARE_PROCESSES: Final = 2000
"""RLIMIT_NPROC of the children, counted above the processes and threads that the user has at the start."""

_SIGNALS_FOR_THE_WORKER: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl+C and service managers signal the whole process group, but only the worker decides about its jobs."""


def main() -> None:
    """Load the handlers, then serve fork requests until the worker is gone. Called by `forking`."""
    _import_path, control_fd, handlers_names, plugin_names, preload, *numbers = sys.argv[1:]
    hardening.make_undumpable()
    _ignore_signals_for_the_worker()
    hardening.adopt_orphans()
    faulthandler.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that a killed child has printed its last lines
    try:
        with garbage.paused():
            handlers = _load(handlers_names.split(","), plugin_names.split(","), preload.split(","))
    except ConfigurationError as error:
        sys.exit(str(error))
    hardening.drop_capabilities()  # for all children
    memory_limit_bytes, max_file_bytes = map(int, numbers)
    limits = _Limits(memory_limit_bytes, max_file_bytes, _max_processes())
    installed = readable.installed()
    # These objects live as long as the process. A collection in a child would copy their shared pages.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(control_fd)) as control:
        _ForkServer(control, handlers, limits, installed).serve()


def _load(
    handlers_names: Iterable[str], plugin_names: Iterable[str], preload: Iterable[str]
) -> Mapping[str, Handler]:
    """Import everything; return the handlers by kind. Raises ConfigurationError if a plugin is wrong."""
    handlers: dict[str, Handler] = {}
    for name in handlers_names:
        handlers |= pkgutil.resolve_name(name)
    handlers = plugins.install(filter(None, plugin_names), handlers)
    for name in filter(None, preload):
        preloaded = pkgutil.resolve_name(name)
        if callable(preloaded):
            preloaded()
    return handlers


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
        """Serve requests until the worker is gone, then kill and reap all children."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        with suppress(ConnectionError):
            self._send(READY)
            while self._handle_next():
                pass
        for pid in self._children:
            _kill_group(pid)
        for pid in self._children:
            os.waitpid(pid, 0)
        self._kill_orphans()

    def _handle_next(self) -> bool:
        """Wait for a request or a SIGCHLD and handle it. Returns False when the worker is gone."""
        readable, _, _ = select.select((self._control.fileno(), self._woken), (), ())
        if self._woken in readable:
            os.read(self._woken, 4096)
            self._reap()
        return self._control.fileno() not in readable or self._handle_request()

    def _handle_request(self) -> bool:
        # Each record is read alone: the kernel never merges messages that carry file descriptors.
        record, descriptors, _, _ = socket.recv_fds(self._control, RECORD.size, 1)
        if not record:
            return False
        request, pid, *_ = RECORD.unpack(record)
        if request == FORK:
            self._fork(descriptors[0])
        elif pid in self._children:  # otherwise it has exited, and its pid may have been reused
            _kill_group(pid)
        return True

    def _fork(self, connection_fd: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            os.close(connection_fd)
            self._send(NOT_FORKED, 0, error.errno or errno.EAGAIN)
            return
        if pid == 0:
            self._run_child(connection_fd)
        os.close(connection_fd)
        self._children.add(pid)
        self._send(FORKED, pid)

    def _run_child(self, connection_fd: int) -> NoReturn:
        try:
            os.setsid()
            hardening.die_with_parent(signal.SIGKILL)
            hardening.adopt_orphans()  # so that its descendants stay below it until it exits
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
        exited: list[tuple[int, int, float, int]] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._children:  # otherwise an orphan that was adopted
                self._children.remove(pid)
                # Kill the rest of its process group. This cannot hit others: the kernel does not reuse the
                # id of a group that has members, and an empty group receives nothing.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                exited.append(
                    (
                        pid,
                        os.waitstatus_to_exitcode(status),
                        usage.ru_utime + usage.ru_stime,
                        usage.ru_maxrss * _MAXRSS_BYTES,
                    )
                )
        self._kill_orphans()
        for pid, exit_code, cpu_seconds, peak_bytes in exited:
            self._send(EXITED, pid, exit_code, cpu_seconds, peak_bytes)

    def _kill_orphans(self) -> None:
        """Kill the processes that exited children have left behind, in any group or session.

        Each child adopts the orphans of its own descendants, so an orphan that this process adopts belonged
        to a child that has exited. Killing one passes its children on to this process, hence the loop.
        """
        while orphans := _child_pids() - self._children:
            # Stop all of them first, so that none forks between the listing and its kill.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in orphans:
                    os.kill(pid, number)
            for pid in orphans:
                os.waitpid(pid, 0)

    def _send(
        self,
        record_type: bytes,
        pid: int = 0,
        code: int = 0,
        cpu_seconds: float = 0.0,
        peak_bytes: int = 0,
    ) -> None:
        self._control.sendall(RECORD.pack(record_type, pid, code, cpu_seconds, peak_bytes))


def _child_pids() -> set[int]:
    """Return the children of this process, including zombies."""
    try:
        # The kernel lists the children of one thread; this process has only one.
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    except OSError:  # not Linux, or a kernel without this file
        return {process.pid for process in psutil.Process().children()}


def _max_processes() -> int | None:
    """Return the RLIMIT_NPROC of children; None for root, for whom the kernel ignores it."""
    uid = os.getuid()
    if uid == 0:
        return None
    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == uid:
            count += process.info["num_threads"] or 1
    return count + SPARE_PROCESSES


def _kill_group(pid: int) -> None:
    # Kill the process too: a child that was forked a moment ago may not have created its group yet.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ignore_signals_for_the_worker() -> None:
    # Not SIG_IGN: programs that a handler starts would inherit it, and could not be terminated.
    for number in _SIGNALS_FOR_THE_WORKER:
        signal.signal(number, _ignore)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
