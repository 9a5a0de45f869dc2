"""Profiles one file, in a process of its own. The task and the profile are JSON."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.core.sandbox import confinement
from app.datasets.profiling import columns
from app.datasets.profiling.messages import Profile, Task
from app.datasets.reading import RowReader

NICENESS: Final = 5
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_MISSING: Final = np.uint64(0xBF58476D1CE4E5B9)


def compute(source: Path) -> Profile:
    """Return the profile of a file of rows, a column at a time."""
    with RowReader(source) as reader:
        rows = len(reader)
        of_rows = np.zeros(rows, np.uint64)
        found = []
        for column in reader.columns:
            values = columns.read(reader, column.name)
            _mix(of_rows, values)
            found.append(columns.profile(reader, column, values))
        return Profile(rows, rows - len(np.unique(of_rows)), tuple(found))


def _mix(of_rows: npt.NDArray[np.uint64], values: columns.Values) -> None:
    """Mix the values of a column into a number for each row, equal for equal rows."""
    cells = np.full(len(of_rows), _MISSING)
    numbers = values.numbers + 0.0 if values.numbers.dtype == np.float64 else values.numbers  # no -0.0
    cells[values.is_present] = numbers.view(np.uint64)
    of_rows ^= cells
    of_rows *= _FACTOR
    of_rows ^= of_rows >> np.uint64(29)


def run(encoded: bytes, installed: Sequence[Path]) -> bytes:
    """Confine this process to the task, within its limits, and return the profile."""
    task = msgspec.json.decode(encoded, type=Task)
    confinement.Confinement(installed).apply((), files=[Path(task.source)], scratch=None)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # SIGXCPU ends the process.
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds + 1))
    pa.set_cpu_count(1)
    return msgspec.json.encode(compute(Path(task.source)))
