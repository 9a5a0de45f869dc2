"""Check that a step of a training fits into memory before it runs: a killed child gives no reason."""

from typing import Final

import psutil

from worker.children.child import Limits
from worker.context import JobError

GIBIBYTE: Final = 1024**3


class TooLargeToTrain(JobError):
    """The data or the model would exceed the memory limit of the child; never retried."""

    def __init__(self, step: str, needed_bytes: float, available: float) -> None:
        super().__init__(
            "too_large_to_train",
            f"{step} would take about {needed_bytes / GIBIBYTE:.2f} GiB of memory, but this worker has"
            f" {available / GIBIBYTE:.2f} GiB left of its limit; train on fewer rows or columns, or ask the"
            " operator to raise CHILD_MEMORY_LIMIT_BYTES",
            is_retryable=False,
        )


def ensure_available(step: str, needed_bytes: float) -> None:
    """Raise TooLargeToTrain if a step needs more memory than this child may still allocate."""
    available = available_bytes()
    if available is not None and needed_bytes > available:
        raise TooLargeToTrain(step, needed_bytes, max(available, 0))


def available_bytes() -> float | None:
    """Return how many more bytes this process may allocate; None outside a child, where there is no limit."""
    if Limits.memory_bytes is None:
        return None
    return float(Limits.memory_bytes - psutil.Process().memory_info().rss)
