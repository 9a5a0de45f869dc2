"""An EventSource reconnects with the spent ticket of its stream; no other client can."""

import asyncio
from datetime import timedelta

import httpx
from fastapi import FastAPI

from app.core.database import Database
from app.core.resources import Resources
from app.maintenance.prune import Prune
from app.streams import tickets
from tests.support import jobs, rows, sse, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.event_source import EventSource
from tests.support.following import publish
from tests.support.waiting import until


async def ticket_of(client: httpx.AsyncClient, who: Account, **body: object) -> str:
    answer = await client.post("/stream-tickets", headers=who.headers, json=body or None)
    ticket: str = answer.json()["ticket"]
    return ticket


async def opened(served: httpx.AsyncClient, path: str) -> str:
    """Open a stream with a ticket and leave it; gives the id that it ended with."""
    async with sse.opened(served, path, {}) as stream:
        await anext(stream.events())
        assert stream.last_id is not None
        return stream.last_id


async def status(served: httpx.AsyncClient, path: str, last_event_id: str) -> int:
    async with served.stream("GET", path, headers={"Last-Event-ID": last_event_id}) as answer:
        return answer.status_code


async def refusal(served: httpx.AsyncClient, path: str, last_event_id: str) -> tuple[int, str]:
    """The status and code of a refusal. A stream is not read, and so not waited for: its code is empty."""
    headers = httpx.Headers({"Last-Event-ID": last_event_id}, encoding="latin-1")
    async with served.stream("GET", path, headers=headers) as answer:
        if answer.is_success:
            return answer.status_code, ""
        await answer.aread()
        return answer.status_code, answer.json()["code"]


async def test_an_event_source_that_is_cut_again_and_again_sees_the_log_and_stops_at_its_end(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=60)
    ticket = await ticket_of(served, alice, job_id=str(job.id))
    source = EventSource(served, f"/jobs/{job.id}/stream?ticket={ticket}")
    seen = []

    async def work() -> None:
        for index in range(6):
            publish(opened_resources, await jobs.commit(store, job, first=index))
        done = await jobs.advance(store, jobs.report(job, first=6, count=0, is_final=True))
        publish(opened_resources, done[job.id])

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(work())
        while not source.is_closed:
            # Leaving the loop cuts the connection, and the next turn makes a new one.
            async for event in source.events():
                seen.append(event.json()["seq"])
                break

    assert seen == [event["seq"] for event in await rows.events(store, job.id)]
    assert source.statuses == [200] * len(seen) + [204]


