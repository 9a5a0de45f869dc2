"""Staying signed in: each refresh token is good once."""

import asyncio

import asyncpg
import httpx
import pytest

from tests.auth.support import create_user, me, refresh, tokens_of, without_names


@pytest.fixture
async def token(client: httpx.AsyncClient) -> str:
    """The refresh token of a user who just signed in."""
    await create_user(client)
    refresh_token: str = (await tokens_of(client))["refresh_token"]
    return refresh_token


async def execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(statement)
    await connection.close()


async def test_a_refresh_token_gives_a_new_pair(client: httpx.AsyncClient, token: str) -> None:
    response = await refresh(client, token)

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    pair = response.json()
    assert pair["refresh_token"] != token
    assert (await me(client, pair["access_token"])).status_code == 200
    assert (await refresh(client, pair["refresh_token"])).status_code == 200


async def test_a_used_one_is_refused_and_ends_its_whole_family(client: httpx.AsyncClient, token: str) -> None:
    successor = (await refresh(client, token)).json()["refresh_token"]

    stolen = await refresh(client, token)
    robbed = await refresh(client, successor)

    assert (stolen.status_code, robbed.status_code) == (401, 401)
    assert stolen.json()["code"] == "invalid_token"


async def test_other_sign_ins_of_the_user_live_on(client: httpx.AsyncClient, token: str) -> None:
    elsewhere = (await tokens_of(client))["refresh_token"]
    await refresh(client, token)
    await refresh(client, token)

    assert (await refresh(client, elsewhere)).status_code == 200


async def test_of_fifty_at_once_one_wins_and_later_reuse_ends_the_family(
    client: httpx.AsyncClient, token: str
) -> None:
    responses = await asyncio.gather(*(refresh(client, token) for _ in range(50)))

    assert sorted(response.status_code for response in responses) == [200] + [401] * 49
    winner = next(response for response in responses if response.status_code == 200)
    assert (await refresh(client, token)).status_code == 401
    assert (await refresh(client, winner.json()["refresh_token"])).status_code == 401


async def test_a_successor_that_the_revocation_could_not_see_is_dead_too(
    client: httpx.AsyncClient, token: str, database_url: str
) -> None:
    successor = (await refresh(client, token)).json()["refresh_token"]
    await execute(database_url, "UPDATE refresh_tokens SET revoked_at = now() WHERE used_at IS NOT NULL")

    assert (await refresh(client, successor)).status_code == 401


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE refresh_tokens SET expires_at = now() - interval '1 second'",
        "UPDATE refresh_tokens SET revoked_at = now()",
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
    ],
)
async def test_every_dead_one_gets_the_same_answer(
    client: httpx.AsyncClient, token: str, database_url: str, end: str
) -> None:
    unknown = await refresh(client, "never-issued")
    await execute(database_url, end)

    dead = await refresh(client, token)

    assert dead.status_code == 401
    assert without_names(dead.json()) == without_names(unknown.json())


async def test_an_expired_one_condemns_nobody(
    client: httpx.AsyncClient, token: str, database_url: str
) -> None:
    await execute(database_url, "UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    assert (await refresh(client, token)).status_code == 401
    await execute(database_url, "UPDATE refresh_tokens SET expires_at = now() + interval '1 hour'")

    assert (await refresh(client, token)).status_code == 200


async def test_access_and_refresh_tokens_do_not_stand_in_for_each_other(
    client: httpx.AsyncClient, token: str
) -> None:
    access_token = (await tokens_of(client))["access_token"]

    assert (await me(client, token)).status_code == 401
    assert (await refresh(client, access_token)).status_code == 401


async def test_a_dump_of_the_database_holds_no_token(
    client: httpx.AsyncClient, token: str, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        "SELECT t::text FROM refresh_tokens t UNION ALL SELECT u::text FROM users u"
    )
    await connection.close()

    assert len(rows) == 2
    assert token not in str(rows)
    assert token.encode().hex() not in str(rows)


async def test_expired_tokens_are_swept_when_their_user_signs_in(
    client: httpx.AsyncClient, token: str, database_url: str
) -> None:
    await execute(database_url, "UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")

    await tokens_of(client)

    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM refresh_tokens") == 1
    await connection.close()


@pytest.mark.parametrize(
    "body", ['{"refresh_token": "\\ud800"}', '{"refresh_token": ""}', "{}", '{"token": "x"}']
)
async def test_a_body_that_cannot_be_right_is_refused(client: httpx.AsyncClient, body: str) -> None:
    response = await client.post("/token/refresh", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
