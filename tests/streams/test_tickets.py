"""Tickets: how a browser opens a stream, once, for half a minute, and no JWT ever in a URL."""

import asyncio
import hashlib
import re
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed

from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.maintenance.prune import Prune
from app.streams import tickets
from app.streams.times import StreamTimes
from tests.support import apis, jobs, rows, sse, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.websockets import Server


async def ticket_of(client: httpx.AsyncClient, who: Account, **body: object) -> str:
    answer = await client.post("/stream-tickets", headers=who.headers, json=body or None)
    assert answer.status_code == 201, answer.text
    ticket = answer.json()["ticket"]
    assert isinstance(ticket, str)
    return ticket


async def heard(url: str, path: str) -> str | int:
    """`ready` if the WebSocket is served, or its close code."""
    async with websockets.opened(url, path) as talk:
        await talk.connection.send('{"action": "ping"}')
        try:
            frame = await talk.receive()
        except ConnectionClosed:
            code, _ = await talk.wait_closed()
            return code
    assert frame["event"] in ("pong", "update")
    return "ready"


async def test_a_ticket_is_short_lived_and_only_its_hash_is_kept(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await client.post("/stream-tickets", headers=alice.headers)
    [row] = await rows.fetch(store, "SELECT * FROM stream_tickets")

    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 30
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch(r"[\w-]{32}", answer.json()["ticket"])
    assert (row["user_id"], row["job_id"]) == (alice.id, None)
    assert answer.json()["ticket"].encode() not in row["ticket_hash"]
    assert row["expires_at"] - datetime.now(UTC) <= timedelta(seconds=30)


async def test_a_ticket_opens_one_stream_and_no_second(
    url: str, served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    paths = ("/jobs/stream", f"/jobs/{job.id}/stream")

    for path in paths:
        ticket = await ticket_of(served, alice)
        async with sse.opened(served, f"{path}?ticket={ticket}", {}) as stream:
            await anext(stream.events())
            again = await served.get(f"{path}?ticket={ticket}")
        assert (again.status_code, again.json()["code"]) == (401, "invalid_token")
        assert await heard(url, f"/ws?ticket={ticket}") == 4401
    ticket = await ticket_of(served, alice)
    assert await heard(url, f"/ws/jobs/{job.id}?ticket={ticket}") == "ready"
    assert (await served.get(f"{paths[0]}?ticket={ticket}")).status_code == 401


async def test_of_fifty_that_come_with_a_ticket_at_once_one_is_let_in(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    ticket = await ticket_of(client, alice)

    async def spend() -> bool:
        async with store.connection() as connection:
            return await tickets.spend(connection, ticket) is not None

    assert Counter(await asyncio.gather(*(spend() for _ in range(50)))) == {True: 1, False: 49}


async def test_of_fifty_streams_with_a_ticket_at_once_one_is_opened(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.complete(store, job)
    ticket = await ticket_of(served, alice)
    path = f"/jobs/{job.id}/stream?ticket={ticket}"

    answers = await asyncio.gather(*(served.get(path) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 49}


async def test_of_fifty_sockets_with_a_ticket_at_once_one_is_served(
    url: str, client: httpx.AsyncClient, alice: Account
) -> None:
    ticket = await ticket_of(client, alice)

    ends = await asyncio.gather(*(heard(url, f"/ws?ticket={ticket}") for _ in range(50)))

    assert Counter(ends) == {"ready": 1, 4401: 49}


async def test_a_ticket_expires(
    url: str, served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    late, later = await ticket_of(served, alice), await ticket_of(served, alice)
    await rows.execute(store, "UPDATE stream_tickets SET expires_at = now() - interval '1 millisecond'")
    fresh = await ticket_of(served, alice)

    assert (await served.get(f"/jobs/stream?ticket={late}")).status_code == 401
    assert await heard(url, f"/ws?ticket={later}") == 4401
    async with store.connection() as connection:
        await Prune(opened_resources.settings, opened_resources.storage)(connection)
    assert await rows.value(store, "SELECT count(*) FROM stream_tickets") == 1
    assert await heard(url, f"/ws?ticket={fresh}") == "ready"


async def test_a_ticket_is_worth_nothing_once_its_token_has_expired(
    url: str, served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    for_sse, for_socket = await ticket_of(served, alice), await ticket_of(served, alice)
    of_a_version_before = await ticket_of(served, alice)
    await rows.execute(store, "UPDATE stream_tickets SET token_expires_at = now() - interval '1 millisecond'")
    fresh = await ticket_of(served, alice)
    await rows.execute(
        store,
        "UPDATE stream_tickets SET token_expires_at = NULL WHERE ticket_hash = $1",
        hashlib.sha256(of_a_version_before.encode()).digest(),
    )

    assert (await served.get(f"/jobs/stream?ticket={for_sse}")).status_code == 401
    assert await heard(url, f"/ws?ticket={for_socket}") == 4401
    assert await heard(url, f"/ws?ticket={fresh}") == "ready"
    assert await heard(url, f"/ws?ticket={of_a_version_before}") == "ready"


async def test_a_ticket_is_worth_nothing_once_the_account_is_closed(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    ticket = await ticket_of(served, alice)
    await rows.execute(store, "UPDATE users SET is_active = false WHERE id = $1", alice.id)

    assert (await served.get(f"/jobs/stream?ticket={ticket}")).status_code == 401


async def test_a_ticket_for_a_job_opens_nothing_else(
    url: str, served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job, other = await jobs.running(store, alice.id), await jobs.running(store, alice.id)

    async def ticket() -> str:
        return await ticket_of(served, alice, job_id=str(job.id))

    answer = await served.get(f"/jobs/{other.id}/stream?ticket={await ticket()}")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_your_job")
    answer = await served.get(f"/jobs/stream?ticket={await ticket()}")
    assert answer.status_code == 401
    assert await heard(url, f"/ws/jobs/{other.id}?ticket={await ticket()}") == 4403
    async with sse.opened(served, f"/jobs/{job.id}/stream?ticket={await ticket()}", {}) as stream:
        assert ((await anext(stream.events())).id or "").startswith("1.")

    async with websockets.opened(url, f"/ws/jobs/{job.id}?ticket={await ticket()}") as talk:
        await talk.receive_many(2)
        await talk.send("subscribe", job_id=other.id)
        assert (await talk.receive())["data"]["code"] == "not_your_job"
        await talk.send("cancel", job_id=other.id)
        assert (await talk.receive())["data"]["code"] == "not_your_job"
        await talk.send("subscribe")
        assert (await talk.receive())["data"]["code"] == "forbidden"
        assert await talk.has_no_pending_frames()
    assert (await rows.job(store, other.id))["cancel_requested_at"] is None


async def test_whose_job_a_ticket_is_for_is_asked_when_it_is_issued(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    for who, wanted, status in (
        (mallory, job_id, 403),
        (alice, ids.new_id(), 404),
        (alice, "none", 422),
        (alice, job_id, 201),
    ):
        body = {"job_id": str(wanted)}
        answer = await client.post("/stream-tickets", headers=who.headers, json=body)
        assert answer.status_code == status, answer.text
    assert (await client.post("/stream-tickets")).status_code == 401
    assert (await client.post("/stream-tickets", headers=alice.headers, json={"a": 1})).status_code == 422


@pytest.mark.parametrize("stream_times", [StreamTimes(first_frame_seconds=0.05)])
async def test_a_jwt_in_the_url_is_never_taken(
    url: str, served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    token = alice.headers["Authorization"].removeprefix("Bearer ")

    for name in ("ticket", "token", "access_token", "authorization"):
        for path in ("/jobs/stream", f"/jobs/{job_id}/stream"):
            answer = await served.get(path, params={name: token})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), (path, name)
        async with websockets.opened(url, f"/ws/jobs/{job_id}?{name}={token}") as talk:
            assert await talk.wait_closed() == (4401, "invalid_token"), name


async def test_what_is_no_ticket_is_refused(url: str, served: httpx.AsyncClient, alice: Account) -> None:
    for ticket in ("a", "%00", "a" * 5000, "²", "%FF"):
        answer = await served.get(f"/jobs/stream?ticket={ticket}")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), ticket
    for ticket in ("a", "%00", "a" * 5000):
        assert await heard(url, f"/ws?ticket={ticket}") == 4401, ticket


@pytest.mark.parametrize("stream_times", [StreamTimes(first_frame_seconds=0.05)])
async def test_a_ticket_needs_no_origin_and_an_origin_of_ours_needs_a_ticket(
    url: str, monkeypatch: pytest.MonkeyPatch, app: FastAPI, served: httpx.AsyncClient, alice: Account
) -> None:
    allowed = state_of(app).resources.settings.model_copy(
        update={"allowed_origins": ("https://ours.example",)}
    )
    monkeypatch.setitem(vars(state_of(app).resources), "settings", allowed)

    for origin in (None, url, "https://ours.example"):
        ticket = await ticket_of(served, alice)
        async with websockets.opened(url, f"/ws?ticket={ticket}", origin=origin) as talk:
            assert await talk.has_no_pending_frames()
        async with websockets.opened(url, "/ws", origin=origin) as talk:
            assert (await talk.wait_closed())[0] == 4401
    for origin in ("https://evil.example", "null", "https://ours.example.evil", "http://ours.example"):
        ticket = await ticket_of(served, alice)
        assert await websockets.handshake_status(url, f"/ws?ticket={ticket}", origin=origin) == 403
        assert await heard(url, f"/ws?ticket={ticket}") == "ready"  # not even looked at


@pytest.mark.parametrize("server", ["serve", "uvicorn"])
async def test_a_ticket_is_never_in_the_logs(
    settings: Settings, resources: Resources, tmp_path: Path, server: Server
) -> None:
    """Whichever server runs the API, and however much it is told to log."""
    headers = await apis.sign_in(settings, resources.database)
    spent: list[str] = []

    async with websockets.api(server, settings, tmp_path / "api.log", LOG_LEVEL="DEBUG") as api:

        async def ticket() -> str:
            answer = await api.client.post("/stream-tickets", headers=headers)
            spent.append(answer.json()["ticket"])
            return spent[-1]

        for path in ("/jobs/stream", f"/jobs/{ids.new_id()}/stream"):
            async with api.client.stream("GET", path, params={"ticket": await ticket()}):
                pass
        assert await heard(api.url, f"/ws?ticket={await ticket()}") == "ready"
        await websockets.handshake_status(
            api.url, f"/ws?ticket={await ticket()}", origin="https://evil.example"
        )
        api.process.send(signal.SIGTERM)
        await api.process.wait()

    assert "path=/stream-tickets" in api.process.log
    for secret in (*spent, headers["Authorization"].split(".")[-1]):
        assert secret not in api.process.log
