"""Keeps the work on large request bodies off the event loop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, ParamSpec, TypeVar

_is_large: Final = ContextVar("is_large", default=False)

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def offloading(is_large: bool) -> Iterator[None]:
    """Say whether the request that is served during the `with` has a large body."""
    token = _is_large.set(is_large)
    try:
        yield
    finally:
        _is_large.reset(token)


def has_large_body() -> bool:
    """Whether the current request has a large body."""
    return _is_large.get()


async def offload(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function: in a thread if the current request has a large body.

    For a small body the way to a thread and back would take longer than the work.
    """
    if has_large_body():
        return await asyncio.to_thread(function, *args, **kwargs)
    return function(*args, **kwargs)
