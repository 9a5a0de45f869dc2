"""Statistics and resource usage: percentiles, spread over rounds, CPU time and memory of processes."""

import math
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

KIB = 1024
MIB = 1024 * KIB


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; NaN without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum over the rounds."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        if self.lowest == self.highest:
            return number(self.median)
        return f"{number(self.median)} ({number(self.lowest)} to {number(self.highest)})"


def spread(values: Iterable[float]) -> Spread:
    """Summarise one value per round."""
    found = list(values)
    if not found:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(statistics.median(found), min(found), max(found))


def number(value: float) -> str:
    """Format a number with about three significant digits."""
    if math.isnan(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 0.01 or value == 0:
        return f"{value:.2f}"
    return f"{value:.2g}"


def milliseconds(seconds: float) -> float:
    """Convert seconds to milliseconds."""
    return seconds * 1000


@dataclass(frozen=True)
class ResourceUsage:
    """Resources that a process and its descendants have used until `at` (monotonic time)."""

    at: float
    cpu_seconds: float
    rss_bytes: int
    pss_bytes: int
    processes: int

    def cores_since(self, before: "ResourceUsage") -> float:
        """Return the average number of processors used since `before`."""
        return (self.cpu_seconds - before.cpu_seconds) / (self.at - before.at)


def measure_usage(pid: int) -> ResourceUsage:
    """Measure a process and its descendants.

    RSS counts shared memory once per process; PSS (proportional set size) counts it once in total.
    """
    cpu = 0.0
    rss = pss = count = 0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            memory = process.memory_full_info()
            cpu += times.user + times.system
            rss += memory.rss
            pss += getattr(memory, "pss", memory.rss)
            count += 1
    return ResourceUsage(time.monotonic(), cpu, rss, pss, count)
