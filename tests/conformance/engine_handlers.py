"""Handlers that use what an engine has to bring to a child, take from it, or keep from it."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.context import Handler, JobContext

UNNAMED_SIGNAL = 35
"""A real-time signal. Python has names for the first and the last of them only."""


def read_file(job: JobContext) -> dict[str, Any]:
    """Read a file of the job."""
    content = job.file("dataset").read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_files(job: JobContext) -> dict[str, Any]:
    """Write a file and a folder."""
    (job.scratch / "model").write_text(job.params["model"])
    (job.scratch / "folder").mkdir()
    return {}


def keep_a_checkpoint(job: JobContext) -> dict[str, Any]:
    """Write a large checkpoint, or read it."""
    before = job.resume.checkpoint
    if before is not None:
        return {"sha256": hashlib.sha256(before).hexdigest()}
    content = os.urandom(job.params["bytes"])
    (job.scratch / "state").write_bytes(content)
    job.commit([0], checkpoint=job.scratch / "state")
    return {"sha256": hashlib.sha256(content).hexdigest()}


def die_of_a_signal_without_a_name(job: JobContext) -> dict[str, Any]:
    os.kill(os.getpid(), UNNAMED_SIGNAL)
    return {}


def try_to_escape(job: JobContext) -> dict[str, Any]:
    """Say which errors keep the child from a file of others, and from the network."""
    return {
        "file": _error(lambda: Path(job.params["path"]).read_bytes()),
        "network": _error(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
    }


def _error(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return None


HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (read_file, write_files, keep_a_checkpoint, die_of_a_signal_without_a_name, try_to_escape)
}
