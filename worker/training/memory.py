"""Whether the work fits into this child. It is asked before: a child that is killed explains nothing."""

from typing import Final

import psutil

from worker.children.child import Limits
from worker.context import JobError

GIBIBYTE: Final = 1024**3


class TooLargeToTrain(JobError):
    """The data or the model would not fit into a child's memory; never retried."""

    def __init__(self, what: str, needed_bytes: float, left_bytes: float) -> None:
        super().__init__(
            "too_large_to_train",
            f"{what} would take about {needed_bytes / GIBIBYTE:.2f} GiB of memory, and"
            f" {left_bytes / GIBIBYTE:.2f} GiB are left of this worker's limit (CHILD_MEMORY_LIMIT_BYTES)",
            is_retryable=False,
        )


def ensure_room(what: str, needed_bytes: float) -> None:
    """Raises TooLargeToTrain if so much more would go over the limit that this child was started with."""
    left = left_bytes()
    if left is not None and needed_bytes > left:
        raise TooLargeToTrain(what, needed_bytes, max(left, 0))


def left_bytes() -> float | None:
    """What may still be taken; None outside of a child, where there is no limit."""
    if Limits.memory_bytes is None:
        return None
    return float(Limits.memory_bytes - psutil.Process().memory_info().rss)
