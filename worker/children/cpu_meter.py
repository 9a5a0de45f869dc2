"""Counts the processor time of a child by the kind of its jobs."""

import os
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Final

from app.core import metrics

PROCESSORS: Final = os.cpu_count() or 1

_cpu_seconds: Final = cache(metrics.CPU_SECONDS.labels)


class CpuMeter:
    """Reads the processor time of one child at the end of each attempt, or at the child's own end.

    What a child reports is bounded by the time that has passed, because a user's file may have taken the
    child over.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._running: tuple[str, float] | None = None
        self._seconds = 0.0

    def start(self, kind: str) -> None:
        """Begin an attempt at a job of this kind."""
        self._running = kind, self._clock()

    def read(self, seconds: float) -> None:
        """Count what the child has used since the last reading, and end the attempt.

        `seconds` is the processor time since the child was forked. Outside of attempts, nothing is counted.
        """
        used = seconds - self._seconds
        self._seconds = max(self._seconds, seconds)
        if self._running is None:
            return
        kind, started_at = self._running
        self._running = None
        used = min(used, (self._clock() - started_at) * PROCESSORS)
        if used > 0:  # false for NaN
            _cpu_seconds(kind).inc(used)
