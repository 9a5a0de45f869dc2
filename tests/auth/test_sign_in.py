"""Trading a password for tokens."""

import asyncio
import time

import asyncpg
import httpx
import psutil
import pytest

from app.auth import passwords
from tests.auth.support import (
    PASSWORD,
    create_user,
    me,
    passwords_computed,
    sign_in,
    tokens_of,
    without_names,
)


async def test_the_right_password_gives_a_pair_of_tokens(client: httpx.AsyncClient) -> None:
    await create_user(client)

    response = await sign_in(client)

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    pair = response.json()
    assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 1800)
    assert (await me(client, pair["access_token"])).json()["username"] == "ada"


async def test_what_else_an_oauth_client_sends_is_ignored(client: httpx.AsyncClient) -> None:
    await create_user(client)

    response = await client.post(
        "/token",
        data={
            "grant_type": "password",
            "username": "ada",
            "password": PASSWORD,
            "scope": "",
            "client_id": "docs",
            "client_secret": "",
        },
    )

    assert response.status_code == 200


async def test_the_name_may_be_spelt_in_any_case(client: httpx.AsyncClient) -> None:
    await create_user(client, "Ada")

    assert (await sign_in(client, "aDA")).status_code == 200


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer_for_the_same_work(
    client: httpx.AsyncClient,
) -> None:
    await create_user(client)
    start = passwords_computed()

    wrong = await sign_in(client, "ada", "wrong horse battery")
    after_wrong = passwords_computed()
    unknown = await sign_in(client, "nobody", "wrong horse battery")
    after_unknown = passwords_computed()

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert without_names(wrong.json()) == without_names(unknown.json())
    assert wrong.json()["code"] == "invalid_credentials"
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert after_wrong - start == after_unknown - after_wrong == 1


async def test_an_account_that_is_off_says_so_only_to_who_knows_the_password(
    client: httpx.AsyncClient, database_url: str
) -> None:
    await create_user(client)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE users SET is_active = false")
    await connection.close()

    right, wrong = await sign_in(client), await sign_in(client, "ada", "wrong horse battery")

    assert (right.status_code, right.json()["code"]) == (400, "inactive_user")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"username": "ada"},
        {"password": PASSWORD},
        {"username": "ada", "password": "x" * 5000},
        {"username": "a\0da", "password": PASSWORD},
        {"username": "ada", "password": "\0" * 10},
    ],
)
async def test_a_form_that_cannot_be_right_is_refused(
    client: httpx.AsyncClient, form: dict[str, str]
) -> None:
    assert (await client.post("/token", data=form)).status_code == 422


async def test_a_form_in_an_encoding_that_hides_surrogates_is_no_way_in(client: httpx.AsyncClient) -> None:
    # UTF-7 can spell what UTF-8 cannot.
    body = (
        b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\nada\r\n'
        b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n+2AA-+2AA-long\r\n--x--\r\n'
    )

    response = await client.post(
        "/token", content=body, headers={"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"}
    )

    assert response.status_code in (401, 422)


async def test_two_hundred_at_once_neither_fill_the_memory_nor_hold_anybody_up(
    client: httpx.AsyncClient,
) -> None:
    await create_user(client)
    token = (await tokens_of(client))["access_token"]
    process = psutil.Process()
    memory_before = process.memory_info().rss

    signing_in = asyncio.gather(*(sign_in(client) for _ in range(200)))
    waits = []
    while not signing_in.done():
        started = time.perf_counter()
        assert (await me(client, token)).status_code == 200
        waits.append(time.perf_counter() - started)
    responses = await signing_in

    statuses = [response.status_code for response in responses]
    refused = [response for response in responses if response.status_code == 503]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= passwords.THREADS + passwords.MAX_WAITING
    assert {response.json()["code"] for response in refused} == {"too_many_sign_ins"}
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
    assert process.memory_info().rss - memory_before < 150 * 1024 * 1024
    assert len(waits) > 1  # others were served meanwhile
