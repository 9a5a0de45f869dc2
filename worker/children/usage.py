"""Measures what an attempt uses, from within its child process: processor time and peak memory.

Peak memory is exact for each attempt, because the kernel's high-water mark is reset before it. That works
because a child is forked and executes no other program. See `proc_pid_clear_refs(5)` and `getrusage(2)`.
"""

import os
import resource
import sys
from typing import Final

from app.core import hardening
from worker.children.messages import Usage

_RESET_PEAK: Final = b"5"
_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024
"""The unit of `ru_maxrss`."""


class UsageMeter:
    """Measures the attempts of this process, one after the other.

    Create it before the process is confined, because a confined process cannot open the file that resets the
    high-water mark.
    """

    def __init__(self) -> None:
        self._peak_reset = _open_peak_reset()
        self._has_own_peak = False
        self._cpu_before = 0.0

    def start(self) -> None:
        """Begin an attempt."""
        self._has_own_peak = self._reset_peak()
        self._cpu_before = _cpu_seconds()

    def read(self) -> Usage:
        """Return what the attempt has used so far.

        The peak is None if it could not be reset, since an earlier attempt may have been the larger one.
        """
        cpu_seconds = _cpu_seconds()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
        return Usage(
            cpu_seconds=cpu_seconds - self._cpu_before,
            memory_peak_bytes=peak if self._has_own_peak else None,
            process_cpu_seconds=cpu_seconds,
        )

    def _reset_peak(self) -> bool:
        if self._peak_reset is None:
            return False
        try:
            os.write(self._peak_reset, _RESET_PEAK)
        except OSError:  # a handler may have closed the descriptor
            return False
        return True


def _cpu_seconds() -> float:
    """Return the processor time of this process, and of the processes that it has started and reaped."""
    own, reaped = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + reaped.ru_utime + reaped.ru_stime


def _open_peak_reset() -> int | None:
    """Open the file that resets the high-water mark; None where there is none."""
    try:
        # An undumpable process does not own its files in /proc. This one has no secrets yet.
        with hardening.dumpable():
            return os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # not Linux, or /proc is read-only
        return None
