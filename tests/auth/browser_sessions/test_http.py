"""Sessions of browsers over HTTP: the cookie, who may send it, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.auth import identities
from app.core.config import Environment, Settings
from app.core.database import Database
from app.main import create_app
from tests.auth.support import PASSWORD, create_user, me, refresh, sign_in, tokens_of, without_names
from tests.support import rows
from tests.support.waiting import until

NAME = "headrace"
LOGIN = {"username": "ada", "password": PASSWORD}
EVIL = "https://evil.example"

FIRST_USE_IS_NOW = "UPDATE refresh_tokens SET used_at = now() + interval '1 hour' WHERE used_at IS NOT NULL"
"""Keeps the time of a first use close, on however slow a machine."""

GRACE_IS_OVER = "UPDATE refresh_tokens SET used_at = now() - interval '10 seconds' WHERE used_at IS NOT NULL"


@dataclass(frozen=True)
class SignedIn:
    """What a page has after it has signed in or refreshed."""

    access_token: str
    cookie: str


def set_cookie(answer: httpx.Response) -> Morsel[str]:
    """The one cookie that a response sets."""
    [header] = answer.headers.get_list("set-cookie")
    [morsel] = SimpleCookie(header).values()
    return morsel


def signed_in(answer: httpx.Response) -> SignedIn:
    assert answer.status_code == 200, answer.text
    return SignedIn(answer.json()["access_token"], set_cookie(answer).value)


def assert_no_session(answer: httpx.Response) -> None:
    """Check that the browser is told to sign in, and to forget its cookie."""
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert (set_cookie(answer).value, set_cookie(answer)["max-age"]) == ("", "0")


async def start(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """Sign in as a page does."""
    answer = await client.post("/session", json=LOGIN, headers=headers)
    client.cookies.clear()  # each test says which cookie it sends
    return answer


def cookie_header(cookie: str | None, name: str = NAME) -> dict[str, str]:
    return {} if cookie is None else {"Cookie": f"{name}={cookie}"}


async def renew(client: httpx.AsyncClient, cookie: str | None, **headers: str) -> httpx.Response:
    """Send the cookie, as a page does for a new access token."""
    answer = await client.post("/session/refresh", headers=cookie_header(cookie) | headers)
    client.cookies.clear()
    return answer


async def sign_out(client: httpx.AsyncClient, cookie: str | None, **headers: str) -> httpx.Response:
    return await client.delete("/session", headers=cookie_header(cookie) | headers)


async def is_refused(client: httpx.AsyncClient, access_token: str) -> bool:
    """Whether an access token is refused, within a second."""

    async def is_over() -> bool:
        return (await me(client, access_token)).status_code == 401

    return await until(is_over, seconds=identities.LIFETIME_SECONDS + 30)


@pytest.fixture
async def ada(client: httpx.AsyncClient) -> SignedIn:
    """A page on which ada has just signed in."""
    await create_user(client)
    return signed_in(await start(client))


@asynccontextmanager
async def client_with(settings: Settings, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API with other settings."""
    app = create_app(settings.model_copy(update=changes))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


# Signing in


async def test_signing_in_gives_an_access_token_and_keeps_the_refresh_token_in_a_cookie(
    client: httpx.AsyncClient,
) -> None:
    await create_user(client)

    answer = await start(client)

    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "user"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
    assert body["user"]["username"] == "ada"
    assert (await me(client, body["access_token"])).status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set_cookie(answer).value not in answer.text


async def test_no_script_and_no_other_site_gets_at_the_cookie(client: httpx.AsyncClient) -> None:
    await create_user(client)
    answer = await start(client)

    cookie = set_cookie(answer)

    assert cookie.key == NAME
    assert (cookie["httponly"], cookie["samesite"].lower()) == (True, "strict")
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/", "", "1209600")
    assert not cookie["secure"]  # in development, which has no https
    renewed, over = await renew(client, cookie.value), await sign_out(client, cookie.value)
    for other in (set_cookie(renewed), set_cookie(over)):
        assert {name: other[name] for name in ("httponly", "samesite", "path", "domain", "secure")} == {
            name: cookie[name] for name in ("httponly", "samesite", "path", "domain", "secure")
        }


