"""Invitations, and who may create an account under each setting of `REGISTRATION`."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core.config import Registration, Settings, load_settings
from app.core.database import Database
from app.main import create_app
from tests.auth.support import PASSWORD
from tests.support import rows
from tests.support.accounts import Account, sign_in


@pytest.fixture
def registration() -> Registration:
    return Registration.INVITATION


@pytest.fixture
async def app(settings: Settings, registration: Registration) -> AsyncIterator[FastAPI]:
    """An API that creates accounts as `registration` says."""
    application = create_app(settings.model_copy(update={"registration": registration}))
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def admin(app: FastAPI) -> Account:
    return await sign_in(app, "root", Role.ADMIN)


async def invite(client: httpx.AsyncClient, admin: Account, **body: object) -> dict[str, str]:
    answer = await client.post("/invitations", json=body, headers=admin.headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    invitation: dict[str, str] = answer.json()
    return invitation


async def register(client: httpx.AsyncClient, name: str = "ada", **more: object) -> httpx.Response:
    return await client.post("/users", json={"username": name, "password": PASSWORD, **more})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_an_invitation_creates_one_account_with_its_role(
    client: httpx.AsyncClient, admin: Account
) -> None:
    invitation = await invite(client, admin, role="operator")

    without = await register(client)
    created = await register(client, invitation=invitation["token"])
    again = await register(client, "bob", invitation=invitation["token"])

    assert code(without) == (403, "invitation_needed")
    assert (created.status_code, created.json()["role"]) == (201, "operator")
    assert code(again) == (403, "invalid_invitation")


async def test_of_ten_uses_of_an_invitation_at_once_one_succeeds(
    client: httpx.AsyncClient, admin: Account, store: Database
) -> None:
    token = (await invite(client, admin))["token"]

    answers = await asyncio.gather(*(register(client, f"user-{n}", invitation=token) for n in range(10)))

    assert sorted(answer.status_code for answer in answers) == [201, *[403] * 9]
    assert await rows.value(store, "SELECT count(*) FROM users WHERE username LIKE 'user-%'") == 1


async def test_an_invitation_is_not_spent_on_a_name_that_is_taken(
    client: httpx.AsyncClient, admin: Account
) -> None:
    token = (await invite(client, admin))["token"]

    taken = await register(client, "root", invitation=token)

    assert code(taken) == (409, "username_taken")
    assert (await register(client, invitation=token)).status_code == 201


async def test_an_invitation_expires_and_is_revoked(
    client: httpx.AsyncClient, admin: Account, store: Database
) -> None:
    expired, revoked, kept = [await invite(client, admin) for _ in range(3)]
    await rows.execute(
        store,
        "UPDATE invitations SET expires_at = now() - interval '1 second' WHERE id = $1",
        expired["invitation_id"],
    )
    path = f"/invitations/{revoked['invitation_id']}"
    assert (await client.delete(path, headers=admin.headers)).status_code == 204

    listed = (await client.get("/invitations", headers=admin.headers)).json()

    assert [invitation["invitation_id"] for invitation in listed["items"]] == [kept["invitation_id"]]
    assert "token" not in listed["items"][0]
    for invitation in (expired, revoked):
        answer = await register(client, invitation=invitation["token"])
        assert code(answer) == (403, "invalid_invitation")
        path = f"/invitations/{invitation['invitation_id']}"
        gone = await client.delete(path, headers=admin.headers)
        assert code(gone) == (404, "invitation_not_found")


async def test_no_token_of_an_invitation_is_stored(
    client: httpx.AsyncClient, admin: Account, store: Database
) -> None:
    token = (await invite(client, admin))["token"]

    stored = await rows.value(store, "SELECT token_hash FROM invitations")

    assert token.encode() not in stored


@pytest.mark.parametrize("registration", Registration)
async def test_an_administrator_always_creates_accounts(
    client: httpx.AsyncClient, admin: Account, registration: Registration
) -> None:
    body = {"username": "ada", "password": PASSWORD}

    answer = await client.post("/users", json=body, headers=admin.headers)

    assert (answer.status_code, answer.json()["role"]) == (201, "user")


@pytest.mark.parametrize("registration", [Registration.CLOSED])
async def test_a_closed_registration_takes_no_invitation(client: httpx.AsyncClient, admin: Account) -> None:
    token = (await invite(client, admin))["token"]

    assert code(await register(client, invitation=token)) == (403, "registration_closed")


@pytest.mark.parametrize("registration", [Registration.OPEN])
async def test_an_open_registration_takes_the_role_of_an_invitation(
    client: httpx.AsyncClient, admin: Account
) -> None:
    token = (await invite(client, admin, role="viewer"))["token"]

    invited = await register(client, invitation=token)

    assert invited.json()["role"] == "viewer"
    assert code(await register(client, "bob", invitation="unknown")) == (403, "invalid_invitation")
    assert (await register(client, "bob")).json()["role"] == "user"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Registration.OPEN),
        ({"registration_open": "true"}, Registration.OPEN),
        ({"registration_open": "False"}, Registration.CLOSED),
        ({"registration_open": ""}, Registration.OPEN),
        ({"registration_open": "0", "registration": "invitation"}, Registration.INVITATION),
        ({"registration": "closed"}, Registration.CLOSED),
    ],
)
def test_the_former_setting_still_closes_registration(
    given: dict[str, str], expected: Registration, database_url: str, redis_url: str
) -> None:
    settings = load_settings(_env_file=None, database_url=database_url, redis_url=redis_url, **given)

    assert settings.registration is expected
