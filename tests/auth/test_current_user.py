"""Whose token it is, asked of Postgres once a second at most."""

from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.auth import identities
from app.auth.identities import Identities
from app.auth.tokens import Tokens
from app.core.config import Settings
from app.core.errors import Unauthorized
from app.core.resources import Resources
from tests.auth.support import create_user, me, tokens_of
from tests.conftest import SignUp
from tests.support.app_state import state_of
from tests.support.waiting import until


@pytest.fixture
async def token(client: httpx.AsyncClient) -> str:
    """The access token of a user who just signed in."""
    await create_user(client)
    access_token: str = (await tokens_of(client))["access_token"]
    return access_token


async def execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(statement)
    await connection.close()


async def refused(client: httpx.AsyncClient, token: str) -> bool:
    return (await me(client, token)).status_code == 401


async def test_i_see_myself_and_nobody_else(client: httpx.AsyncClient, sign_up: SignUp) -> None:
    ada, bob = await sign_up("ada"), await sign_up("bob")

    assert (await client.get("/users/me", headers=ada)).json()["username"] == "ada"
    assert (await client.get("/users/me", headers=bob)).json()["username"] == "bob"


async def test_the_versioned_path_is_the_same_route(client: httpx.AsyncClient, sign_up: SignUp) -> None:
    response = await client.get("/api/v1/users/me", headers=await sign_up("ada"))

    assert response.json()["username"] == "ada"


@pytest.mark.parametrize("end", ["UPDATE users SET is_active = false", "DELETE FROM users"])
async def test_a_user_who_is_off_or_gone_is_refused(
    client: httpx.AsyncClient, token: str, database_url: str, end: str
) -> None:
    await execute(database_url, end)

    assert await refused(client, token)


async def test_a_user_who_was_just_here_is_refused_within_the_second(
    client: httpx.AsyncClient, token: str, database_url: str
) -> None:
    assert not await refused(client, token)
    await execute(database_url, "UPDATE users SET is_active = false")

    assert await until(lambda: refused(client, token), seconds=identities.LIFETIME_SECONDS + 1)


async def test_a_token_of_somebody_who_never_was_is_refused(
    client: httpx.AsyncClient, app: FastAPI, token: str
) -> None:
    auth = state_of(app).auth

    assert await refused(client, auth.tokens.issue_access(uuid4()))


async def test_within_the_second_postgres_is_not_asked_again(
    resources: Resources, settings: Settings, database_url: str
) -> None:
    user_id = await add_user(database_url)
    tokens = Tokens(settings)
    known = Identities(tokens, resources.database)
    token = tokens.issue_access(user_id)

    first = await known.identify(token)
    await execute(database_url, "DELETE FROM users")

    assert await known.identify(token) == first
    with pytest.raises(Unauthorized):
        await known.identify(tokens.issue_access(user_id))


async def test_a_remembered_token_still_expires(
    resources: Resources, settings: Settings, database_url: str
) -> None:
    user_id = await add_user(database_url)
    tokens = Tokens(settings.model_copy(update={"access_token_seconds": 1}))
    known = Identities(tokens, resources.database)
    token = tokens.issue_access(user_id)
    assert (await known.identify(token)).id == user_id

    async def is_refused() -> bool:
        try:
            await known.identify(token)
        except Unauthorized:
            return True
        return False

    assert await until(is_refused, seconds=5)


async def test_what_is_remembered_is_bounded(
    resources: Resources, settings: Settings, database_url: str
) -> None:
    user_id = await add_user(database_url)
    tokens = Tokens(settings)
    known = Identities(tokens, resources.database, max_remembered=3)
    first, *others = [tokens.issue_access(user_id) for _ in range(4)]
    for token in (first, *others):
        await known.identify(token)
    await execute(database_url, "DELETE FROM users")

    for token in others:
        assert (await known.identify(token)).id == user_id
    with pytest.raises(Unauthorized):
        await known.identify(first)


async def add_user(database_url: str) -> UUID:
    connection = await asyncpg.connect(database_url)
    user_id: UUID = await connection.fetchval(
        "INSERT INTO users (id, username, username_key, password_hash)"
        " VALUES (gen_random_uuid(), 'ada', 'ada', '') RETURNING id"
    )
    await connection.close()
    return user_id
