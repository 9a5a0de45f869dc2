"""`python -m app.datasets.profiling`: profile one file and print the profile as JSON."""

import os
import resource
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.core import hardening
from app.core.sandbox import confinement, readable
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


def main() -> None:
    """Run the task that the only argument describes."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    hardening.make_undumpable()
    confinement.Confinement(readable.installed()).apply((), files=[Path(task.source)], scratch=None)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # SIGXCPU ends the process.
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds + 1))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    pa.set_cpu_count(1)
    sys.stdout.buffer.write(msgspec.json.encode(compute(Path(task.source))))


def _exit_with_parent() -> None:
    """Exit with the parent, which holds the other end of stdin and never writes to it."""
    # Not `sys.stdin`: a thread that still reads from it at exit is a fatal error.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
