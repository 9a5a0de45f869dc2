"""Converts one file, in a process of its own. The task and the result are JSON."""

import os
import resource
from collections.abc import Callable, Sequence
from errno import EFBIG
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.core.sandbox import confinement
from app.datasets.conversion import causes, columns, encodings, from_csv, from_jsonl, from_parquet
from app.datasets.conversion.faults import NO_LIMIT, Fault
from app.datasets.conversion.messages import Converted, Rejection, Result, Task
from app.datasets.options import UTF_8, ReadOptions
from app.datasets.values import Format

MEMORY_BYTES: Final = 1024**3
NICENESS: Final = 5
"""Conversions give way to requests."""

Convert = Callable[[Path, Path, ReadOptions, int], tuple[pa.Schema, ReadOptions]]

CONVERT: Final[dict[Format, Convert]] = {
    Format.CSV: from_csv.convert,
    Format.JSONL: from_jsonl.convert,
    Format.PARQUET: from_parquet.convert,
}


def convert(
    source: Path, target: Path, file_format: Format, options: ReadOptions, max_rows: int = NO_LIMIT
) -> tuple[pa.Schema, ReadOptions]:
    """Write the rows of a file as Parquet. Returns their schema and the options that were used.

    Raises a Fault.
    """
    if options.encoding is None or options.encoding == UTF_8:
        return CONVERT[file_format](source, target, options, max_rows)
    in_utf8 = target.with_name("in-utf-8")
    try:
        encodings.in_utf8(source, in_utf8, options.encoding)
        return CONVERT[file_format](in_utf8, target, options, max_rows)
    finally:
        in_utf8.unlink(missing_ok=True)


def run(encoded: bytes, installed: Sequence[Path]) -> bytes:
    """Confine this process to the task, within its limits, and return the result."""
    task = msgspec.json.decode(encoded, type=Task)
    # It can use only its own files.
    prepared = confinement.Confinement(installed)
    prepared.apply((), files=[Path(task.source)], scratch=Path(task.target).parent)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Python ignores SIGXFSZ, so that a write beyond the limit fails with EFBIG.
    resource.setrlimit(resource.RLIMIT_FSIZE, (task.max_output_bytes, task.max_output_bytes))
    # SIGXCPU ends the process.
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds + 1))
    pa.set_cpu_count(1)
    return msgspec.json.encode(_run(task))


def _run(task: Task) -> Result:
    target = Path(task.target)
    try:
        schema, used = convert(Path(task.source), target, task.format, task.options, task.max_rows)
        rows = pq.read_metadata(target).num_rows
        if not rows:
            raise Fault("bad_file", "it has no rows")
    except Fault as found:
        fault = causes.explain(Path(task.source), task.format, found)
        return Rejection(fault.code, fault.reason, fault.line)
    except MemoryError:
        return Rejection("bad_file", "it takes too much memory", None)
    except OSError as error:
        if error.errno != EFBIG:
            raise
        return Rejection("rows_too_large", f"its rows take more than {task.max_output_bytes} bytes", None)
    return Converted(rows, tuple(columns.describe(schema)), used)
