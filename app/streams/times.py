"""How often streams look for what they may have missed, and how long they wait for whom."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """In seconds. The defaults are those of production; tests pass shorter or longer ones to `create_app`."""

    compare_seconds: float = 3.0
    """Between two comparisons of the followers with Postgres while Redis is there."""
    compare_away_seconds: float = 0.5
    """The same while Redis is away, and nobody sends hints."""
    retry_seconds: float = 1.0
    """Until the hub connects to Redis again."""
    keep_alive_seconds: float = 15.0
    """Between two signs of life on a quiet stream of server-sent events."""
    stalled_seconds: float = 30.0
    """How long a client may take nothing before it is given up."""
    first_frame_seconds: float = 10.0
    """How long a WebSocket client may take to say who it is."""
    recheck_seconds: float = 30.0
    """Between two looks at whether open streams may still be open."""
    clock_retry_seconds: float = 5.0
    """How long the clock pauses after an error."""
