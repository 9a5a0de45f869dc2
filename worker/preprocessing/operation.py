"""What all steps at work have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from app.jobs.preprocessing.steps import AnyStep
from worker.context import JobError
from worker.preprocessing.chunk import Chunk


class BadValue(JobError):
    """A value that a step cannot take; never retried."""

    def __init__(self, step: str, row: int, reason: str) -> None:
        super().__init__("bad_value", f"{step}, row {row}: {reason}", is_retryable=False)


class TooManyValues(JobError):
    """A column has more distinct values than a step can hold; never retried."""

    def __init__(self, step: str, column: str, limit: int) -> None:
        message = f"{step}: the column {column!r} has more than {limit} distinct values"
        super().__init__("too_many_values", message, is_retryable=False)


class Operation:
    """One step at work. It sees the rows in order, in chunks whose borders do not matter.

    If it `needs_survey`, all rows are passed to `survey` before any is passed to `apply`, with `settle` in
    between. Each pass over the rows begins with `restart`.
    """

    needs_survey: ClassVar[bool] = False

    def __init__(self, number: int, step: AnyStep) -> None:
        self.label = f"Step {number} ({step.__struct_config__.tag})"

    def restart(self) -> None:
        """Begin another pass over the rows."""

    def survey(self, chunk: Chunk) -> None:
        """Learn from rows that will come again."""

    def settle(self) -> None:
        """Decide, after the last row of the survey."""

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows as the step leaves them."""
        raise NotImplementedError  # a split has several outputs and is never applied

    def state(self) -> Mapping[str, Any]:
        """Return what a resumed attempt needs: JSON values, and arrays of NumPy."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""

    def reject(self, chunk: Chunk, index: int, reason: str) -> NoReturn:
        """Fail the job because of one row of a chunk."""
        raise BadValue(self.label, chunk.numbers[index].as_py() + 1, reason)
