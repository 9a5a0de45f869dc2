"""When a failed try is repeated, and how long a failing subscription is held."""

import random
from typing import Final

DELAYS_SECONDS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The delay after each failed try: ten tries in 75 h 35 min."""

MAX_TRIES: Final = len(DELAYS_SECONDS) + 1
JITTER: Final = 0.1

HELD_FROM_FAILURES: Final = 5
"""A subscription with this many failures in a row is held, and then probed with one delivery at a time."""

HOLD_BASE_SECONDS: Final = 5
HOLD_MAX_SECONDS: Final = 300
DISABLED_AFTER_DAYS: Final = 5
"""A subscription is disabled when every try of this many days has failed."""

MAX_RETRY_AFTER_SECONDS: Final = 86_400.0
AWAY_SECONDS: Final = 60.0
"""How long a channel that is away is left alone."""


def delay_seconds(tries: int) -> float | None:
    """Return the delay before the next try after `tries` failed ones; None if there is none."""
    if tries >= MAX_TRIES:
        return None
    delay = DELAYS_SECONDS[tries - 1]
    return delay * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # spreads load, guards nothing
