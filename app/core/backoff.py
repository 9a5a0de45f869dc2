"""Exponential backoff with jitter, for jobs that failed and for loops that lost a server."""

import random


def delay_seconds(failures: int, *, base: float, maximum: float) -> float:
    """Seconds to wait after the given number of failures (from 1): a doubling ceiling, half of it random.

    "Equal jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/: never
    less than half of the ceiling, so that a retry does not come at once, and never all at the same time.
    """
    # 2**1024 overflows a float; the ceiling is reached long before.
    ceiling = min(maximum, base * 2.0 ** min(failures - 1, 60))
    return ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311  # spreads load, guards nothing
