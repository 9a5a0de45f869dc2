"""Passwords that are changed by their owner, or reset with a token from an administrator."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.auth import identities
from app.auth.roles import Role
from app.core.database import Database
from tests.auth.support import PASSWORD, create_user, me, refresh, sign_in, tokens_of
from tests.support import rows
from tests.support.accounts import Account
from tests.support.accounts import sign_in as account_of
from tests.support.waiting import until

NEW = "a new and longer passphrase"


@pytest.fixture
async def admin(app: FastAPI) -> Account:
    return await account_of(app, "root", Role.ADMIN)


@pytest.fixture
async def user_id(client: httpx.AsyncClient) -> str:
    """The id of ada, who has signed up."""
    await create_user(client)
    found: str = (await me(client, (await tokens_of(client))["access_token"])).json()["user_id"]
    return found


async def change(client: httpx.AsyncClient, token: str, current: str, new: str) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    headers = {"Authorization": f"Bearer {token}"}
    return await client.post("/users/me/password", json=body, headers=headers)


async def token_for(client: httpx.AsyncClient, admin: Account, user_id: str) -> str:
    answer = await client.post(f"/users/{user_id}/password-reset", headers=admin.headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    token: str = answer.json()["token"]
    return token


async def reset(client: httpx.AsyncClient, token: str, new: str = NEW) -> httpx.Response:
    return await client.post("/password-resets", json={"token": token, "new_password": new})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_changed_password_ends_the_other_sessions(client: httpx.AsyncClient, user_id: str) -> None:
    current, other = await tokens_of(client), await tokens_of(client)

    changed = await change(client, current["access_token"], PASSWORD, NEW)

    async def is_refused() -> bool:
        return (await me(client, other["access_token"])).status_code == 401

    assert changed.status_code == 204
    assert await until(is_refused, seconds=identities.LIFETIME_SECONDS + 1)
    assert (await refresh(client, other["refresh_token"])).status_code == 401
    assert (await refresh(client, current["refresh_token"])).status_code == 200
    assert code(await sign_in(client)) == (401, "invalid_credentials")
    assert (await sign_in(client, password=NEW)).status_code == 200


@pytest.mark.parametrize("new", ["short", "password", "ada", NEW * 10])
async def test_a_weak_password_is_not_accepted(client: httpx.AsyncClient, user_id: str, new: str) -> None:
    tokens = await tokens_of(client)

    answer = await change(client, tokens["access_token"], PASSWORD, new)

    assert code(answer) == (422, "weak_password")
    assert (await refresh(client, tokens["refresh_token"])).status_code == 200


async def test_wrong_current_passwords_count_as_failed_sign_ins(
    client: httpx.AsyncClient, user_id: str
) -> None:
    token = (await tokens_of(client))["access_token"]

    answers = [code(await change(client, token, f"wrong {number}", NEW)) for number in range(5)]

    assert answers == [(403, "wrong_password")] * 5
    assert code(await change(client, token, PASSWORD, NEW)) == (429, "too_many_attempts")
    assert code(await sign_in(client)) == (429, "too_many_attempts")


async def test_of_two_changes_at_once_one_is_refused(client: httpx.AsyncClient, user_id: str) -> None:
    token = (await tokens_of(client))["access_token"]

    answers = await asyncio.gather(*(change(client, token, PASSWORD, f"{NEW} {n}") for n in range(2)))

    assert sorted(answer.status_code for answer in answers) == [204, 403]


async def test_a_reset_token_sets_a_password_once_and_ends_all_sessions(
    client: httpx.AsyncClient, admin: Account, user_id: str, store: Database
) -> None:
    tokens = await tokens_of(client)
    token = await token_for(client, admin, user_id)

    assert (await sign_in(client)).status_code == 200  # the old password is valid until then
    done = await reset(client, token)

    async def is_refused() -> bool:
        return (await me(client, tokens["access_token"])).status_code == 401

    assert done.status_code == 204
    assert await until(is_refused, seconds=identities.LIFETIME_SECONDS + 1)
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401
    assert (await sign_in(client, password=NEW)).status_code == 200
    assert code(await reset(client, token)) == (400, "invalid_password_reset")


async def test_of_ten_uses_of_a_reset_token_at_once_one_succeeds(
    client: httpx.AsyncClient, admin: Account, user_id: str
) -> None:
    token = await token_for(client, admin, user_id)

    answers = await asyncio.gather(*(reset(client, token, f"{NEW} {n}") for n in range(10)))

    assert sorted(answer.status_code for answer in answers) == [204, *[400] * 9]


async def test_a_reset_token_is_replaced_by_the_next_expires_and_survives_a_weak_password(
    client: httpx.AsyncClient, admin: Account, user_id: str, store: Database
) -> None:
    first = await token_for(client, admin, user_id)
    second = await token_for(client, admin, user_id)

    assert code(await reset(client, first)) == (400, "invalid_password_reset")
    assert code(await reset(client, second, "ada")) == (422, "weak_password")
    await rows.execute(store, "UPDATE password_resets SET expires_at = now() - interval '1 second'")
    assert code(await reset(client, second)) == (400, "invalid_password_reset")
    await rows.execute(store, "UPDATE password_resets SET expires_at = now() + interval '1 hour'")
    assert (await reset(client, second)).status_code == 204


async def test_no_token_is_stored_and_none_is_issued_for_an_unknown_user(
    client: httpx.AsyncClient, admin: Account, user_id: str, store: Database
) -> None:
    token = await token_for(client, admin, user_id)
    unknown = await client.post(f"/users/{uuid4()}/password-reset", headers=admin.headers)

    assert code(unknown) == (404, "user_not_found")
    assert not await rows.value(
        store, "SELECT count(*) FROM password_resets WHERE position($1 IN token_hash) > 0", token.encode()
    )
