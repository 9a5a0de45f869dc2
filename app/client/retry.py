"""When to retry a request, and when to give up."""

import random
from dataclasses import dataclass
from time import monotonic

from app.client.errors import HeadraceError


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """Timeouts and retries of the client, in seconds.

    Headrace(url, token=token, retry_config=RetryConfig(request_seconds=5, retry_seconds=60))
    """

    connect_seconds: float = 5.0
    """Timeout of a connection attempt."""
    request_seconds: float = 30.0
    """Timeout of a response."""
    retry_seconds: float = 30.0
    """How long after its first failure a request is retried; 0: never."""
    away_seconds: float = 300.0
    """How long the server may be unreachable before `follow`, `wait`, `results` and `export` give up."""
    silence_seconds: float = 45.0
    """Timeout of a stream without a byte; the server sends something every 15 s."""
    first_pause_seconds: float = 0.2
    """The pause before the first retry; doubles with each further retry, with jitter."""
    longest_pause_seconds: float = 10.0
    """Maximum pause, unless the server asks for a longer one with Retry-After."""


class RetryState:
    """Consecutive failures of one request or stream: decides how long to pause, and when to give up."""

    def __init__(self, retry_config: RetryConfig, *, give_up_seconds: float) -> None:
        self.failures = 0
        self._retry_config = retry_config
        self._give_up_seconds = give_up_seconds
        self._floor_seconds = 0.0
        self._began_at: float | None = None

    def pause_seconds(self, error: HeadraceError | None = None) -> float:
        """Count a failure, and return how long to pause. Raises the error if it is time to give up.

        The pause is never shorter than the server asks for, and has jitter, so that clients that a restart
        has disconnected do not all return at the same moment.
        """
        if error is not None and not error.is_transient:
            raise error
        now = monotonic()
        if self._began_at is None:
            self._began_at = now
        self.failures += 1
        requested = self._floor_seconds
        if error is not None and error.retry_after_seconds is not None:
            requested = error.retry_after_seconds
        first, longest = self._retry_config.first_pause_seconds, self._retry_config.longest_pause_seconds
        ceiling = min(longest, first * 2.0 ** min(self.failures - 1, 60))
        spread = max(ceiling, min(requested, longest) / 2)
        seconds = requested + random.uniform(spread / 2, spread)  # noqa: S311  # jitter, not a secret
        if error is not None and now + seconds - self._began_at > self._give_up_seconds:
            raise error
        return seconds

    def set_minimum_pause(self, seconds: float) -> None:
        """Pause at least this long, as the server asks in `retry:` of a stream."""
        self._floor_seconds = min(seconds, self._retry_config.longest_pause_seconds)

    def answered(self) -> None:
        """The server has responded: a failure from here on begins a new outage."""
        self._began_at = None

    def progressed(self) -> None:
        """The request made progress: reset the failures and the pause."""
        self._began_at = None
        self.failures = 0
