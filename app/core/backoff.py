"""Exponential backoff with jitter, for failed jobs and for loops that lost their connection."""

import random


def delay_seconds(failures: int, *, base: float, maximum: float) -> float:
    """Return the delay in seconds after `failures` consecutive failures (counted from 1).

    Implements "equal jitter" (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/):
    half of the exponential ceiling is fixed, so that no retry is immediate; half is random, so that retries
    do not synchronise.
    """
    # 2**1024 overflows a float; `maximum` is reached long before 2**60.
    ceiling = min(maximum, base * 2.0 ** min(failures - 1, 60))
    return ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311  # spreads load, guards nothing
