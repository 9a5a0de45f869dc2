"""What the API and the process that converts a file say to each other."""

import msgspec

from app.datasets.conversion.faults import Code
from app.datasets.values import Column, Format


class Task(msgspec.Struct, frozen=True):
    """A file to read, what it is, where to write its rows as Parquet, and how much of each is allowed."""

    source: str
    target: str
    format: Format
    max_rows: int
    max_output_bytes: int
    cpu_seconds: int


class Converted(msgspec.Struct, frozen=True, tag="converted"):
    """The rows are written."""

    rows: int
    columns: tuple[Column, ...]


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The file is refused; see Fault."""

    code: Code
    reason: str
    line: int | None


Answer = Converted | Refusal
