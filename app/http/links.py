"""Links in responses: paths under the prefix under which the client sent its request.

`app.http.prefixes` sets the prefix of a request; every path in a response passes through `link`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_prefix: Final = ContextVar("prefix", default="")


def link(path: str) -> str:
    """Return the path of a route, such as `/jobs/1`, as the client of the current request reaches it."""
    return _prefix.get() + path


def prefix() -> str:
    """Return the prefix of the current request, such as `/ml/api/v1`; empty if it has none."""
    return _prefix.get()


@contextmanager
def under(prefix: str) -> Iterator[None]:
    """Put the links of the request that is served during the `with` under a prefix."""
    token = _prefix.set(prefix)
    try:
        yield
    finally:
        _prefix.reset(token)
