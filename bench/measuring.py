"""Numbers out of measurements: percentiles, rounds, and what processes take of the machine."""

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
    """The smallest value that so large a share of them does not exceed; NaN if there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class FanOut:
    """One number, measured once a round."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        if self.lowest == self.highest:
            return number(self.median)
        return f"{number(self.median)} ({number(self.lowest)} to {number(self.highest)})"


def spread(values: Iterable[float]) -> FanOut:
    """Median and extremes over the rounds."""
    found = list(values)
    if not found:
        return FanOut(math.nan, math.nan, math.nan)
    return FanOut(statistics.median(found), min(found), max(found))


def number(value: float) -> str:
    """With about three digits, as one reads it."""
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
    """For tables."""
    return seconds * 1000


@dataclass(frozen=True)
class Taken:
    """What a process and all below it have taken so far."""

    at: float
    cpu_seconds: float
    rss_bytes: int
    pss_bytes: int
    processes: int

    def cores_since(self, before: "Taken") -> float:
        """The share of one processor that was used meanwhile."""
        return (self.cpu_seconds - before.cpu_seconds) / (self.at - before.at)


def taken(pid: int) -> Taken:
    """Look at a process and its descendants.

    RSS counts memory that they share once for each of them; PSS (proportional) counts it once.
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
    return Taken(time.monotonic(), cpu, rss, pss, count)
