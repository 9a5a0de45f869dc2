"""Tracks how long this process has been connected to Postgres without interruption."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass
class Connectivity:
    """Grace period: a process that has just lost its connection must not decide which workers are dead.

    After an outage of Postgres every worker's lease looks old, because none could renew it. A process may
    rescue only after it has been connected for two lease lengths: by then every live worker has renewed its
    lease. A pause of this process itself (frozen, or starved of CPU) counts as an interruption.
    """

    lease_seconds: float
    clock: Callable[[], float] = monotonic
    _since: float | None = None
    _last: float | None = None

    def touch(self) -> None:
        """Record that Postgres has just responded."""
        now = self.clock()
        if self._last is None or now - self._last > self.lease_seconds / 2:
            self._since = now
        self._last = now

    @property
    def is_long_enough(self) -> bool:
        """Whether two lease lengths have passed since the last interruption."""
        return self._since is not None and self.clock() - self._since >= 2 * self.lease_seconds
