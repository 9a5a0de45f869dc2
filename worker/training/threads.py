"""Limit numerical libraries to one thread: a slot is one core, and sums must not depend on the load."""

from functools import cache

from threadpoolctl import threadpool_limits


# Cached, because the limit lasts as long as the process.
@cache
def limit_to_one() -> None:
    """Make the numerical libraries of this process compute in one thread."""
    threadpool_limits(limits=1)
