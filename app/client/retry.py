"""How long to go on when the server does not answer, and how long to pause in between."""

import random
from dataclasses import dataclass
from time import monotonic

from app.client.errors import HeadraceError


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How much the client puts up with, in seconds.

    Headrace(url, token=token, patience=Patience(request_seconds=5, retry_seconds=60))
    """

    connect_seconds: float = 5.0
    """How long a connection may take."""
    request_seconds: float = 30.0
    """How long an answer may take."""
    retry_seconds: float = 30.0
    """How long after its first failure a request is tried again; 0: not at all."""
    away_seconds: float = 300.0
    """How long the server may be away before `follow`, `wait`, `results` and `export` give up."""
    silence_seconds: float = 45.0
    """After so long without a byte a stream counts as cut: the server sends something every 15 s."""
    first_pause_seconds: float = 0.2
    """The pause before the first repetition. It doubles with each further one, and a part of it is random."""
    longest_pause_seconds: float = 10.0
    """No pause is longer, except where the server asks for it with Retry-After."""


class RetryState:
    """The failures in a row of one request or one stream: says how long to pause, and when to give up."""

    def __init__(self, retry_config: RetryConfig, *, give_up_seconds: float) -> None:
        self.failures = 0
        self._retry_config = retry_config
        self._give_up_seconds = give_up_seconds
        self._floor_seconds = 0.0
        self._began_at: float | None = None

    def pause_seconds(self, error: HeadraceError | None = None) -> float:
        """Count one more failure, and say how long to pause; raises the error if it is time to give up.

        Never shorter than the server asked for, and never the same for all: clients that were cut off by
        the same restart do not come back at the same instant.
        """
        if error is not None and not error.is_passing:
            raise error
        now = monotonic()
        if self._began_at is None:
            self._began_at = now
        self.failures += 1
        asked = self._floor_seconds
        if error is not None and error.retry_after_seconds is not None:
            asked = error.retry_after_seconds
        first, longest = self._retry_config.first_pause_seconds, self._retry_config.longest_pause_seconds
        ceiling = min(longest, first * 2.0 ** min(self.failures - 1, 60))
        spread = max(ceiling, min(asked, longest) / 2)
        seconds = asked + random.uniform(spread / 2, spread)  # noqa: S311  # spreads load, guards nothing
        if error is not None and now + seconds - self._began_at > self._give_up_seconds:
            raise error
        return seconds

    def ask_for(self, seconds: float) -> None:
        """The server wants at least such a pause before anybody comes back (`retry:` of a stream)."""
        self._floor_seconds = min(seconds, self._retry_config.longest_pause_seconds)

    def answered(self) -> None:
        """The server is there: whatever fails from here on is another outage."""
        self._began_at = None

    def progressed(self) -> None:
        """It works: pauses are short again."""
        self._began_at = None
        self.failures = 0
