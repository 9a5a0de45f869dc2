"""Sessions over HTTP: seen, ended one by one and all at once."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth import commands, identities, queries
from app.auth.roles import Role
from app.auth.tokens import Tokens
from app.core.config import Settings
from app.core.database import Database
from app.streams.admission import Admission
from tests.auth.support import create_user, me, refresh, tokens_of
from tests.support import rows, sse, websockets
from tests.support.accounts import sign_in
from tests.support.app_state import state_of
from tests.support.waiting import until


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture
async def signed_in(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The tokens of three sign-ins of ada."""
    await create_user(client)
    return [await tokens_of(client) for _ in range(3)]


async def sessions(client: httpx.AsyncClient, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.get("/users/me/sessions", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def is_signed_out(client: httpx.AsyncClient, tokens: dict[str, Any]) -> bool:
    """Whether neither token of a sign-in is accepted, within a second."""

    async def is_refused() -> bool:
        return (await me(client, tokens["access_token"])).status_code == 401

    await until(is_refused, seconds=identities.LIFETIME_SECONDS + 1)
    return (await refresh(client, tokens["refresh_token"])).status_code == 401


async def test_a_user_sees_where_they_are_signed_in(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    await create_user(client, "bob")
    await tokens_of(client, "bob")

    found = await sessions(client, signed_in[1])

    assert len(found) == 3
    assert [session["is_current"] for session in found].count(True) == 1
    assert all(session["client"].startswith("python-httpx/") for session in found)
    assert found == sorted(found, key=lambda session: session["last_used_at"], reverse=True)


async def test_a_refresh_continues_the_session(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    before = await sessions(client, signed_in[0])
    refreshed = (await refresh(client, signed_in[0]["refresh_token"])).json()

    after = await sessions(client, refreshed)

    assert {session["session_id"] for session in after} == {session["session_id"] for session in before}
    assert after[0]["is_current"]
    assert after[0]["last_used_at"] > max(session["last_used_at"] for session in before)


async def test_an_ended_session_takes_its_tokens_with_it_within_a_second(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    ended, kept, _ = signed_in
    [current] = [session for session in await sessions(client, ended) if session["is_current"]]
    path = f"/users/me/sessions/{current['session_id']}"

    answer = await client.delete(path, headers=bearer(kept))

    assert answer.status_code == 204
    assert await is_signed_out(client, ended)
    assert len(await sessions(client, kept)) == 2
    again = await client.delete(path, headers=bearer(kept))
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")


async def test_a_session_of_another_user_is_unknown(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    await create_user(client, "bob")
    bob = await tokens_of(client, "bob")
    [session, *_] = await sessions(client, signed_in[0])

    answer = await client.delete(f"/users/me/sessions/{session['session_id']}", headers=bearer(bob))

    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    assert len(await sessions(client, signed_in[0])) == 3


@pytest.mark.parametrize("keep_current", [False, True])
async def test_a_user_signs_out_everywhere(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]], keep_current: bool
) -> None:
    current, *others = signed_in
    path = f"/users/me/sessions?keep_current={keep_current}"

    answer = await client.delete(path, headers=bearer(current))

    assert answer.status_code == 204
    assert all([await is_signed_out(client, tokens) for tokens in others])
    if keep_current:
        assert (await refresh(client, current["refresh_token"])).status_code == 200
    else:
        assert await is_signed_out(client, current)


async def test_an_administrator_signs_a_user_out_everywhere(
    app: FastAPI, client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    admin = await sign_in(app, "root", Role.ADMIN)
    user_id = (await me(client, signed_in[0]["access_token"])).json()["user_id"]

    answer = await client.delete(f"/users/{user_id}/sessions", headers=admin.headers)

    assert answer.status_code == 204
    assert all([await is_signed_out(client, tokens) for tokens in signed_in])
    assert (await tokens_of(client))["access_token"]


async def test_a_second_use_of_a_refresh_token_ends_the_access_tokens_too(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    stolen = signed_in[0]
    refreshed = (await refresh(client, stolen["refresh_token"])).json()

    assert (await refresh(client, stolen["refresh_token"])).status_code == 401
    assert await is_signed_out(client, refreshed)


async def test_a_token_without_a_session_is_valid_until_it_expires(
    client: httpx.AsyncClient, settings: Settings, signed_in: list[dict[str, Any]]
) -> None:
    """Such as one that an earlier version has issued."""
    user_id = (await me(client, signed_in[0]["access_token"])).json()["user_id"]
    token = Tokens(settings).issue_access(user_id)

    await client.delete("/users/me/sessions", headers=bearer(signed_in[0]))

    assert (await me(client, token)).status_code == 200


async def test_a_refresh_and_an_end_at_once_leave_no_open_session(
    client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    first, *others = signed_in
    answers = await asyncio.gather(
        *(refresh(client, tokens["refresh_token"]) for tokens in others),
        client.delete("/users/me/sessions", headers=bearer(first)),
    )

    pairs = [answer.json() for answer in answers[:-1] if answer.status_code == 200]
    assert all([await is_signed_out(client, tokens) for tokens in pairs])


async def test_a_family_of_an_earlier_version_gets_a_session_when_it_is_refreshed(
    client: httpx.AsyncClient, store: Database, signed_in: list[dict[str, Any]]
) -> None:
    await rows.execute(store, "DELETE FROM sessions")

    refreshed = (await refresh(client, signed_in[0]["refresh_token"])).json()

    [session] = await sessions(client, refreshed)
    assert session["is_current"]


async def test_streams_end_with_the_session_that_opened_them(
    app: FastAPI, client: httpx.AsyncClient, signed_in: list[dict[str, Any]]
) -> None:
    ended, kept, _ = signed_in
    admission: Admission = state_of(app).admission
    async with websockets.serving(app) as url, websockets.client_of(url) as served:
        ticket = (await client.post("/stream-tickets", headers=bearer(ended))).json()["ticket"]
        unused = (await client.post("/stream-tickets", headers=bearer(ended))).json()["ticket"]
        async with (
            sse.opened(served, "/jobs/stream", bearer(ended)) as stream,
            sse.opened(served, f"/jobs/stream?ticket={ticket}", {}) as by_ticket,
            websockets.opened(url, "/ws", bearer(kept)) as talk,
        ):
            await client.delete("/users/me/sessions?keep_current=true", headers=bearer(kept))
            await admission.recheck()

            for one in (stream, by_ticket):
                assert (await one.all())[-1].data == '{"code":"access_ended"}'
            assert await talk.has_no_pending_frames()
            refused = await served.get(f"/jobs/stream?ticket={unused}")
            assert refused.status_code == 401


async def test_a_sign_in_that_began_before_the_password_was_changed_opens_no_session(
    app: FastAPI, client: httpx.AsyncClient, store: Database
) -> None:
    await create_user(client)
    async with store.session() as session:
        user = await queries.find_user(session, "ada")
    assert user is not None
    await rows.execute(store, "UPDATE users SET password_hash = 'another' WHERE id = $1", user.id)

    async with store.session() as session:
        assert not await commands.lock_password(session, user)