@pytest.mark.parametrize(
    ("changes", "is_secure"),
    [
        ({"environment": Environment.PRODUCTION}, True),
        ({"environment": Environment.PRODUCTION, "secure_cookies": False}, False),
        ({"secure_cookies": True}, True),
    ],
)
async def test_in_production_the_cookie_is_for_https_and_this_host_only(
    settings: Settings, changes: dict[str, Any], is_secure: bool
) -> None:
    secret = SecretStr("a secret of more than thirty-two bytes")
    async with client_with(settings, secret_key=secret, **changes) as client:
        await create_user(client)
        cookie = set_cookie(await start(client))
        name = "__Host-headrace" if is_secure else "headrace"
        accepted = await client.post("/session/refresh", headers=cookie_header(cookie.value, name))
        client.cookies.clear()
        other = "headrace" if is_secure else "__Host-headrace"
        refused = await client.post("/session/refresh", headers=cookie_header(cookie.value, other))

    assert (cookie.key, bool(cookie["secure"])) == (name, is_secure)
    assert (cookie["path"], cookie["domain"]) == ("/", "")
    assert (accepted.status_code, refused.status_code) == (200, 401)


async def test_what_is_wrong_with_a_sign_in_is_said_as_to_programs(
    client: httpx.AsyncClient, store: Database
) -> None:
    await create_user(client)
    wrong = await client.post("/session", json={**LOGIN, "password": "not the password"})
    program = await sign_in(client, "ada", "not the password")
    await rows.execute(store, "UPDATE users SET is_active = false")
    disabled = await client.post("/session", json=LOGIN)

    assert wrong.status_code == program.status_code == 401
    oauth = {"error", "error_description"}
    assert without_names(wrong.json()) == {
        name: value for name, value in without_names(program.json()).items() if name not in oauth
    }
    assert (disabled.status_code, disabled.json()["code"]) == (400, "inactive_user")
    assert "set-cookie" not in wrong.headers
    assert "set-cookie" not in disabled.headers


async def test_failures_of_pages_and_programs_count_together(client: httpx.AsyncClient) -> None:
    await create_user(client)
    for _ in range(3):
        assert (await sign_in(client, "ada", "not the password")).status_code == 401
    for _ in range(2):
        wrong = await client.post("/session", json={**LOGIN, "password": "not the password"})
        assert wrong.status_code == 401

    refused = await start(client)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    assert int(refused.headers["retry-after"]) > 0
    assert (await sign_in(client)).status_code == 429


async def test_too_many_sign_ins_at_once_are_turned_away(client: httpx.AsyncClient) -> None:
    await create_user(client)

    answers = await asyncio.gather(*(client.post("/session", json=LOGIN) for _ in range(60)))

    assert {answer.status_code for answer in answers} == {200, 503}
    assert {answer.json()["code"] for answer in answers if answer.is_error} == {"too_many_sign_ins"}


async def test_a_form_of_another_site_cannot_sign_in(client: httpx.AsyncClient) -> None:
    await create_user(client)

    answer = await client.post("/session", data=LOGIN)

    assert answer.status_code == 415


# Who may send it

REQUESTS = [("POST", "/session"), ("POST", "/session/refresh"), ("DELETE", "/session")]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://test:81"},
        {"Origin": "http://test.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_pages_of_other_origins_are_refused_before_anything_is_read_or_changed(
    client: httpx.AsyncClient,
    store: Database,
    ada: SignedIn,
    method: str,
    path: str,
    headers: dict[str, str],
) -> None:
    sent = {"Content-Type": "application/json", **cookie_header(ada.cookie), **headers}

    answer = await client.request(method, path, content=b"{", headers=sent)

    assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
    assert "set-cookie" not in answer.headers
    [token] = await rows.fetch(store, "SELECT used_at, revoked_at FROM refresh_tokens")
    assert (token["used_at"], token["revoked_at"]) == (None, None)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://test"},
        {"Origin": "https://dashboard.example.org"},
        {"Sec-Fetch-Site": "same-origin"},
        {},
    ],
    ids=str,
)
async def test_pages_of_our_own_and_of_listed_origins_are_served(
    settings: Settings, headers: dict[str, str]
) -> None:
    async with client_with(settings, allowed_origins=("https://dashboard.example.org",)) as client:
        await create_user(client)
        ada = signed_in(await start(client, **headers))

        renewed = signed_in(await renew(client, ada.cookie, **headers))

        assert (await sign_out(client, renewed.cookie, **headers)).status_code == 204