async def test_the_stream_of_all_jobs_is_resumed_too(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    source = EventSource(served, f"/jobs/stream?ticket={await ticket_of(served, alice)}")
    events = source.events()
    async with asyncio.timeout(30):
        ready = await anext(events)
        await events.aclose()  # type: ignore[attr-defined]  # it is a generator
        job = await jobs.running(store, alice.id)
        seen = []
        async for event in source.events():
            if event.event == "update":
                seen.append(event.json()["seq"])
            if len(seen) == 2:
                break

    assert ready.event == "ready"
    assert seen == [1, 2]
    assert (await rows.job(store, job.id))["last_seq"] == 2
    assert source.statuses == [200, 200]


async def test_a_client_that_is_cut_before_its_first_event_resumes(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    path = f"/jobs/{job.id}/stream?ticket={await ticket_of(served, alice)}"

    async with sse.opened(served, f"{path}&after=2", {}) as stream:
        opening = (await anext(stream.response.aiter_bytes())).decode()
    _, identified, _ = opening.split("\n", 2)

    assert identified.startswith("id: 2.")
    assert await status(served, f"{path}&after=2", identified.removeprefix("id: ")) == 200


async def test_a_stream_is_not_resumed_without_its_resume_token(
    url: str, served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job, other = await jobs.running(store, alice.id), await jobs.running(store, alice.id)
    stream, streams = f"/jobs/{job.id}/stream", "/jobs/stream"
    ticket, another = await ticket_of(served, alice), await ticket_of(served, alice)
    place, _, token = (await opened(served, f"{stream}?ticket={ticket}")).partition(".")
    foreign_token = (await opened(served, f"{streams}?ticket={another}")).rpartition(".")[2]

    for last_event_id in ("", "0", "1", "1.", f"1.{foreign_token}", f"1.{token}x", "1." + "a" * 200, "1.²"):
        path = f"{stream}?ticket={ticket}"
        assert await refusal(served, path, last_event_id) == (401, "invalid_token"), last_event_id
    for elsewhere in (
        f"{streams}?ticket={ticket}",
        f"/jobs/{other.id}/stream?ticket={ticket}",
        f"{stream}?ticket={another}",
        f"{stream}?ticket={token}",
        stream,
    ):
        assert await status(served, elsewhere, f"{place}.{token}") == 401, elsewhere
    async with websockets.opened(url, f"/ws/jobs/{job.id}?ticket={ticket}&after=1") as talk:
        assert (await talk.wait_closed())[0] == 4401
    assert await status(served, f"{stream}?ticket={ticket}", f"{place}.{token}") == 200


async def test_a_new_ticket_opens_a_stream_of_its_own_whatever_id_comes_with_it(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    """A page that asks for a new ticket goes on after the last event of the stream before."""
    job = await jobs.running(store, alice.id)
    path = f"/jobs/{job.id}/stream?ticket="
    earlier = await opened(served, path + await ticket_of(served, alice))

    headers = {"Last-Event-ID": earlier}
    async with sse.opened(served, path + await ticket_of(served, alice), headers) as stream:
        event = await anext(stream.events())

    assert event.json()["seq"] == 2
    assert (event.id or "").rpartition(".")[2] != earlier.rpartition(".")[2]


async def test_a_resume_token_is_taken_from_the_header_only_and_kept_as_a_hash(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    """A URL is written down in logs; this is what the token is there for."""
    job = await jobs.running(store, alice.id)
    ticket = await ticket_of(served, alice)
    event_id = await opened(served, f"/jobs/{job.id}/stream?ticket={ticket}")

    by_query = await served.get(f"/jobs/{job.id}/stream", params={"ticket": ticket, "after": event_id})
    by_another = await served.get(f"/jobs/{job.id}/stream", params={"after": event_id}, headers=alice.headers)
    [row] = await rows.fetch(store, "SELECT * FROM stream_tickets")

    assert by_query.status_code == 401
    assert (by_another.status_code, by_another.json()["code"]) == (400, "invalid_event_id")
    assert event_id.partition(".")[2].encode() not in row["resume_hash"]
    # The place alone is good with a new ticket or a token.
    assert await status(served, f"/jobs/{job.id}/stream?ticket={await ticket_of(served, alice)}", "1") == 200
    async with sse.opened(
        served, f"/jobs/{job.id}/stream", {**alice.headers, "Last-Event-ID": event_id}
    ) as stream:
        assert (await anext(stream.events())).id == "2"


async def test_a_stream_can_be_resumed_for_a_while_after_it_was_open(
    served: httpx.AsyncClient, alice: Account, app: FastAPI, store: Database, opened_resources: Resources
) -> None:
    admission = state_of(app).admission
    job = await jobs.running(store, alice.id)
    ticket, forgotten = await ticket_of(served, alice), await ticket_of(served, alice)
    path = f"/jobs/{job.id}/stream?ticket={ticket}"
    left_id = await opened(served, f"/jobs/{job.id}/stream?ticket={forgotten}")

    async def only_one_is_open() -> bool:
        return len(admission._open) == 1

    async with sse.opened(served, path, {}) as stream:
        await anext(stream.events())
        event_id = stream.last_id or ""
        await rows.execute(store, "UPDATE stream_tickets SET expires_at = now() + interval '1 second'")
        await until(only_one_is_open)
        await admission.recheck()
    await rows.execute(store, "UPDATE stream_tickets SET expires_at = expires_at - interval '2 seconds'")
    left = await rows.value(
        store,
        "SELECT max(expires_at) - now() > $1::interval FROM stream_tickets",
        tickets.RESUME_WINDOW - timedelta(seconds=30),
    )
    async with store.connection() as connection:
        await Prune(opened_resources.settings, opened_resources.storage)(connection)

    assert left
    assert await status(served, path, event_id) == 200
    assert await status(served, f"/jobs/{job.id}/stream?ticket={forgotten}", left_id) == 401


async def test_a_stream_is_not_resumed_after_its_window_or_once_the_account_is_closed(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    path = f"/jobs/{job.id}/stream?ticket={await ticket_of(served, alice)}"
    event_id = await opened(served, path)

    await rows.execute(store, "UPDATE users SET is_active = false WHERE id = $1", alice.id)
    closed = await status(served, path, event_id)
    await rows.execute(store, "UPDATE users SET is_active = true WHERE id = $1", alice.id)
    again = await status(served, path, event_id)
    await rows.execute(store, "UPDATE stream_tickets SET expires_at = now() - interval '1 millisecond'")

    assert (closed, again) == (401, 200)
    assert await status(served, path, event_id) == 401


async def test_a_stream_is_not_resumed_once_the_token_of_its_ticket_has_expired(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    path = f"/jobs/stream?ticket={await ticket_of(served, alice)}"
    last_id = await opened(served, path)

    assert await status(served, path, last_id) == 200
    await rows.execute(store, "UPDATE stream_tickets SET token_expires_at = now() - interval '1 millisecond'")
    assert await status(served, path, last_id) == 401
