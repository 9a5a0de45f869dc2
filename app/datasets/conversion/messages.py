"""Messages between the API and the process that converts a file."""

import msgspec

from app.datasets.conversion.faults import Code
from app.datasets.options import AS_FOUND, ReadOptions
from app.datasets.values import Column, Format


class Task(msgspec.Struct, frozen=True):
    """The file to convert, how to read it, where to write its rows, and the limits."""

    source: str
    target: str
    format: Format
    max_rows: int
    max_output_bytes: int
    cpu_seconds: int
    options: ReadOptions = AS_FOUND


class Converted(msgspec.Struct, frozen=True, tag="converted"):
    """The rows have been written. `options` are those that were used, whether given or detected."""

    rows: int
    columns: tuple[Column, ...]
    options: ReadOptions = AS_FOUND


class Rejection(msgspec.Struct, frozen=True, tag="rejection"):
    """The file was rejected; see Fault."""

    code: Code
    reason: str
    line: int | None


Result = Converted | Rejection
