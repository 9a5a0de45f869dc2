"""A signed-in client of the API."""

import httpx
import pytest

from tests.conftest import SignUp


@pytest.fixture
async def ada(client: httpx.AsyncClient, sign_up: SignUp) -> httpx.AsyncClient:
    """A client that is signed in as ada."""
    client.headers.update(await sign_up("ada"))
    return client
