"""Measures what a worker uses together with its fork server and its children."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

from app.jobs.workers.commands import WorkerLoad

CGROUP: Final = Path("/sys/fs/cgroup")
_LIMIT_FILES: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of cgroups, versions 2 and 1."""


class LoadMeter:
    """Measures the processor time and the memory of processes, the first of which is the worker.

    `pids` returns the processes besides this one: the fork server, which reaps the others, and its children.
    """

    def __init__(
        self,
        pids: Callable[[], Sequence[int]],
        *,
        limit_bytes: int | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`limit_bytes` is the memory that they may use: by default that of the container, or the machine."""
        self._pids = pids
        self._limit_bytes = limit_bytes or memory_limit_bytes()
        self._clock = clock
        self._last: tuple[float, float] | None = None

    def measure(self) -> WorkerLoad:
        """Return the load since the last call. The first call has no processor time to compare with."""
        now, seconds, rss_bytes = self._clock(), 0.0, 0
        processes = (psutil.Process(), *self._existing())
        for position, process in enumerate(processes):
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
            except psutil.NoSuchProcess:
                continue
            seconds += times.user + times.system
            if position:  # what the fork server has reaped were children that have been counted before
                seconds += times.children_user + times.children_system
            rss_bytes += memory.rss
        percent = None
        if self._last is not None and now > self._last[0]:
            percent = 100 * max(0.0, seconds - self._last[1]) / (now - self._last[0])
        self._last = now, seconds
        return WorkerLoad(percent, rss_bytes, 100 * rss_bytes / self._limit_bytes)

    def _existing(self) -> list[psutil.Process]:
        found = []
        for pid in self._pids():
            try:
                found.append(psutil.Process(pid))
            except psutil.NoSuchProcess:
                continue
        return found


def memory_limit_bytes(cgroup: Path = CGROUP) -> int:
    """Return how much memory this container may use, or the machine has, whichever is less."""
    machine = psutil.virtual_memory().total
    for name in _LIMIT_FILES:
        try:
            return min(int((cgroup / name).read_text()), machine)
        except (OSError, ValueError):  # there is no such file, or it says `max`
            continue
    return machine
