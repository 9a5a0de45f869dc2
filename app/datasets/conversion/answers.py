"""What the API and the process that converts a file say to each other."""

import msgspec

from app.datasets.conversion.faults import Code
from app.datasets.options import AS_FOUND, ReadOptions
from app.datasets.values import Column, Format


class Task(msgspec.Struct, frozen=True):
    """A file to read, what it is and how to read it, where its rows go, and how much of each is allowed."""

    source: str
    target: str
    format: Format
    max_rows: int
    max_output_bytes: int
    cpu_seconds: int
    options: ReadOptions = AS_FOUND


class Converted(msgspec.Struct, frozen=True, tag="converted"):
    """The rows are written. `options` are those that were used, found or told."""

    rows: int
    columns: tuple[Column, ...]
    options: ReadOptions = AS_FOUND


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The file is refused; see Fault."""

    code: Code
    reason: str
    line: int | None


Answer = Converted | Refusal
