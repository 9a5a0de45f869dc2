"""Limits on open connections, in total and per client network."""

from collections import Counter
from collections.abc import Sequence

from app.http.addresses import Network, is_trusted, network_of


class ConnectionCounter:
    """Counts the open connections of one process. Trusted proxies have no limit per address."""

    def __init__(self, *, limit: int, limit_per_address: int, trusted: Sequence[Network] = ()) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._trusted = trusted
        self._total = 0
        self._of_network: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many connections are open."""
        return self._total

    def add(self, host: str) -> bool:
        """Count a connection from this address; False if a limit is reached."""
        network = network_of(host)
        if self._total >= self._limit:
            return False
        is_limited = not is_trusted(host, self._trusted)
        if is_limited and self._of_network[network] >= self._limit_per_address:
            return False
        self._total += 1
        self._of_network[network] += 1
        return True

    def remove(self, host: str) -> None:
        """Remove a connection that `add` has counted."""
        network = network_of(host)
        self._total -= 1
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]
