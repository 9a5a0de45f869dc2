"""Errors of a file that cannot be converted."""

from typing import Final, Literal

from app.datasets.conversion.row_sizes import MAX_ROW_BYTES

Code = Literal["bad_row", "bad_header", "bad_file", "too_many_rows", "rows_too_large"]

NO_LIMIT: Final = 2**63 - 1


class Fault(Exception):
    """The file is rejected. `line` counts from 1; for Parquet, which has no lines, it is the row."""

    def __init__(self, code: Code, reason: str, *, line: int | None = None) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.reason = reason
        self.line = line


def row_too_large(line: int) -> Fault:
    """The fault of a row that exceeds MAX_ROW_BYTES."""
    return Fault("bad_row", f"the row is longer than {MAX_ROW_BYTES} bytes", line=line)


def too_many_rows(limit: int) -> Fault:
    """The fault of a file with too many rows."""
    return Fault("too_many_rows", f"it has more than {limit} rows")