async def test_no_other_route_takes_the_cookie(
    app: FastAPI, client: httpx.AsyncClient, ada: SignedIn
) -> None:
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if "security" not in operation or {} in operation["security"]:
                continue
            answer = await client.request(method, path, headers=cookie_header(ada.cookie))
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), path
            asked += 1

    assert asked > 50
    assert (await me(client, ada.cookie)).status_code == 401


@pytest.mark.parametrize("path", ["/token", "/token/refresh"])
async def test_a_program_that_sends_the_token_of_a_cookie_ends_the_session(
    client: httpx.AsyncClient, ada: SignedIn, path: str
) -> None:
    """It has got out of the browser, where no script can read it."""
    elsewhere = signed_in(await start(client))
    if path == "/token":
        form = {"grant_type": "refresh_token", "refresh_token": ada.cookie}
        stolen = await client.post(path, data=form)
    else:
        stolen = await refresh(client, ada.cookie)

    assert stolen.json()["error"] == "invalid_grant"
    assert_no_session(await renew(client, ada.cookie))
    assert await is_refused(client, ada.access_token)
    assert (await renew(client, elsewhere.cookie)).status_code == 200


async def test_a_cookie_with_the_token_of_a_program_is_none(client: httpx.AsyncClient, ada: SignedIn) -> None:
    pair = await tokens_of(client)

    assert_no_session(await renew(client, pair["refresh_token"]))
    assert_no_session(await renew(client, pair["access_token"]))
    assert (await refresh(client, pair["refresh_token"])).status_code == 401
    assert (await renew(client, ada.cookie)).status_code == 200


# Staying signed in


async def test_the_cookie_gives_a_new_access_token_and_a_new_cookie(
    client: httpx.AsyncClient, ada: SignedIn
) -> None:
    answer = await renew(client, ada.cookie)

    renewed = signed_in(answer)
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}
    assert answer.json()["user"]["username"] == "ada"
    assert answer.headers["cache-control"] == "no-store"
    assert renewed.cookie != ada.cookie
    assert (await me(client, renewed.access_token)).status_code == 200
    assert (await renew(client, renewed.cookie)).status_code == 200


async def test_another_tab_may_send_the_same_cookie_again(
    client: httpx.AsyncClient, store: Database, ada: SignedIn
) -> None:
    first = signed_in(await renew(client, ada.cookie))
    await rows.execute(store, FIRST_USE_IS_NOW)

    second = signed_in(await renew(client, ada.cookie))

    assert len({ada.cookie, first.cookie, second.cookie}) == 3
    assert (await renew(client, first.cookie)).status_code == 200
    assert (await renew(client, second.cookie)).status_code == 200
    headers = {"Authorization": f"Bearer {second.access_token}"}
    [session] = (await client.get("/users/me/sessions", headers=headers)).json()["items"]
    assert session["is_current"]


async def test_fifty_tabs_at_once_stay_in_one_session(
    client: httpx.AsyncClient, store: Database, ada: SignedIn
) -> None:
    await renew(client, ada.cookie)
    await rows.execute(store, FIRST_USE_IS_NOW)

    async def renew_patiently() -> httpx.Response:
        """As the page does: on a busy machine, fifty that wait for each other may be asked to come again."""
        while (answer := await renew(client, ada.cookie)).status_code == 503:
            assert answer.headers["retry-after"]
            await asyncio.sleep(0.1)
        return answer

    answers = await asyncio.gather(*(renew_patiently() for _ in range(50)))

    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({set_cookie(answer).value for answer in answers}) == 50
    assert await rows.value(store, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == 1


async def test_after_ten_seconds_a_second_use_ends_the_session(
    client: httpx.AsyncClient, store: Database, ada: SignedIn
) -> None:
    renewed = signed_in(await renew(client, ada.cookie))
    await rows.execute(store, GRACE_IS_OVER)

    assert_no_session(await renew(client, ada.cookie))
    assert_no_session(await renew(client, renewed.cookie))
    assert await is_refused(client, renewed.access_token)


async def test_further_uses_do_not_prolong_the_grace(
    client: httpx.AsyncClient, store: Database, ada: SignedIn
) -> None:
    await renew(client, ada.cookie)
    await rows.execute(store, FIRST_USE_IS_NOW)
    first_use = await rows.value(store, "SELECT used_at FROM refresh_tokens WHERE used_at IS NOT NULL")

    assert (await renew(client, ada.cookie)).status_code == 200

    assert await rows.value(store, "SELECT max(used_at) FROM refresh_tokens") == first_use


async def test_a_token_of_a_program_has_no_grace(client: httpx.AsyncClient, store: Database) -> None:
    await create_user(client)
    token = (await tokens_of(client))["refresh_token"]
    await refresh(client, token)
    await rows.execute(store, FIRST_USE_IS_NOW)

    assert (await refresh(client, token)).status_code == 401


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE refresh_tokens SET expires_at = now() - interval '1 second'",
        "UPDATE refresh_tokens SET revoked_at = now()",
        "UPDATE sessions SET ended_at = now()",
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
    ],
)
async def test_every_session_that_is_over_gets_the_same_answer(
    client: httpx.AsyncClient, store: Database, ada: SignedIn, end: str
) -> None:
    unknown = await renew(client, "never-issued")
    await rows.execute(store, end)

    over = await renew(client, ada.cookie)

    assert_no_session(over)
    assert without_names(over.json()) == without_names(unknown.json())


