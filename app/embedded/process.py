"""A server process, with the thread that starts it and waits for its end."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

from app.embedded import launch
from app.embedded.account import Account

logger = logging.getLogger("headrace.embedded")

# The rest of our environment is dropped: variables like PGPORT affect the server, and it needs no secrets.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
# Some builds of Python, which runs `launch`, do not start without it.
KEPT_VARIABLES = ("LD_LIBRARY_PATH",)


class ServerProcess:
    """One server, in a session of its own, so that Ctrl+C in the terminal does not reach it.

    When our process ends in any way, Linux sends the server `death_signal`. The kernel watches the *thread*
    that started the server, not the process. Therefore each server has a thread that starts it, waits for it
    and ends with it, and a `ServerProcess` can be created in any thread.
    """

    def __init__(
        self,
        server: str,
        command: Sequence[str],
        *,
        account: Account | None,
        death_signal: signal.Signals,
        log: BinaryIO,
        stdin: BinaryIO | None = None,
    ) -> None:
        self.server = server
        self._exited = threading.Event()
        self._must_run = False
        started: Future[subprocess.Popen[bytes]] = Future()
        uid, gid = (account.uid, account.gid) if account else (-1, -1)
        threading.Thread(
            target=self._run,
            args=(
                [
                    # -I and -S: no PYTHONPATH and no site-packages, which also halves the start-up time.
                    *(sys.executable, "-I", "-S", str(Path(launch.__file__))),
                    *(str(os.getpid()), str(uid), str(gid), str(int(death_signal))),
                    *command,
                ],
                log,
                stdin,
                started,
            ),
            name=f"embedded-{server}",
            daemon=True,
        ).start()
        self._process = started.result()

    @property
    def pid(self) -> int:
        """The pid of the server itself, which is our direct child."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return not self._exited.is_set()

    @property
    def exit_code(self) -> int | None:
        """The exit code as in `subprocess`: a negative number is the signal that ended the server."""
        return self._process.returncode

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the server to end; return whether it has."""
        return self._exited.wait(seconds)

    def expect_to_run(self) -> None:
        """From now on, log an error if the server ends before `end()` is called."""
        self._must_run = True

    def end(self, with_signal: signal.Signals) -> None:
        """Send a signal that should end the server."""
        self._must_run = False
        self._process.send_signal(with_signal)

    def _run(
        self,
        command: list[str],
        log: BinaryIO,
        stdin: BinaryIO | None,
        started: Future[subprocess.Popen[bytes]],
    ) -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=log,
                stderr=log,
                cwd="/",
                env=ENVIRONMENT | {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
                start_new_session=True,
            )
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(process)
        exit_code = process.wait()
        self._exited.set()
        if self._must_run:
            logger.error(
                "%s (pid %d) ended unexpectedly with exit code %d", self.server, process.pid, exit_code
            )
