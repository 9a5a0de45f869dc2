"""Runs the programs of Headrace as forks of one process, the zygote, that has imported them.

A fork runs the same code as `python -m worker` or `python -m app`, in a process of its own with the given
environment and files. It saves the start of the interpreter and the imports: more than a second of processor
time for each of the hundreds of processes that the tests start. Tests of the start itself use `python -m`.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO, Final

import msgspec

from app.core.config import Settings
from tests.support.zygote_process import MAX_REQUEST_BYTES, NUMBER, RELOADED, Request

ROOT: Final = Path(__file__).parents[2]

_MAY_DIFFER: Final = frozenset(
    {"COLUMNS", "PYTEST_CURRENT_TEST", *RELOADED, *(name.upper() for name in Settings.model_fields)}
)
"""Variables, beside those of the client, that programs read when they run and not when they are imported."""

_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy starts threads when it is imported, unless it may have but one."""


class ForkedProcess:
    """A process that the zygote has forked, with the interface of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self._status = status
        self._returncode: int | None = None
        self._ended: asyncio.Future[int] | None = None

    @property
    def returncode(self) -> int | None:
        """The exit code, if the process has ended."""
        if self._returncode is None:
            with suppress(BlockingIOError):
                self._note_end(self._status.recv(NUMBER.size))
        return self._returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        loop = asyncio.get_running_loop()
        while (code := self.returncode) is None:
            if self._ended is None:
                self._ended = loop.create_future()
                loop.add_reader(self._status, self._on_status, loop, self._ended)
            await asyncio.shield(self._ended)
        return code

    def wait_blocking(self, seconds: float) -> int:
        """Wait until the process has ended, and kill it if that takes too long. Raises TimeoutError."""
        self._status.settimeout(seconds)
        try:
            message = self._status.recv(NUMBER.size)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            self._status.close()
            raise
        return self._note_end(message)

    def _on_status(self, loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[int]") -> None:
        if (code := self.returncode) is not None:
            loop.remove_reader(self._status)
            self._status.close()
            ended.set_result(code)

    def _note_end(self, message: bytes) -> int:
        # No message: the zygote is gone, and has killed its processes.
        [code] = NUMBER.unpack(message) if message else [-signal.SIGKILL]
        self._returncode = int(code)
        if self._ended is None:
            self._status.close()
        return self._returncode


def is_possible(environment: Mapping[str, str], root: Path = ROOT) -> bool:
    """Whether a process with this environment, in the tree at `root`, may be a fork.

    Any other variable than a setting may have been read by a module when the zygote imported it.
    """
    ours = _environment()
    changed = {name for name in ours.keys() | environment.keys() if ours.get(name) != environment.get(name)}
    unknown = {name for name in changed - _MAY_DIFFER if not name.startswith("HEADRACE_")}
    return sys.platform == "linux" and root == ROOT and not unknown


async def start(
    module: str,
    *arguments: str,
    env: Mapping[str, str],
    output: IO[bytes],
    pass_fds: Sequence[int] = (),
) -> ForkedProcess:
    """Start `python -m MODULE ARGUMENTS`, without input, and with both outputs to the same file."""
    with Path(os.devnull).open("rb") as nothing:
        files = [nothing.fileno(), output.fileno(), output.fileno()]
        status = _request(module, arguments, env, files, pass_fds)
    status.setblocking(False)
    pid = await asyncio.get_running_loop().sock_recv(status, NUMBER.size)
    return ForkedProcess(_pid(pid), status)


def run(
    module: str, *arguments: str, stdin: bytes, env: Mapping[str, str], seconds: float
) -> CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` to its end, as `subprocess.run` does. Raises TimeoutExpired."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        status = _request(module, arguments, env, [reading, output.fileno(), errors.fileno()], ())
        os.close(reading)
        process = ForkedProcess(_pid(status.recv(NUMBER.size)), status)
        try:
            with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
                pipe.write(stdin)
            code = process.wait_blocking(seconds)
        except TimeoutError:
            raise subprocess.TimeoutExpired(arguments, seconds) from None
        output.seek(0)
        errors.seek(0)
        return CompletedProcess([module, *arguments], code, output.read().decode(), errors.read().decode())


def stop() -> None:
    """Stop the zygote and all that it has forked, if it was started."""
    if _zygote.cache_info().currsize:
        process, requests = _zygote()
        requests.close()
        process.wait()
        _zygote.cache_clear()


def _request(
    module: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    files: Sequence[int],
    pass_fds: Sequence[int],
) -> socket.socket:
    """Ask for a process; return its status socket."""
    _, requests = _zygote()
    request = msgspec.msgpack.encode(Request(module, tuple(arguments), dict(env), str(ROOT), tuple(pass_fds)))
    assert len(request) <= MAX_REQUEST_BYTES
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(requests, [request], [theirs.fileno(), *files, *pass_fds])
    return ours


def _pid(message: bytes) -> int:
    assert message, "the zygote has ended; its error is in the output of the tests"
    [pid] = NUMBER.unpack(message)
    return int(pid)


@cache
def _environment() -> dict[str, str]:
    """The environment of the zygote: ours when the first process was to be started."""
    return dict(os.environ)


@cache
def _zygote() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote_process", str(theirs.fileno())],
            env={**_environment(), **_ONE_THREAD},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
    return process, ours
