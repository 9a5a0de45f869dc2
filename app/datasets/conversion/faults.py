"""What is wrong with a file, as the process that reads it says it."""

from typing import Literal

Code = Literal["bad_row", "bad_header", "bad_file"]


class Fault(Exception):
    """The file is refused. `line` counts from 1; in Parquet, which has no lines, it is the row."""

    def __init__(self, code: Code, reason: str, *, line: int | None = None) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.reason = reason
        self.line = line
