"""Creating an account."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from app.audit.values import COMMAND_LINE
from app.auth import commands
from app.auth.errors import UsernameTaken, WeakPassword
from app.auth.roles import Role
from app.core.config import Registration, Settings
from app.main import create_app
from tests.auth.support import PASSWORD, create_user, me, sign_in, tokens_of
from tests.support.app_state import state_of


async def test_an_account_is_created_and_shows_no_password(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/users", json={"username": "Ada", "password": PASSWORD, "email": "ada@example.com"}
    )

    assert response.status_code == 201
    user = response.json()
    assert user.keys() == {
        "user_id", "username", "email", "role", "is_active", "share", "request_count", "last_request_at",
        "created_at",
    }  # fmt: skip
    assert (user["username"], user["email"], user["role"]) == ("Ada", "ada@example.com", "user")
    assert (user["is_active"], user["request_count"], user["last_request_at"]) == (True, 0, None)
    assert user["created_at"].endswith(("Z", "+00:00"))


async def test_the_email_is_optional(client: httpx.AsyncClient) -> None:
    response = await client.post("/users", json={"username": "ada", "password": PASSWORD})

    assert response.status_code == 201
    assert response.json()["email"] is None


@pytest.mark.parametrize("same", ["ada", "ADA", " Ada ", "Ａｄａ", "ⓐⓓⓐ"])
async def test_a_name_is_taken_however_it_is_spelt(client: httpx.AsyncClient, same: str) -> None:
    await create_user(client, "Ada")

    response = await client.post("/users", json={"username": same, "password": PASSWORD})

    assert response.status_code == 409
    assert response.json()["code"] == "username_taken"


async def test_one_of_many_at_once_gets_the_name(client: httpx.AsyncClient) -> None:
    body = {"username": "ada", "password": PASSWORD}

    responses = await asyncio.gather(*(client.post("/users", json=body) for _ in range(10)))

    assert sorted(response.status_code for response in responses) == [201] + [409] * 9


@pytest.mark.parametrize(
    "username", ["", "   ", "x" * 101, "a\nERROR x", "a\0b", "\ud800", "tab\there", "zero\u200bwidth"]
)
async def test_a_name_that_would_confuse_a_reader_is_refused(
    client: httpx.AsyncClient, username: str
) -> None:
    # As bytes: httpx itself would not encode a lone surrogate.
    escaped = username.encode("unicode_escape").decode().replace("\\x", "\\u00")
    body = f'{{"username": "{escaped}", "password": "{PASSWORD}"}}'

    response = await client.post("/users", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
    assert response.json()["code"] == "validation_error"


@pytest.mark.parametrize("email", ["ada", "ada@", "@example.com", "a b@example.com", "x" * 250 + "@e.org"])
async def test_an_email_looks_like_one(client: httpx.AsyncClient, email: str) -> None:
    response = await client.post("/users", json={"username": "ada", "password": PASSWORD, "email": email})

    assert response.status_code == 422


@pytest.mark.parametrize(
    "password",
    ["", "short77", "x" * 129, "x" * 5000, "password", "PassWord1", "1234567890", "iloveyou", "qwertyuiop"],
)
async def test_a_weak_password_is_refused(client: httpx.AsyncClient, password: str) -> None:
    response = await client.post("/users", json={"username": "ada", "password": password})

    assert response.status_code == 422
    assert response.json()["code"] == "weak_password"
    if password:
        assert f'"{password}"' not in response.text


@pytest.mark.parametrize("password", [r"\ud800longenough", r"\u0000longenough", r"longenough\udfff"])
async def test_a_password_that_is_no_text_is_refused(client: httpx.AsyncClient, password: str) -> None:
    body = f'{{"username": "ada", "password": "{password}"}}'

    response = await client.post("/users", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422


@pytest.mark.parametrize("field", ["username", "password"])
async def test_a_great_many_accents_are_refused_before_they_are_sorted(
    client: httpx.AsyncClient, field: str
) -> None:
    body = {"username": "ada", "password": PASSWORD, field: "a" + "\u0301\u0316" * 2500}

    assert (await client.post("/users", json=body)).status_code == 422


async def test_128_characters_are_a_password_and_none_is_cut_off(client: httpx.AsyncClient) -> None:
    long = "ü" * 127
    await create_user(client, "ada", long + "a")

    assert (await sign_in(client, "ada", long + "a")).status_code == 200
    assert (await sign_in(client, "ada", long + "b")).status_code == 401
    assert (await sign_in(client, "ada", long)).status_code == 401


async def test_an_accent_is_the_same_however_the_keyboard_sends_it(client: httpx.AsyncClient) -> None:
    await create_user(client, "ada", "caf\u00e9 au lait")

    assert (await sign_in(client, "ada", "cafe\u0301 au lait")).status_code == 200


@pytest.mark.parametrize("field", ["is_active", "id", "user_id", "request_count", "password_hash"])
async def test_nobody_decides_more_about_themselves_than_that(client: httpx.AsyncClient, field: str) -> None:
    response = await client.post("/users", json={"username": "ada", "password": PASSWORD, field: "admin"})

    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"loc": ["body", field], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
    ]


async def test_registration_can_be_closed(settings: Settings) -> None:
    closed = create_app(settings.model_copy(update={"registration": Registration.CLOSED}))
    async with (
        closed.router.lifespan_context(closed),
        httpx.AsyncClient(transport=httpx.ASGITransport(closed), base_url="http://test") as client,
    ):
        response = await client.post("/users", json={"username": "ada", "password": PASSWORD})

    assert response.status_code == 403
    assert response.json()["code"] == "registration_closed"


async def test_the_command_line_may_create_an_admin(app: FastAPI, client: httpx.AsyncClient) -> None:
    resources = state_of(app).resources
    auth = state_of(app).auth
    async with resources.database.session() as session:
        created = await commands.create_user(
            session, auth.passwords, username="root", password=PASSWORD, role=Role.ADMIN, by=COMMAND_LINE
        )

    assert created.role is Role.ADMIN
    assert (await me(client, (await tokens_of(client, "root"))["access_token"])).json()["role"] == "admin"


async def test_the_service_holds_to_the_rules_whoever_calls(app: FastAPI) -> None:
    resources = state_of(app).resources
    auth = state_of(app).auth

    async def create(username: str, password: str) -> None:
        async with resources.database.session() as session:
            await commands.create_user(
                session, auth.passwords, username=username, password=password, by=COMMAND_LINE
            )

    await create("ada", PASSWORD)
    with pytest.raises(UsernameTaken):
        await create("ADA", PASSWORD)
    with pytest.raises(WeakPassword):
        await create("bob", "12345678")
    with pytest.raises(ValueError, match="control characters"):
        await create("b\nob", PASSWORD)
