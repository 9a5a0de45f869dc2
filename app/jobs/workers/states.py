"""The states of workers."""

from enum import StrEnum


class WorkerState(StrEnum):
    """Whether a worker takes jobs, has been told to stop, or has not renewed its lease."""

    LIVE = "live"
    DRAINING = "draining"
    LOST = "lost"
