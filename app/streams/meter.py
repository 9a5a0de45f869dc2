"""Counts the events that a stream writes, and measures how late they are."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from app.core import metrics

TRANSPORTS: Final = ("sse", "websocket")

_events = metrics.counters(metrics.STREAM_EVENTS, TRANSPORTS)
_lags = {transport: metrics.STREAM_LAG_SECONDS.labels(transport) for transport in TRANSPORTS}


class Meter:
    """Measures one stream.

    The lag of an event counts from its timestamp, the start of the transaction that wrote it: the log has no
    later moment, and such a transaction is one statement. Events from before the stream was opened have no
    lag: the client asked for history.
    """

    __slots__ = ("_count", "_lag", "_opened_at", "_wall")

    def __init__(self, transport: str, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._opened_at = wall()
        self._count = _events[transport]
        self._lag = _lags[transport]

    def written(self, at: datetime) -> None:
        """Record that the event of this time has been written to the connection."""
        self._count.inc()
        happened_at = at.timestamp()
        if happened_at >= self._opened_at:
            # Negative if the clock of Postgres is ahead of ours.
            self._lag.observe(max(0.0, self._wall() - happened_at))
