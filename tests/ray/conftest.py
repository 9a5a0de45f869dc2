"""A head for the tests of a file, and what all tests leave behind: nothing."""

from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import pytest

from tests.conftest import SignUp
from tests.ray import alone
from tests.ray.cluster import Cluster, processes, title
from tests.support import zygote


def _reason_to_skip() -> str | None:
    if find_spec("ray") is None:
        return "Ray is not installed; `make test-ray` installs it"
    if not alone.is_alone():
        return "needs a network of its own, which `make test-ray` makes where user namespaces are allowed"
    return None


@pytest.fixture(scope="session", autouse=True)
def _with_ray() -> Iterator[None]:
    """Skip all tests without Ray, and see at the end that no process is left in this network."""
    if reason := _reason_to_skip():
        pytest.skip(reason)
    before = {process.pid for process in processes()}
    yield
    zygote.stop()  # the process of the tests themselves
    assert [title(process) for process in processes() if process.pid not in before] == []


@pytest.fixture(scope="module")
def cluster(_with_ray: None) -> Iterator[Cluster]:
    """A head that runs for the tests of one file."""
    head = Cluster()
    try:
        head.start()
        yield head
    finally:
        head.stop()


@pytest.fixture
def own_cluster(_with_ray: None, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that the test starts and breaks itself. Not beside `cluster`: it has the same ports.

    The parameter is its mode of authentication.
    """
    head = Cluster(mode=getattr(request, "param", "token"))
    try:
        yield head
    finally:
        head.stop()


@pytest.fixture
async def ada(client: httpx.AsyncClient, sign_up: SignUp) -> httpx.AsyncClient:
    """A client that is signed in as ada."""
    client.headers.update(await sign_up("ada"))
    return client
