"""Accounts over HTTP, for administrators."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.audit.values import COMMAND_LINE
from app.auth import identities
from app.auth.errors import LastAdministrator
from app.auth.roles import Role
from app.auth.users import commands
from app.core.database import Database
from tests.auth.support import PASSWORD, create_user, me, refresh, sign_in, tokens_of
from tests.support import rows
from tests.support.accounts import Account
from tests.support.accounts import sign_in as account_of
from tests.support.waiting import until


@pytest.fixture
async def admin(app: FastAPI) -> Account:
    return await account_of(app, "root", Role.ADMIN)


async def names(client: httpx.AsyncClient, admin: Account, **params: str) -> list[str]:
    answer = await client.get("/users", params=params, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    return [user["username"] for user in answer.json()["items"]]


async def change(client: httpx.AsyncClient, admin: Account, who: Account, **body: object) -> httpx.Response:
    return await client.patch(f"/users/{who.id}", json=body, headers=admin.headers)


async def test_an_administrator_lists_users_by_role_state_and_name(
    app: FastAPI, client: httpx.AsyncClient, admin: Account, alice: Account
) -> None:
    await account_of(app, "albert", Role.VIEWER)
    await change(client, admin, alice, is_active=False)

    assert await names(client, admin) == ["albert", "alice", "root"]
    assert await names(client, admin, username="AL") == ["albert", "alice"]
    assert await names(client, admin, role="viewer") == ["albert"]
    assert await names(client, admin, is_active="false") == ["alice"]
    assert await names(client, admin, username="%") == []


async def test_the_pages_of_users_hold_each_once(
    app: FastAPI, client: httpx.AsyncClient, admin: Account
) -> None:
    for number in range(6):
        await account_of(app, f"user-{number}")
    seen: list[str] = []
    params: dict[str, str] = {"limit": "3"}
    while True:
        page = (await client.get("/users", params=params, headers=admin.headers)).json()
        seen += [user["username"] for user in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert seen == [*(f"user-{number}" for number in reversed(range(6))), "root"]


async def test_an_administrator_reads_and_changes_a_user(
    client: httpx.AsyncClient, admin: Account, alice: Account
) -> None:
    changed = await change(client, admin, alice, role="operator")
    read = await client.get(f"/users/{alice.id}", headers=admin.headers)
    unknown = await client.patch(f"/users/{uuid4()}", json={"role": "user"}, headers=admin.headers)
    nothing = await change(client, admin, alice)

    assert changed.status_code == 200
    assert changed.json() == read.json()
    assert (read.json()["role"], read.json()["is_active"]) == ("operator", True)
    assert "password_hash" not in read.text
    assert (unknown.status_code, unknown.json()["code"]) == (404, "user_not_found")
    assert nothing.status_code == 422


async def test_an_administrator_sets_the_share_of_a_user(
    client: httpx.AsyncClient, admin: Account, alice: Account
) -> None:
    before = await client.get(f"/users/{alice.id}", headers=admin.headers)
    changed = await change(client, admin, alice, share=2.5)
    own = await client.get("/users/me", headers=alice.headers)
    refused = [await change(client, admin, alice, share=share) for share in (0, -1, 0.001, 101, "NaN")]
    by_herself = await client.patch(f"/users/{alice.id}", json={"share": 3}, headers=alice.headers)

    assert (before.json()["share"], changed.json()["share"], own.json()["share"]) == (1.0, 2.5, 2.5)
    assert changed.json()["role"] == "user"
    assert [answer.status_code for answer in refused] == [422] * 5
    assert by_herself.status_code == 403


async def test_an_administrator_creates_users_with_any_role(
    client: httpx.AsyncClient, admin: Account
) -> None:
    body = {"username": "bob", "password": PASSWORD, "role": "viewer"}
    created = await client.post("/users", json=body, headers=admin.headers)

    assert (created.status_code, created.json()["role"]) == (201, "viewer")


async def test_nobody_else_chooses_a_role(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    body = {"username": "bob", "password": PASSWORD, "role": "admin"}
    anonymous = await client.post("/users", json=body)
    by_user = await client.post("/users", json=body, headers=alice.headers)

    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "invalid_token")
    assert (by_user.status_code, by_user.json()["code"]) == (403, "forbidden")
    assert await rows.value(store, "SELECT count(*) FROM users WHERE username = 'bob'") == 0


async def test_a_disabled_user_is_signed_out_and_stays_so_when_enabled_again(
    client: httpx.AsyncClient, admin: Account, store: Database
) -> None:
    await create_user(client)
    tokens = await tokens_of(client)
    user_id = (await me(client, tokens["access_token"])).json()["user_id"]
    path = f"/users/{user_id}"

    disabled = await client.patch(path, json={"is_active": False}, headers=admin.headers)
    refused = await sign_in(client)
    await client.patch(path, json={"is_active": True}, headers=admin.headers)

    async def is_signed_out() -> bool:
        return (await me(client, tokens["access_token"])).status_code == 401

    assert disabled.json()["is_active"] is False
    assert (refused.status_code, refused.json()["code"]) == (400, "inactive_user")
    assert await until(is_signed_out, seconds=identities.LIFETIME_SECONDS + 1)
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401
    assert (await sign_in(client)).status_code == 200


@pytest.mark.parametrize("body", [{"role": "user"}, {"is_active": False}, {"role": "viewer"}, None])
async def test_the_last_administrator_is_not_demoted_disabled_or_deleted(
    app: FastAPI, client: httpx.AsyncClient, admin: Account, body: object
) -> None:
    path = f"/users/{admin.id}"

    async def remove() -> httpx.Response:
        if body is None:
            return await client.delete(path, headers=admin.headers)
        return await client.patch(path, json=body, headers=admin.headers)

    refused = await remove()
    disabled = await account_of(app, "former", Role.ADMIN)
    await change(client, admin, disabled, is_active=False)
    still_refused = await remove()
    await account_of(app, "second", Role.ADMIN)

    assert (refused.status_code, refused.json()["code"]) == (409, "last_administrator")
    assert (still_refused.status_code, still_refused.json()["code"]) == (409, "last_administrator")
    assert (await remove()).is_success


async def test_of_administrators_who_are_demoted_at_once_one_stays(app: FastAPI, store: Database) -> None:
    first, second = [await account_of(app, f"root-{number}", Role.ADMIN) for number in range(2)]

    async def demote_second() -> None:
        async with store.transaction() as connection:
            await commands.change(connection, second.id, role=Role.USER, by=COMMAND_LINE)

    async with store.transaction() as connection:
        await commands.change(connection, first.id, role=Role.USER, by=COMMAND_LINE)
        at_once = asyncio.create_task(demote_second())

        async def has_come_to_a_halt() -> bool:
            return at_once.done() or await rows.has_blocked_session(store)

        await until(has_come_to_a_halt)

    with pytest.raises(LastAdministrator):
        await at_once
    assert await rows.value(store, "SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def test_a_deleted_user_is_gone_at_once_and_the_name_is_not_given_out_again(
    client: httpx.AsyncClient, admin: Account, store: Database
) -> None:
    await create_user(client, "ada")
    tokens = await tokens_of(client, "ada")
    user_id = (await me(client, tokens["access_token"])).json()["user_id"]

    deleted = await client.delete(f"/users/{user_id}", headers=admin.headers)

    async def is_signed_out() -> bool:
        return (await me(client, tokens["access_token"])).status_code == 401

    assert deleted.status_code == 204
    assert await until(is_signed_out, seconds=identities.LIFETIME_SECONDS + 1)
    assert (await sign_in(client, "ada")).json()["code"] == "invalid_credentials"
    assert (await client.get(f"/users/{user_id}", headers=admin.headers)).status_code == 404
    assert (await client.delete(f"/users/{user_id}", headers=admin.headers)).status_code == 404
    assert await names(client, admin) == ["root"]
    for _ in range(2):  # as long as the row is there, and after it is gone
        again = await client.post("/users", json={"username": "ADA", "password": PASSWORD})
        assert (again.status_code, again.json()["code"]) == (409, "username_taken")
        await rows.execute(store, "DELETE FROM users WHERE username = 'ada'")
