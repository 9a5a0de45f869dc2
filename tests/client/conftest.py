"""A running system, and both clients."""

from collections.abc import AsyncIterator, Callable

import pytest

from app.client import AsyncHeadrace
from tests.client import either
from tests.client.running import Running, User, ada, system

__all__ = ["ada", "client", "connect", "system"]

Connect = Callable[..., AsyncHeadrace]


@pytest.fixture(params=["async", "blocking"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Creates clients of each kind, and closes them at the end."""
    made: list[AsyncHeadrace] = []

    def connect(url: str, **arguments: object) -> AsyncHeadrace:
        made.append(either.connect(request.param, url, **arguments))
        return made[-1]

    yield connect
    for client in made:
        await client.aclose()


@pytest.fixture
def client(connect: Connect, system: Running, ada: User) -> AsyncHeadrace:
    """A client of the user ada."""
    return connect(system.url, **ada.credentials)
