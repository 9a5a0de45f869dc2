"""What the stories about signing in have in common."""

from collections.abc import Mapping
from typing import Any

import httpx
import prometheus_client

PASSWORD = "correct horse battery"


async def create_user(client: httpx.AsyncClient, username: str = "ada", password: str = PASSWORD) -> None:
    response = await client.post("/users", json={"username": username, "password": password})
    assert response.status_code == 201, response.text


async def sign_in(
    client: httpx.AsyncClient, username: str = "ada", password: str = PASSWORD
) -> httpx.Response:
    return await client.post("/token", data={"username": username, "password": password})


async def tokens_of(client: httpx.AsyncClient, username: str = "ada") -> dict[str, Any]:
    response = await sign_in(client, username)
    assert response.status_code == 200, response.text
    tokens: dict[str, Any] = response.json()
    return tokens


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/token/refresh", json={"refresh_token": token})


async def me(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})


def without_names(problem: Mapping[str, Any]) -> dict[str, Any]:
    """A problem without what names its request, to be compared with another."""
    return {name: value for name, value in problem.items() if name not in ("request_id", "instance")}


def passwords_computed() -> float:
    return prometheus_client.REGISTRY.get_sample_value("headrace_password_seconds_count") or 0
