"""The token endpoint as clients of OAuth 2 use it."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from app.core.config import Settings
from app.core.database import Database
from app.main import create_app
from tests.auth.support import PASSWORD, create_user, me, refresh, sign_in, tokens_of
from tests.support import ports, rows

PERMITTED = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
"""The text of an `error_description`, by RFC 6749."""

LOGIN = {"username": "ada", "password": PASSWORD}


@pytest.fixture
async def token(client: httpx.AsyncClient) -> str:
    """The refresh token of ada, who has just signed in."""
    await create_user(client)
    refresh_token: str = (await tokens_of(client))["refresh_token"]
    return refresh_token


async def use(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/token", data={"grant_type": "refresh_token", "refresh_token": token})


def assert_refused(answer: httpx.Response, status: int, code: str, error: str) -> dict[str, Any]:
    """Check that the response is a problem document, and an error response of OAuth 2."""
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"], problem["error"]) == (status, code, error)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= problem.keys()
    assert PERMITTED.fullmatch(problem["error_description"])
    assert len(answer.content) == int(answer.headers["content-length"])
    return problem


async def test_a_refresh_token_is_a_grant(client: httpx.AsyncClient, token: str) -> None:
    answer = await use(client, token)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    pair = answer.json()
    assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (await me(client, pair["access_token"])).json()["username"] == "ada"
    assert (await refresh(client, pair["refresh_token"])).status_code == 200


async def test_a_grant_is_good_once_and_a_second_use_ends_the_family(
    client: httpx.AsyncClient, token: str
) -> None:
    successor = (await use(client, token)).json()["refresh_token"]

    assert_refused(await use(client, token), 400, "invalid_grant", "invalid_grant")
    assert_refused(await use(client, successor), 400, "invalid_grant", "invalid_grant")


async def test_of_fifty_grants_at_once_one_wins(client: httpx.AsyncClient, token: str) -> None:
    answers = await asyncio.gather(*(use(client, token) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49


@pytest.mark.parametrize("credentials", [("a-client", "a-secret"), None])
async def test_what_clients_send_besides_the_grant_is_ignored(
    client: httpx.AsyncClient, token: str, credentials: tuple[str, str] | None
) -> None:
    more = {"scope": "jobs:read", "client_id": "a-client", "client_secret": "", "audience": "headrace"}
    grants = [
        {"grant_type": "password", **LOGIN},
        {"grant_type": "", **LOGIN},  # RFC 6749, section 3.2: as if it were left out
        {"grant_type": "refresh_token", "refresh_token": token},
    ]

    answers = [
        await client.post(
            "/token", data=grant | more, auth=httpx.USE_CLIENT_DEFAULT if credentials is None else credentials
        )
        for grant in grants
    ]

    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize(
    ("form", "status", "code", "error"),
    [
        ({**LOGIN, "password": "not the password"}, 401, "invalid_credentials", "invalid_grant"),
        ({**LOGIN, "username": "nobody"}, 401, "invalid_credentials", "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant", "invalid_grant"),
        ({**LOGIN, "grant_type": "client_credentials"}, 400, *["unsupported_grant_type"] * 2),
        ({**LOGIN, "grant_type": "PASSWORD"}, 400, *["unsupported_grant_type"] * 2),
        ({"username": "ada"}, 422, "validation_error", "invalid_request"),
        ({"grant_type": "refresh_token"}, 422, "validation_error", "invalid_request"),
        ({"grant_type": "refresh_token", **LOGIN}, 422, "validation_error", "invalid_request"),
        ({**LOGIN, "username": "a" * 1025}, 422, "validation_error", "invalid_request"),
        ({**LOGIN, "password": "x" * 70_000}, 413, "body_too_large", "invalid_request"),
    ],
)
async def test_an_error_names_what_went_wrong_as_oauth_2_does(
    client: httpx.AsyncClient, token: str, form: dict[str, str], status: int, code: str, error: str
) -> None:
    assert_refused(await client.post("/token", data=form), status, code, error)


async def test_a_missing_field_is_named(client: httpx.AsyncClient) -> None:
    problem = assert_refused(await client.post("/token"), 422, "validation_error", "invalid_request")

    assert problem["error_description"] == "username: Field required; password: Field required"
    assert [fault["loc"] for fault in problem["errors"]] == [["body", "username"], ["body", "password"]]


async def test_no_description_repeats_what_a_header_must_not_hold(client: httpx.AsyncClient) -> None:
    answer = await client.post("/token", content=b"x", headers={"Content-Type": 'text/"\\plain'})

    assert_refused(answer, 415, "unsupported_media_type", "invalid_request")


async def test_a_disabled_account_is_an_invalid_grant(
    client: httpx.AsyncClient, store: Database, token: str
) -> None:
    await rows.execute(store, "UPDATE users SET is_active = false")

    assert_refused(await sign_in(client), 400, "inactive_user", "invalid_grant")
    assert_refused(await use(client, token), 400, "invalid_grant", "invalid_grant")


async def test_the_old_way_to_refresh_has_the_members_too(client: httpx.AsyncClient) -> None:
    refused = assert_refused(await refresh(client, "x"), 401, "invalid_token", "invalid_grant")
    malformed = await client.post(
        "/token/refresh", content=b"{", headers={"Content-Type": "application/json"}
    )

    assert refused["status"] == 401
    assert_refused(malformed, 400, "malformed_json", "invalid_request")


async def test_too_many_attempts_are_a_temporary_failure(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        await sign_in(client, "ada", "not the password")

    answer = await sign_in(client)

    assert_refused(answer, 429, "too_many_attempts", "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_lost_database_is_a_temporary_failure(settings: Settings) -> None:
    with ports.bound(0) as closed:  # nothing listens there
        host, port = closed.getsockname()
        url = f"postgresql://nobody@{host}:{port}/nothing"
        lost = settings.model_copy(update={"database_url": url, "database_connect_seconds": 1.0})
        app = create_app(lost)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            answer = await use(client, "x")

    assert_refused(answer, 503, "database_unavailable", "temporarily_unavailable")


async def test_other_routes_do_not_speak_oauth_2(client: httpx.AsyncClient) -> None:
    answer = await client.post("/users", json={})

    assert answer.status_code == 422
    assert "error" not in answer.json()


async def test_the_documentation_shows_the_members(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    examples = {
        code: example["value"].get("error")
        for status, response in document["paths"]["/token"]["post"]["responses"].items()
        if status not in ("200", "default")
        for code, example in response["content"]["application/problem+json"]["examples"].items()
    }

    assert examples["invalid_credentials"] == examples["invalid_grant"] == "invalid_grant"
    assert examples["unsupported_grant_type"] == "unsupported_grant_type"
    assert examples["too_many_attempts"] == examples["too_many_sign_ins"] == "temporarily_unavailable"
