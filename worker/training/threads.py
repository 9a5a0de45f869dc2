"""One thread for each child: a slot is meant to be one core, and sums must not depend on who was idle."""

from functools import cache

from threadpoolctl import threadpool_limits


# A process does this once. It stays so: children do one thing at a time.
@cache
def use_one() -> None:
    """Have the numerical libraries of this process compute in one thread."""
    threadpool_limits(limits=1)
