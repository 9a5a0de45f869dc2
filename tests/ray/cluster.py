"""A Ray cluster of one node on this machine, and what runs in it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from app.core import hardening
from tests.support.processes import ROOT
from tests.support.waiting import until

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
CPUS: Final = 2
GPUS: Final = 2
"""Declared: Ray counts them and numbers them, and looks for none."""

CLIENT_PORT: Final = 10001
_GCS_PORT: Final = 6379
_RAY: Final = Path(sys.executable).with_name("ray")


class Cluster:
    """A head with two CPUs and two declared GPUs, which asks its clients for a token."""

    def __init__(self, *, token: str | None = None, mode: str = "token") -> None:
        self.token = secrets.token_urlsafe(32) if token is None else token
        self.address = f"127.0.0.1:{CLIENT_PORT}"
        self.seconds_to_start = 0.0
        self._mode = mode
        self._process: subprocess.Popen[bytes] | None = None
        # Short: sockets lie below it, and their paths have at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="hr-ray-", dir="/tmp"))

    def start(self) -> None:
        """Start the head, and wait until clients can connect."""
        begun = time.monotonic()
        log = self._folder / "head.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, str(_RAY), "start", "--head", "--block", "--disable-usage-stats"),
                    *("--node-ip-address=127.0.0.1", f"--port={_GCS_PORT}"),
                    *(f"--ray-client-server-port={CLIENT_PORT}", "--include-dashboard=false"),
                    *(f"--num-cpus={CPUS}", f"--num-gpus={GPUS}", f"--object-store-memory={100 * 1024**2}"),
                    f"--temp-dir={self._folder / 'ray'}",
                ],
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: hardening.die_with_parent(signal.SIGTERM),
            )
        while not _accepts(CLIENT_PORT):
            assert self._process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() - begun < START_SECONDS, log.read_text(errors="replace")
            time.sleep(0.05)
        self.seconds_to_start = time.monotonic() - begun

    def kill(self) -> None:
        """Kill every process of the cluster at once, as when the machine of the head is lost."""
        found = list(self.processes())
        for process in found:
            process.suspend()
        for process in [*found, *self.processes()]:
            process.kill()
        self._reap()

    def stop(self) -> None:
        """Stop the head, and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reap()
        shutil.rmtree(self._folder, ignore_errors=True)

    def processes(self) -> Iterator[psutil.Process]:
        """Yield every process of this cluster: each has its environment, or one that Ray has made of it."""
        marker = f"HEADRACE_TEST_CLUSTER={self._folder}".encode()
        for process in psutil.process_iter():
            try:
                environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            except OSError:
                continue
            if marker in environment:
                yield process

    def hosts(self) -> list[psutil.Process]:
        """Return the processes of actors."""
        return [process for process in processes() if title(process).startswith("ray::HostActor")]

    async def until_hosts(self, count: int) -> list[psutil.Process]:
        """Wait until there are so many hosts."""

        async def found() -> bool:
            return len(self.hosts()) == count

        await until(found)
        return self.hosts()

    @property
    def logs(self) -> str:
        """All logs of Ray that say something, for a failed test."""
        files = sorted((self._folder / "ray" / "session_latest" / "logs").glob("*.err"))
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
            self._process = None

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            "HOME": str(self._folder),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": self._mode,
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            # Otherwise one in ten of the processes that the head forks for clients crashes in gRPC.
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            "HEADRACE_TEST_CLUSTER": str(self._folder),
        }


def processes() -> list[psutil.Process]:
    """Return all processes in the network of this one, but this one."""
    ours = Path("/proc/self/ns/net").readlink()
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
                found.append(process)
        except OSError:  # it has exited
            continue
    return found


async def gone(pid: int) -> None:
    """Wait until there is no such process."""

    async def is_gone() -> bool:
        return not psutil.pid_exists(pid)

    await until(is_gone)


def title(process: psutil.Process) -> str:
    """The command line of a process, or the title that it has given itself."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
