"""Runs commands of the image as Kubernetes runs its pods: confined, with a read-only root, and as PID 1."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.image.building import Image
from tests.support.processes import START_SECONDS, Process
from tests.support.waiting import until

ENTER: Final = Path(__file__).with_name("enter.sh")


@dataclass(frozen=True)
class Volume:
    """A folder of this machine, mounted in the container."""

    folder: Path
    mount_path: str


@dataclass(frozen=True)
class Container:
    """A running container: `process` ends when its PID 1 does, with the same exit code."""

    process: Process
    init: psutil.Process

    def stop(self) -> None:
        """Send SIGTERM to PID 1, as the kubelet does. Without a handler, the kernel would ignore it."""
        self.init.send_signal(signal.SIGTERM)

    def zombies(self) -> list[psutil.Process]:
        """Return the processes of the container that have ended and that their parent has not reaped."""
        return [
            process
            for process in self.init.children(recursive=True)
            if process.is_running() and process.status() == psutil.STATUS_ZOMBIE
        ]


@asynccontextmanager
async def running(
    image: Image,
    command: Sequence[str],
    environment: Mapping[str, str],
    volume: Volume,
    log_path: Path,
) -> AsyncIterator[Container]:
    """Run a command in a container during the body; on exit, the container is killed if it still runs."""
    unshare = shutil.which("unshare")
    assert unshare is not None
    uid, gid = image.user
    with log_path.open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            *(unshare, "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"),
            *("--propagation", "private", "/bin/sh", str(ENTER), str(image.root)),
            *(image.config["WorkingDir"], str(uid), str(gid), str(volume.folder), volume.mount_path),
            *command,
            # The container's runtime adds the home of /etc/passwd.
            env={"HOME": "/nonexistent", **image.environment, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    process = Process(started, log_path)
    try:
        init = await _init(process)
        try:
            yield Container(process, init)
        finally:
            if process.is_running:
                init.kill()  # and with it every process of the container
                await process.wait()
    finally:
        if process.is_running:
            await process.kill()


async def _init(process: Process) -> psutil.Process:
    """Wait for the container's PID 1."""

    async def find() -> list[psutil.Process]:
        assert process.is_running, process.log
        return psutil.Process(process.pid).children()

    [init] = await until(find, seconds=START_SECONDS)
    return init
