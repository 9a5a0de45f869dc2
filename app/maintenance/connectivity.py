"""How long this process has been in contact with Postgres without a break."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass
class Connectivity:
    """The grace rule: a process that lost contact with Postgres must not judge whether workers are alive.

    After an outage of Postgres every worker's lease looks old, because none could renew it. A process may
    rescue only after two lease lengths of its own unbroken contact: by then every living worker was seen.
    A pause of this process itself (it was frozen, or starved of CPU) is a break as well.
    """

    lease_seconds: float
    clock: Callable[[], float] = monotonic
    _since: float | None = None
    _last: float | None = None

    def touch(self) -> None:
        """Record that Postgres has just answered."""
        now = self.clock()
        if self._last is None or now - self._last > self.lease_seconds / 2:
            self._since = now
        self._last = now

    @property
    def is_long_enough(self) -> bool:
        """Whether two leases have passed since the last break."""
        return self._since is not None and self.clock() - self._since >= 2 * self.lease_seconds
