"""`python -m app.models.plots.drawing FOLDER`: draw the task from stdin and write the file to stdout."""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from app.core import hardening
from app.core.sandbox import confinement, readable
from app.models.plots.drawing import figures, files
from app.models.plots.messages import Task

MEMORY_BYTES: Final = 1024**3
CPU_SECONDS: Final = 15
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
NICENESS: Final = 5
"""Plots give way to requests."""


def main() -> None:
    """Draw the task from stdin. The process is confined before it reads it."""
    hardening.die_with_parent(signal.SIGKILL)
    hardening.make_undumpable()
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))  # SIGXCPU ends the process
    confinement.Confinement(readable.installed()).apply((), files=(), scratch=Path(sys.argv[1]))
    confinement.limit_files(MAX_FILE_BYTES)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(files.encode(figures.draw(task.plot, task.report), task.format))


if __name__ == "__main__":
    main()
