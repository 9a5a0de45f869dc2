"""Base class of the embedded servers: start, wait, stop, kill."""

import logging
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, ClassVar

from app.embedded import sockets
from app.embedded.account import Account, AccountMissing
from app.embedded.claim import Claim, DataDirTaken
from app.embedded.errors import EmbeddedServerError
from app.embedded.process import ServerProcess

logger = logging.getLogger("headrace.embedded")

POLL_SECONDS = 0.01
KILL_TIMEOUT_SECONDS = 10.0
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8192


class EmbeddedServer(ABC):
    """A server on a data directory, reachable over a Unix socket only; one server per directory at a time.

    `url` stays the same across restarts, so that clients can reconnect. `options` are settings of the server
    under its own names. All methods block; call them from any thread, one at a time.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(
        self,
        data_dir: Path,
        *,
        options: Mapping[str, str] | None = None,
        start_timeout_seconds: float = 60.0,
        stop_timeout_seconds: float = 30.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.options = dict(options or {})
        self.start_timeout_seconds = start_timeout_seconds
        self.stop_timeout_seconds = stop_timeout_seconds
        self.log_path = self.data_dir / "server.log"
        self.socket_dir = sockets.choose()
        self._claim: Claim | None = None
        self._process: ServerProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients."""

    @property
    def is_running(self) -> bool:
        """Whether the process exists; it may be suspended or busy."""
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int | None:
        """The pid of the server while it runs."""
        return self._process.pid if self._process and self._process.is_running else None

    def start(self) -> None:
        """Start the server and return when it answers. Raises EmbeddedServerError."""
        if self.is_running:
            raise EmbeddedServerError(self.name, f"it is already running with pid {self.pid}")
        self._release()
        began = time.monotonic()
        self._create_data_dir()
        # The server has its own copy of the log's descriptor; ours closes when it has started.
        with self._open_log() as log:
            log_start = log.tell()
            try:
                self._claim = Claim(self.data_dir, self.socket_dir)
                sockets.create(self.socket_dir)
                self._prepare(log)
                self._process = self._launch(self._command(), self._account(), log)
                self._await_answer(self._process)
                self._process.expect_to_run()
            except (OSError, AccountMissing, DataDirTaken, ServerNotReady) as error:
                self.kill()
                raise self._error(error, log_start) from error
            except BaseException:
                self.kill()
                raise
        logger.info(
            "%s started (pid %d, data in %s, %.2f s)",
            *(self.name, self._process.pid, self.data_dir, time.monotonic() - began),
        )

    def stop(self) -> None:
        """Shut the server down, and kill it after `stop_timeout_seconds`. A second call does nothing."""
        process = self._process
        if process is not None and process.is_running:
            process.end(self.stop_signal)
            # A suspended process handles a signal only when it is resumed.
            process.end(signal.SIGCONT)
            if process.wait(self.stop_timeout_seconds):
                logger.info("%s stopped (pid %d)", self.name, process.pid)
            else:
                logger.warning("%s (pid %d) did not stop in time and is killed", self.name, process.pid)
        self.kill()

    def kill(self) -> None:
        """Kill the server at once, as a crash would. It can be started again on the data directory."""
        if self._process is not None and self._process.is_running:
            self._kill(self._process)
            if not self._process.wait(KILL_TIMEOUT_SECONDS):
                raise TimeoutError(f"{self.name} (pid {self._process.pid}) survived SIGKILL")
        self._release()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the server to end on its own; return whether it has."""
        return self._process is None or self._process.wait(seconds)

    @abstractmethod
    def _command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def _answers(self, process: ServerProcess) -> bool:
        """Whether the server accepts clients now; an OSError means no."""

    @abstractmethod
    def _prepare(self, log: BinaryIO) -> None:
        """Prepare the data directory for a start."""

    def _account(self) -> Account | None:
        """The account that the server runs as; None: the current user."""
        return None

    def _kill(self, process: ServerProcess) -> None:
        process.end(signal.SIGKILL)

    def _launch(
        self, command: list[str], account: Account | None, log: BinaryIO, stdin: BinaryIO | None = None
    ) -> ServerProcess:
        return ServerProcess(
            self.name, command, account=account, death_signal=self.stop_signal, log=log, stdin=stdin
        )

    def _await_answer(self, process: ServerProcess) -> None:
        deadline = time.monotonic() + self.start_timeout_seconds
        while not self._can_answer(process):
            if process.wait(POLL_SECONDS):
                raise ServerNotReady(f"it ended with exit code {process.exit_code}")
            if time.monotonic() > deadline:
                raise ServerNotReady(f"it did not answer within {self.start_timeout_seconds:g} seconds")

    def _can_answer(self, process: ServerProcess) -> bool:
        try:
            return self._answers(process)
        except OSError:
            return False

    def _create_data_dir(self) -> None:
        try:
            # The contents are private; the server, perhaps another user, needs the search permission.
            self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedServerError(self.name, str(error)) from error

    def _open_log(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        try:
            log = os.fdopen(os.open(self.log_path, flags, mode=0o600), "ab")
        except OSError as error:
            raise EmbeddedServerError(self.name, str(error)) from error
        log.seek(0, os.SEEK_END)
        return log

    def _error(self, cause: Exception, log_start: int) -> EmbeddedServerError:
        reason = f"{cause} (data directory {self.data_dir})"
        if isinstance(cause, DataDirTaken):
            # The log belongs to the other server.
            return EmbeddedServerError(self.name, reason)
        with self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(log_start, end - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        log_tail = "\n".join(lines[-LOG_TAIL_LINES:])
        return EmbeddedServerError(self.name, reason, log_path=self.log_path, log_tail=log_tail)

    def _release(self) -> None:
        """Release everything but the data."""
        self._process = None
        if self._claim is not None:
            sockets.remove(self.socket_dir)
            self._claim.release()
            self._claim = None


class ServerNotReady(Exception):
    """The server ended or did not answer in time."""
