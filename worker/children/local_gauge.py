"""Measures the processes of children on this machine."""

from contextlib import suppress
from functools import lru_cache
from typing import Protocol

import psutil


class Gauge(Protocol):
    """Measures a running child."""

    def rss_bytes(self, child: int) -> int:
        """Return the resident memory of a child, including shared pages; 0 after its end."""

    def cpu_seconds(self, child: int, *, with_descendants: bool) -> float | None:
        """Return the processor time of a child since its start; None after its end."""


class LocalGauge:
    """Reads what the kernel says about a process of this machine. A child's number is its process id."""

    def rss_bytes(self, child: int) -> int:
        """Return the resident memory of a child, including shared pages; 0 after its end."""
        try:
            return _process(child).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def cpu_seconds(self, child: int, *, with_descendants: bool) -> float | None:
        """Return the processor time of a child, and of all that it has started; None after its end."""
        try:
            process = psutil.Process(child)
            times = [process.cpu_times()]
            descendants = process.children(recursive=True) if with_descendants else ()
        except psutil.NoSuchProcess:
            return None
        for descendant in descendants:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                times.append(descendant.cpu_times())
        return sum(time.user + time.system + time.children_user + time.children_system for time in times)


@lru_cache(maxsize=256)
def _process(pid: int) -> psutil.Process:
    """Return an object that reads what this process uses: making one takes five times as long."""
    return psutil.Process(pid)
