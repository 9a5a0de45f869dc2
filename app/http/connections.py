"""How many connections are open: in all, and from each network address."""

from collections import Counter
from collections.abc import Sequence

from app.http.addresses import Network, is_trusted, network_of


class ConnectionCounter:
    """Counts the open connections of one process. A trusted proxy is not held to the limit of one address."""

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
        """Count a connection from this address; False if there may not be another."""
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
        """Stop counting a connection that `add` has counted."""
        network = network_of(host)
        self._total -= 1
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]
