"""Intervals and timeouts of streams."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Times in seconds. The defaults are for production; tests pass other values to `create_app`."""

    compare_seconds: float = 3.0
    """Interval at which followers are compared with Postgres while Redis is available."""
    compare_away_seconds: float = 0.5
    """The same interval while Redis is unavailable and no hints arrive."""
    retry_seconds: float = 1.0
    """Delay before the hub reconnects to Redis."""
    round_seconds: float = 0.1
    """Interval at which the logs of owners are read for all followers, while events arrive."""
    keep_alive_seconds: float = 15.0
    """Interval between keep-alive comments on an idle stream of server-sent events."""
    stalled_seconds: float = 30.0
    """Time without reading after which a client is disconnected."""
    first_frame_seconds: float = 10.0
    """Timeout for a WebSocket client to authenticate in its first frame."""
    recheck_seconds: float = 30.0
    """Interval between authorisation checks of open streams."""
    clock_retry_seconds: float = 5.0
    """Pause of the clock after an error."""
