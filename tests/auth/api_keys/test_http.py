"""API keys over HTTP: created, used on every transport, revoked."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth import identities
from app.auth.api_keys import key_format
from app.auth.permissions import Scope
from app.auth.roles import Role
from app.core.config import Settings
from app.core.database import Database
from app.main import create_app
from app.streams.admission import Admission
from app.streams.times import StreamTimes
from tests.auth.support import PASSWORD, create_user, me, without_names
from tests.auth.test_logs import production
from tests.support import api_keys, jobs, rows, sse, websockets
from tests.support.accounts import Account, set_role, sign_in
from tests.support.api_keys import Key
from tests.support.app_state import state_of
from tests.support.waiting import until

REQUEST = {"name": "nightly import", "scopes": ["jobs:read", "jobs:write"]}


@pytest.fixture
async def admin(app: FastAPI) -> Account:
    return await sign_in(app, "root", Role.ADMIN)


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    """The API on a real server."""
    async with websockets.serving(app) as url:
        yield url


async def create(client: httpx.AsyncClient, who: Account, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/api-keys", json={**REQUEST, **changes}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def listed(client: httpx.AsyncClient, who: Account, **params: str) -> list[dict[str, Any]]:
    answer = await client.get("/api-keys", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def becomes_rejected(client: httpx.AsyncClient, key: str) -> bool:
    """Whether a key is rejected, as soon as the cache has forgotten it."""

    async def is_rejected() -> bool:
        return (await me(client, key)).status_code == 401

    return bool(await until(is_rejected))


# Create, list, revoke


async def test_a_key_is_created_shown_once_used_and_revoked(
    client: httpx.AsyncClient, alice: Account
) -> None:
    created = await create(client, alice)
    key = created.pop("key")

    [shown] = await listed(client, alice)
    assert shown == created
    assert (shown["name"], shown["scopes"], shown["owner"]) == (*REQUEST.values(), "alice")
    assert (shown["expires_at"], shown["last_used_at"]) == (None, None)
    assert (await me(client, key)).json()["username"] == "alice"
    revoked = await client.delete(f"/api-keys/{shown['key_id']}", headers=alice.headers)
    assert revoked.status_code == 204
    assert await becomes_rejected(client, key)
    assert await listed(client, alice) == []
    again = await client.delete(f"/api-keys/{shown['key_id']}", headers=alice.headers)
    assert code(again) == (404, "api_key_not_found")


async def test_the_response_with_the_key_is_not_cached(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post("/api-keys", json=REQUEST, headers=alice.headers)

    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "a" * 101},
        {"name": "a\x00"},
        {"name": "\x1b[2J"},
        {"name": "\n"},
        {"scopes": []},
        {"scopes": ["jobs:*"]},
        {"scopes": ["account"]},
        {"scopes": ["credentials"]},
        {"scopes": ["predict"] * (len(Scope) + 1)},
        {"expires_in_seconds": 0},
        {"expires_in_seconds": 10**12},
        {"user_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"},
        {"key": "mine"},
    ],
)
async def test_an_invalid_request_creates_no_key(
    client: httpx.AsyncClient, alice: Account, change: dict[str, Any]
) -> None:
    answer = await client.post("/api-keys", json={**REQUEST, **change}, headers=alice.headers)

    assert answer.status_code == 422
    assert await listed(client, alice) == []


async def test_a_viewer_creates_no_key_that_writes(app: FastAPI, client: httpx.AsyncClient) -> None:
    viewer = await sign_in(app, "vera", Role.VIEWER)

    refused = await client.post("/api-keys", json=REQUEST, headers=viewer.headers)

    assert code(refused) == (403, "scope_not_allowed")
    assert refused.json()["scope"] == "jobs:write"
    assert (await create(client, viewer, scopes=["jobs:read"]))["key"]


async def test_a_user_has_a_limited_number_of_keys(client: httpx.AsyncClient, alice: Account) -> None:
    """`test_commands.py` sends concurrent requests."""
    for _ in range(50):
        await create(client, alice)

    refused = await client.post("/api-keys", json=REQUEST, headers=alice.headers)

    assert code(refused) == (409, "too_many_api_keys")
    pages = [await client.get("/api-keys", params={"limit": 40}, headers=alice.headers)]
    pages.append(
        await client.get(
            "/api-keys", params={"cursor": pages[0].json()["next_cursor"]}, headers=alice.headers
        )
    )
    assert [len(page.json()["items"]) for page in pages] == [40, 10]


@pytest.fixture
def max_seconds() -> int:
    """The setting MAX_API_KEY_SECONDS; parametrize this fixture to change it."""
    return 0


@pytest.fixture
async def app(settings: Settings, max_seconds: int, stream_times: StreamTimes) -> AsyncIterator[FastAPI]:
    """The API, started."""
    limited = settings.model_copy(update={"max_api_key_seconds": max_seconds})
    application = create_app(limited, stream_times)
    async with application.router.lifespan_context(application):
        yield application


@pytest.mark.parametrize("max_seconds", [3600])
async def test_a_setting_limits_the_lifetime(client: httpx.AsyncClient, alice: Account) -> None:
    refused = await client.post(
        "/api-keys", json={**REQUEST, "expires_in_seconds": 3601}, headers=alice.headers
    )
    by_default = await create(client, alice)
    shorter = await create(client, alice, expires_in_seconds=60)

    assert code(refused) == (422, "api_key_lifetime_too_long")
    assert by_default["expires_at"] > shorter["expires_at"] > shorter["created_at"]


async def test_each_user_sees_and_revokes_their_own_keys_and_an_administrator_all(
    client: httpx.AsyncClient, alice: Account, mallory: Account, admin: Account
) -> None:
    of_alice = await create(client, alice)
    of_mallory = await create(client, mallory, name="of mallory")
    path = f"/api-keys/{of_alice['key_id']}"

    assert code(await client.delete(path, headers=mallory.headers)) == (404, "api_key_not_found")
    for owner in ("alice", "*", "mallory", "nobody"):
        refused = await client.get("/api-keys", params={"owner": owner}, headers=mallory.headers)
        assert code(refused) == (403, "forbidden")
    assert await listed(client, admin) == []
    assert [key["key_id"] for key in await listed(client, admin, owner="ALICE")] == [of_alice["key_id"]]
    assert [key["owner"] for key in await listed(client, admin, owner="*")] == ["mallory", "alice"]
    unknown = await client.get("/api-keys", params={"owner": "nobody"}, headers=admin.headers)
    assert code(unknown) == (404, "user_not_found")
    assert (await client.delete(path, headers=admin.headers)).status_code == 204
    assert await becomes_rejected(client, of_alice["key"])
    assert (await me(client, of_mallory["key"])).status_code == 200


# What a key may not do


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
async def test_no_key_manages_keys_passwords_or_sessions(
    app: FastAPI, client: httpx.AsyncClient, store: Database, role: Role
) -> None:
    owner = await sign_in(app, "olga", role)
    key = await api_keys.create(store, owner.id, *Scope)
    attempts = {
        ("POST", "/api-keys"): REQUEST,
        ("GET", "/api-keys"): None,
        ("GET", "/api-keys?owner=*"): None,
        ("DELETE", f"/api-keys/{key.id}"): None,
        ("POST", "/users/me/password"): {"current_password": PASSWORD, "new_password": f"{PASSWORD} 2"},
        ("POST", f"/users/{owner.id}/password-reset"): None,
        ("GET", "/users/me/sessions"): None,
        ("DELETE", "/users/me/sessions"): None,
        ("DELETE", f"/users/{owner.id}/sessions"): None,
    }

    answers = [
        await client.request(method, path, json=body, headers=key.headers)
        for (method, path), body in attempts.items()
    ]

    assert {code(answer) for answer in answers} == {(403, "forbidden")}


async def test_a_key_with_the_scope_admin_makes_users_but_no_administrator(
    client: httpx.AsyncClient, store: Database, admin: Account, alice: Account
) -> None:
    """An administrator who was made with a leaked key would outlive its revocation."""
    key = await api_keys.create(store, admin.id, Scope.ADMIN)
    new_user = {"username": "bob", "password": PASSWORD, "role": "operator"}
    path = f"/users/{alice.id}"

    created = await client.post("/users", json=new_user, headers=key.headers)
    promoted = await client.patch(path, json={"role": "operator"}, headers=key.headers)
    invited = await client.post("/invitations", json={"role": "operator"}, headers=key.headers)
    refused = [
        await client.post(
            "/users", json={**new_user, "username": "eve", "role": "admin"}, headers=key.headers
        ),
        await client.patch(path, json={"role": "admin"}, headers=key.headers),
        await client.post("/invitations", json={"role": "admin"}, headers=key.headers),
    ]

    assert (created.status_code, promoted.status_code, invited.status_code) == (201, 200, 201)
    assert [(*code(answer), answer.json()["permission"]) for answer in refused] == [
        (403, "forbidden", "credentials")
    ] * 3
    assert (await client.patch(path, json={"role": "admin"}, headers=admin.headers)).status_code == 200


async def test_a_key_permits_less_as_soon_as_its_owner_is_demoted(
    client: httpx.AsyncClient, store: Database, admin: Account
) -> None:
    key = await api_keys.create(store, admin.id, *Scope)
    assert (await client.get("/users", headers=key.headers)).status_code == 200
    await set_role(store, admin.id, Role.VIEWER)

    async def is_denied() -> bool:
        return (await client.get("/users", headers=key.headers)).status_code == 403

    assert await until(is_denied)
    assert (await client.get("/jobs", headers=key.headers)).status_code == 200
    assert (await client.delete("/models/churn", headers=key.headers)).status_code == 403


async def test_a_key_creates_a_job_and_reads_it_with_the_scope_for_it(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    writing = await api_keys.create(store, alice.id, Scope.JOBS_WRITE)
    reading = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    body = {"texts": ["What a lovely day"]}

    refused = await client.post("/jobs/batch-predict", json=body, headers=reading.headers)
    created = await client.post("/jobs/batch-predict", json=body, headers=writing.headers)
    path = f"/jobs/{created.json()['job_id']}"

    assert (*code(refused), refused.json()["permission"]) == (403, "forbidden", "jobs:write")
    assert created.status_code == 202
    assert (await client.get(path, headers=reading.headers)).status_code == 200
    assert (await client.get(path, headers=writing.headers)).status_code == 403


# The end of a key


@pytest.mark.parametrize("end", ["disable", "delete"])
async def test_keys_end_with_their_owner(
    client: httpx.AsyncClient, store: Database, alice: Account, admin: Account, end: str
) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    assert (await me(client, key.text)).status_code == 200
    path = f"/users/{alice.id}"

    if end == "disable":
        await client.patch(path, json={"is_active": False}, headers=admin.headers)
    else:
        await client.delete(path, headers=admin.headers)

    assert await becomes_rejected(client, key.text)
    assert await rows.fetch(store, "SELECT FROM api_keys") == []


async def test_a_key_of_a_disabled_owner_does_not_work_when_the_account_is_enabled_again(
    client: httpx.AsyncClient, store: Database, alice: Account, admin: Account
) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    for is_active in (False, True):
        await client.patch(f"/users/{alice.id}", json={"is_active": is_active}, headers=admin.headers)

    assert (await me(client, key.text)).status_code == 401


async def test_the_end_of_the_sessions_is_not_the_end_of_the_keys(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)

    await client.delete("/users/me/sessions", headers=alice.headers)

    assert (await me(client, key.text)).status_code == 200


async def test_a_key_expires(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ, expires_in=-1)

    assert (await me(client, key.text)).status_code == 401
    assert len(await listed(client, alice)) == 1


async def test_every_bad_key_gets_the_same_response_as_every_bad_token(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    bad = [
        "not.a.token",
        (await api_keys.create(store, alice.id, Scope.JOBS_READ, expires_in=-1)).text,
        api_keys.new().text,
        key_format.new_key(key.id),
        key_format.new_key(mallory.id),
        key.text[:-1],
        key.text + "x",
        key.text.upper(),
        key.text.replace("hr_", "hr_" + "0" * 10_000),
        key.text.removeprefix("hr_"),
        "hr_",
    ]

    answers = [await me(client, text) for text in bad]

    assert {answer.status_code for answer in answers} == {401}
    assert len({str(without_names(answer.json())) for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert (await me(client, key.text)).status_code == 200


@pytest.mark.parametrize(
    "parameter", ["token", "access_token", "api_key", "key", "ticket", "authorization", "last_event_id"]
)
async def test_a_key_in_the_query_string_is_rejected(
    client: httpx.AsyncClient, store: Database, alice: Account, url: str, parameter: str
) -> None:
    key = await api_keys.create(store, alice.id, *Scope)

    for path in ("/jobs", "/users/me", "/jobs/stream"):
        answer = await client.get(path, params={parameter: key.text})
        assert code(answer) == (401, "invalid_token")
    async with websockets.opened(url, f"/ws?{parameter}={key.text}", {}) as talk:
        await talk.connection.send("{}")
        assert await talk.wait_closed() == (4401, "invalid_token")


@pytest.mark.parametrize("header", ["X-API-Key", "Api-Key", "Cookie"])
async def test_a_key_in_another_header_is_rejected(
    client: httpx.AsyncClient, store: Database, alice: Account, header: str
) -> None:
    key = await api_keys.create(store, alice.id, *Scope)

    assert (await client.get("/jobs", headers={header: key.text})).status_code == 401


# Streams


async def test_a_key_opens_every_kind_of_stream(
    client: httpx.AsyncClient, store: Database, alice: Account, url: str
) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    without_scope = await api_keys.create(store, alice.id, Scope.JOBS_WRITE)
    job_id = await jobs.create(store, alice.id)
    ticket = (await client.post("/stream-tickets", headers=key.headers)).json()["ticket"]
    async with (
        websockets.client_of(url) as served,
        sse.opened(served, f"/jobs/{job_id}/stream", key.headers) as of_job,
        sse.opened(served, f"/jobs/stream?ticket={ticket}", {}) as by_ticket,
        websockets.opened(url, "/ws", {}) as talk,
    ):
        await talk.connection.send(f'{{"token": "{key.text}"}}')
        await talk.send("subscribe", job_id=job_id)
        await talk.send("cancel", job_id=job_id)

        assert (await anext(of_job.events())).json()["job_id"] == str(job_id)
        assert (await anext(by_ticket.events())).event == "ready"
        frames = [await talk.receive() for _ in range(2)]
        assert {frame["data"].get("code") for frame in frames} == {None, "forbidden"}
    for path in ("/jobs/stream", f"/jobs/{job_id}/stream"):
        refused = await client.get(path, headers=without_scope.headers)
        assert code(refused) == (403, "forbidden")
    async with websockets.opened(url, "/ws", without_scope.headers) as talk:
        assert await talk.wait_closed() == (4403, "forbidden")


async def revoke(client: httpx.AsyncClient, store: Database, owner: Account, key: Key) -> None:
    assert (await client.delete(f"/api-keys/{key.id}", headers=owner.headers)).status_code == 204


async def expire(client: httpx.AsyncClient, store: Database, owner: Account, key: Key) -> None:
    statement = "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1"
    await rows.execute(store, statement, key.id)


@pytest.mark.parametrize("end", [revoke, expire])
@pytest.mark.parametrize("stream_times", [StreamTimes(recheck_seconds=0.1)])
async def test_streams_end_with_the_key_that_opened_them(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, url: str, end: Any
) -> None:
    """In production they are rechecked every 30 seconds."""
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    other = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    ticket, unused = [
        (await client.post("/stream-tickets", headers=key.headers)).json()["ticket"] for _ in range(2)
    ]
    admission: Admission = state_of(app).admission
    async with (
        websockets.client_of(url) as served,
        sse.opened(served, "/jobs/stream", other.headers),
        sse.opened(served, "/jobs/stream", key.headers) as stream,
        sse.opened(served, f"/jobs/stream?ticket={ticket}", {}) as by_ticket,
        websockets.opened(url, "/ws", key.headers) as talk,
    ):
        await end(client, store, alice, key)

        for one in (stream, by_ticket):
            assert (await one.all())[-1].data == '{"code":"access_ended"}'
        assert await talk.wait_closed() == (4401, "access_ended")
        assert not admission.is_empty  # the stream of the other key goes on
        refused = await served.get(f"/jobs/stream?ticket={unused}")
        assert refused.status_code == 401


def test_requests_are_checked_within_a_second_and_streams_within_35() -> None:
    """Together with the tests above, which wait as long as a slow machine needs."""
    assert identities.LIFETIME_SECONDS <= 1
    assert StreamTimes().recheck_seconds <= 30


# Traces


async def test_a_use_of_a_key_shows(app: FastAPI, client: httpx.AsyncClient, alice: Account) -> None:
    created = await create(client, alice)
    await me(client, created["key"])

    async def is_shown() -> bool:
        return all(key["last_used_at"] is not None for key in await listed(client, alice))

    assert await until(is_shown)
    [user] = [await client.get("/users/me", headers=alice.headers)]
    assert user.json()["request_count"] >= 2


async def test_concurrent_requests_with_one_key_all_succeed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    key = await api_keys.create(store, alice.id, Scope.JOBS_READ)

    answers = await asyncio.gather(*(client.get("/jobs", headers=key.headers) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {200}


async def dump(store: Database) -> str:
    """Every row of every table as text."""
    tables = await rows.fetch(
        store, "SELECT format('%I', tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
    )
    return "\n".join(
        [
            str(await rows.value(store, f"SELECT string_agg(t::text, E'\\n') FROM {table['name']} t"))
            for table in tables
        ]
    )


async def test_no_row_of_the_database_holds_a_key(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice, scopes=["jobs:read", "jobs:write"])
    headers = {"Authorization": f"Bearer {created['key']}", "Idempotency-Key": "a"}
    job = await client.post("/jobs/batch-predict", json={"texts": ["good"]}, headers=headers)
    await client.post("/stream-tickets", headers=headers)
    secret = created["key"].split("_")[2]

    dumped = await dump(store)

    assert job.json()["job_id"] in dumped
    assert str(created["key_id"]) in dumped
    assert secret not in dumped
    assert secret.encode().hex() not in dumped


async def test_no_log_and_no_other_response_holds_a_key(settings: Settings, tmp_path: Path) -> None:
    async with production(settings, tmp_path) as (client, log):
        await create_user(client)
        pair = (await client.post("/token", data={"username": "ada", "password": PASSWORD})).json()
        signed_in = {"Authorization": f"Bearer {pair['access_token']}"}
        created = (await client.post("/api-keys", json=REQUEST, headers=signed_in)).json()
        key = created["key"]
        headers = {"Authorization": f"Bearer {key}"}
        answers = [
            await client.get("/api-keys", headers=signed_in),
            await client.get("/jobs", headers=headers),
            await client.get("/models", headers=headers),
            await client.get("/jobs", headers={"Authorization": f"Bearer {key}x"}),
            await client.get("/jobs", params={"token": key}),
            await client.get("/jobs/stream", params={"ticket": key}),
            await client.post("/jobs/batch-predict", json={"token": key}, headers=headers),
            await client.post("/api-keys", json={**REQUEST, "scopes": [key]}, headers=signed_in),
        ]
        in_path = await client.delete(f"/api-keys/{key}", headers=signed_in)

    assert [answer.status_code for answer in answers] == [200, 200, 403, 401, 401, 401, 422, 422]
    assert in_path.status_code == 422
    secret = key.split("_")[2]
    assert not [answer.text for answer in answers if secret in answer.text]
    written = log.read_text()
    assert re.search(r'"path": ?"/api-keys/\[hidden\]"', written)
    assert secret not in written
