"""How busy the machine of this process is."""

from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True)
class MachineUse:
    """Percentages of all processors and of all memory."""

    cpu_percent: float
    memory_percent: float


@dataclass
class Machine:
    """Measures the machine. The processors are measured since the previous call, at first since boot."""

    _busy: float = field(default=0.0, init=False)
    _total: float = field(default=0.0, init=False)
    _cpu_percent: float = field(default=0.0, init=False)

    def measure(self) -> MachineUse:
        """Return how busy it is now."""
        times = psutil.cpu_times()
        # The time of guests is part of `user`.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy = total - times.idle - getattr(times, "iowait", 0.0)
        if total > self._total:
            percent = 100 * (busy - self._busy) / (total - self._total)
            self._cpu_percent = min(max(percent, 0.0), 100.0)
            self._busy, self._total = busy, total
        return MachineUse(self._cpu_percent, psutil.virtual_memory().percent)