async def test_without_a_cookie_there_is_none_to_delete(client: httpx.AsyncClient) -> None:
    for cookie in (None, ""):
        answer = await renew(client, cookie)

        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert "set-cookie" not in answer.headers


async def test_a_dump_of_the_database_holds_no_cookie(store: Database, ada: SignedIn) -> None:
    dump = str(
        await rows.fetch(store, "SELECT t::text FROM refresh_tokens t UNION SELECT s::text FROM sessions s")
    )

    assert ada.cookie not in dump
    assert ada.cookie.encode().hex() not in dump


# Signing out


async def test_signing_out_ends_this_session_only(client: httpx.AsyncClient, ada: SignedIn) -> None:
    elsewhere = signed_in(await start(client))

    answer = await sign_out(client, ada.cookie)

    assert answer.status_code == 204
    assert (set_cookie(answer).value, set_cookie(answer)["max-age"]) == ("", "0")
    assert_no_session(await renew(client, ada.cookie))
    assert await is_refused(client, ada.access_token)
    assert (await renew(client, elsewhere.cookie)).status_code == 200


async def test_signing_out_ends_what_other_tabs_got_for_the_same_cookie(
    client: httpx.AsyncClient, store: Database, ada: SignedIn
) -> None:
    tabs = [signed_in(await renew(client, ada.cookie)), signed_in(await renew(client, ada.cookie))]

    assert (await sign_out(client, ada.cookie)).status_code == 204

    await rows.execute(store, FIRST_USE_IS_NOW)
    for cookie in (ada.cookie, *(tab.cookie for tab in tabs)):
        assert_no_session(await renew(client, cookie))


@pytest.mark.parametrize("cookie", [None, "never-issued"])
async def test_signing_out_without_a_session_succeeds(client: httpx.AsyncClient, cookie: str | None) -> None:
    answer = await sign_out(client, cookie)

    assert answer.status_code == 204
    assert set_cookie(answer)["max-age"] == "0"


async def test_the_token_of_a_program_is_not_signed_out_by_a_cookie(
    client: httpx.AsyncClient, ada: SignedIn
) -> None:
    pair = await tokens_of(client)

    await sign_out(client, pair["refresh_token"])

    assert (await refresh(client, pair["refresh_token"])).status_code == 200


async def test_a_refresh_and_a_sign_out_at_once_leave_no_session(
    client: httpx.AsyncClient, store: Database, ada: SignedIn
) -> None:
    answers = await asyncio.gather(
        *(renew(client, ada.cookie) for _ in range(5)), sign_out(client, ada.cookie)
    )

    assert answers[-1].status_code == 204
    assert await rows.value(store, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == 0
    await rows.execute(store, FIRST_USE_IS_NOW)
    for answer in answers[:-1]:
        if answer.status_code == 200:
            assert_no_session(await renew(client, set_cookie(answer).value))


@pytest.mark.parametrize("path", ["/users/me/sessions", "/users/me/sessions/{session_id}"])
async def test_a_session_that_is_ended_elsewhere_is_over_in_the_browser(
    client: httpx.AsyncClient, ada: SignedIn, path: str
) -> None:
    headers = {"Authorization": f"Bearer {(await tokens_of(client))['access_token']}"}
    sessions = (await client.get("/users/me/sessions", headers=headers)).json()["items"]
    [browser] = [session for session in sessions if not session["is_current"]]

    ended = await client.delete(path.format(session_id=browser["session_id"]), headers=headers)

    assert ended.status_code == 204
    assert_no_session(await renew(client, ada.cookie))
    assert await is_refused(client, ada.access_token)
