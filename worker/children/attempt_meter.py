"""Records what each attempt of a child has used: as the child reports it, or as observed if it was killed."""

import os
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Final

import psutil

from app.core import metrics
from app.jobs.transition_types import NOT_MEASURED, Measurements
from worker.children.messages import Usage

PROCESSORS: Final = os.cpu_count() or 1
MACHINE_BYTES: Final = psutil.virtual_memory().total

NODE_PROCESSORS: Final = 4096
NODE_BYTES: Final = 2**46
"""More than any other machine has: what a node says of itself is not believed."""

_cpu_seconds: Final = cache(metrics.CPU_SECONDS.labels)


class AttemptMeter:
    """Measures the attempts of one child, one after the other.

    What a child reports is bounded by the time that has passed and by the memory of the machine, because a
    user's file may have taken the child over.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        *,
        processors: int = PROCESSORS,
        machine_bytes: int = MACHINE_BYTES,
    ) -> None:
        """`processors` and `machine_bytes` are what the machine of the child has at most."""
        self.measurements = NOT_MEASURED
        self._processors = processors
        self._machine_bytes = machine_bytes
        self._clock = clock
        self._kind: str | None = None
        self._started_at = 0.0
        self._process_seconds = 0.0
        """The processor time of the process at the last end of an attempt."""

        self._sampled_seconds: float | None = None
        self._sampled_peak: int | None = None

    def reset(self) -> None:
        """Forget the last attempt: the next one may end before it has started in the child."""
        self.measurements = NOT_MEASURED

    def start(self, kind: str) -> None:
        """Begin an attempt at a job of this kind."""
        self.measurements = NOT_MEASURED
        self._kind = kind
        self._started_at = self._clock()
        self._sampled_seconds = self._sampled_peak = None

    def sample(self, *, rss_bytes: int, process_seconds: float | None = None) -> None:
        """Record what the process uses at this moment: resident memory, and processor time since its fork.

        The result stands in for the report of a child that is killed.
        """
        if self._kind is None:
            return
        if rss_bytes:  # otherwise it has just exited
            self._sampled_peak = max(self._sampled_peak or 0, rss_bytes)
        if process_seconds is not None:
            self._sampled_seconds = max(self._sampled_seconds or 0.0, process_seconds - self._process_seconds)
        self.measurements = self._measured(self._sampled_seconds, self._sampled_peak)

    def end(self, usage: Usage | None) -> None:
        """End the attempt with what the child reports."""
        if self._kind is None:
            return
        if usage is None:
            self._kind = None
            return
        peak = usage.memory_peak_bytes
        self._finish(usage.cpu_seconds, self._sampled_peak if peak is None else peak)
        self._process_seconds = max(self._process_seconds, usage.process_cpu_seconds)

    def exited(self, *, process_seconds: float, memory_peak_bytes: int) -> None:
        """End the attempt, if there is one, with what the kernel says about the process that has exited.

        A process that the attempt has started and not reaped is only in the samples. If there was no time for
        a sample, the peak is that of the process.
        """
        if self._kind is None:
            return
        used = max(process_seconds - self._process_seconds, self._sampled_seconds or 0.0)
        self._finish(used, self._sampled_peak or memory_peak_bytes)

    def _finish(self, cpu_seconds: float, memory_peak_bytes: int | None) -> None:
        kind, self.measurements = self._kind, self._measured(cpu_seconds, memory_peak_bytes)
        self._kind = None
        if kind is not None and self.measurements.cpu_seconds:
            _cpu_seconds(kind).inc(self.measurements.cpu_seconds)

    def _measured(self, cpu_seconds: float | None, memory_peak_bytes: int | None) -> Measurements:
        if cpu_seconds is not None:
            possible = (self._clock() - self._started_at) * self._processors
            cpu_seconds = min(cpu_seconds, possible) if cpu_seconds > 0 else 0.0  # also for NaN
        if memory_peak_bytes is not None:
            memory_peak_bytes = min(max(memory_peak_bytes, 0), self._machine_bytes)
        return Measurements(cpu_seconds=cpu_seconds, memory_peak_bytes=memory_peak_bytes)
