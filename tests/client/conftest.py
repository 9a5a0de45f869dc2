"""A running system, and clients of both kinds."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from app.client import AsyncHeadrace
from tests.client import either
from tests.client.running import Running, User, running
from tests.conftest import Servers

Connect = Callable[..., AsyncHeadrace]


@pytest.fixture(scope="module")
def system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An API and a worker, each a process."""
    with running(servers, tmp_path_factory.mktemp("system")) as found:
        yield found


@pytest.fixture
def ada(system: Running) -> User:
    """A user of the system, new for each test."""
    return system.sign_up()


@pytest.fixture(params=["async", "blocking"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients, once of each kind; they are closed at the end."""
    made: list[AsyncHeadrace] = []

    def connect(url: str, **arguments: object) -> AsyncHeadrace:
        made.append(either.connect(request.param, url, **arguments))
        return made[-1]

    yield connect
    for client in made:
        await client.aclose()


@pytest.fixture
def client(connect: Connect, system: Running, ada: User) -> AsyncHeadrace:
    """A client of ada's."""
    return connect(system.url, **ada.credentials)
