"""Conversations over WebSocket: what a client may say, what it hears, and how it is sent away."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed

from app.core import ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.transition_types import Batch, Report
from app.streams import socket
from app.streams.commands import MAX_FRAME_BYTES
from app.streams.times import StreamTimes
from tests.support import jobs, rows, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import publish, subscriber_count
from tests.support.waiting import until
from tests.support.websockets import Frame


async def log_of(store: Database, job_id: UUID) -> list[tuple[str, int]]:
    """What a conversation has to show of a job."""
    return [
        ("complete" if event["type"] in ("completed", "failed", "cancelled") else "update", event["seq"])
        for event in await rows.events(store, job_id)
    ]


def shown(frames: list[Frame]) -> list[tuple[str, int]]:
    return [(frame["event"], frame["data"]["seq"]) for frame in frames]


async def test_the_job_in_the_path_is_followed_from_its_start(
    url: str, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
        frames = await talk.receive_many(6)
        assert await talk.has_no_pending_frames()

    assert shown(frames) == await log_of(store, job.id)
    assert (frames[-1]["data"]["status"], frames[-1]["data"]["result"]) == ("completed", jobs.RESULT)


async def test_the_job_in_the_path_is_followed_from_where_the_client_was(
    url: str, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    for seen in (1, 5, 6, 7):
        async with websockets.opened(url, f"/ws/jobs/{job.id}?after={seen}", alice.headers) as talk:
            frames = await talk.receive_many(max(0, 6 - seen))
            ended = await talk.receive() if seen >= 6 else None
            assert await talk.has_no_pending_frames()
        assert shown(frames) == (await log_of(store, job.id))[seen:]
        if seen >= 6:
            assert ended == {"event": "ended", "data": {"job_id": str(job.id), "last_seq": 6}}


async def test_events_arrive_as_they_happen(
    url: str, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
        frames = await talk.receive_many(2)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        for index in range(2):
            publish(opened_resources, await jobs.commit(store, job, first=index))
            frames.append(await talk.receive())
        done = await jobs.advance(store, jobs.report(job, first=2, count=1, is_final=True))
        publish(opened_resources, done[job.id])
        frames += await talk.receive_many(2)

    assert shown(frames) == await log_of(store, job.id)


async def test_one_connection_follows_many_jobs_each_from_its_own_place(
    url: str, alice: Account, store: Database
) -> None:
    finished = [await jobs.running(store, alice.id, rows=25) for _ in range(3)]
    for job in finished:
        await jobs.complete(store, job)

    async with websockets.opened(url, "/ws", alice.headers) as talk:
        for after, job in enumerate(finished):
            await talk.send("subscribe", job_id=job.id, after=after)
        frames = await talk.receive_many(6 + 5 + 4)

    for after, job in enumerate(finished):
        own = [frame for frame in frames if frame["data"]["job_id"] == str(job.id)]
        assert shown(own) == (await log_of(store, job.id))[after:]


async def test_who_subscribes_again_starts_again_from_there(
    url: str, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
        first = await talk.receive_many(2)
        await talk.send("subscribe", job_id=job.id, after=1)
        again = await talk.receive()
        await until(lambda: subscriber_count(opened_resources, alice.id))
        publish(opened_resources, await jobs.complete(store, job))
        live = await talk.receive_many(4)
        assert await talk.has_no_pending_frames()  # followed once, not twice

    assert shown([*first, *live]) == await log_of(store, job.id)
    assert shown([again]) == [("update", 2)]


async def test_nothing_comes_after_unsubscribed(
    url: str, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
        await talk.receive_many(2)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        await talk.send("unsubscribe", job_id=job.id)
        assert await talk.receive() == {"event": "unsubscribed", "data": {"job_id": str(job.id)}}
        publish(opened_resources, await jobs.complete(store, job))
        assert await talk.has_no_pending_frames()
        await talk.send("unsubscribe", job_id=job.id)  # as often as one likes
        assert (await talk.receive())["event"] == "unsubscribed"
        await talk.send("subscribe", job_id=job.id, after=2)
        frames = await talk.receive_many(4)

    assert shown(frames) == (await log_of(store, job.id))[2:]


async def test_a_job_is_cancelled_by_a_command(url: str, alice: Account, store: Database) -> None:
    job_id = await jobs.create(store, alice.id)

    async with websockets.opened(url, f"/ws/jobs/{job_id}", alice.headers) as talk:
        await talk.receive()
        await talk.send("cancel", job_id=job_id)
        heard = await talk.receive_many(2)
        await talk.send("cancel", job_id=job_id)
        refusal = await talk.receive()

    assert {frame["event"] for frame in heard} == {"cancel_requested", "complete"}
    assert (await rows.job(store, job_id))["status"] == "cancelled"
    assert (refusal["event"], refusal["data"]["code"]) == ("error", "job_already_finished")


async def test_what_a_command_may_not_is_said_and_the_conversation_goes_on(
    url: str, alice: Account, mallory: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    nothing = ids.new_id()
    refused: dict[str, list[dict[str, Any]]] = {
        "not_your_job": [{"action": "subscribe", "job_id": job.id}, {"action": "cancel", "job_id": job.id}],
        "job_not_found": [
            {"action": "subscribe", "job_id": nothing},
            {"action": "cancel", "job_id": nothing},
        ],
        "invalid_event_id": [
            {"action": "subscribe", "job_id": job.id, "after": -1},
            {"action": "subscribe", "job_id": job.id, "after": 2**40},
            {"action": "subscribe", "job_id": job.id, "after": "1"},
            {"action": "subscribe", "after": "abc"},
            {"action": "subscribe", "after": 7},
            {"action": "subscribe", "after": f"1-{job.id.hex}-{2**31}"},
        ],
    }

    async with websockets.opened(url, "/ws", mallory.headers) as talk:
        for code, commands in refused.items():
            for command in commands:
                await talk.send(**command)
                frame = await talk.receive()
                assert (frame["event"], frame["data"]["code"]) == ("error", code), command
        assert await talk.has_no_pending_frames()

    assert (await rows.job(store, job.id))["cancel_requested_at"] is None


async def test_what_is_no_command_is_answered_and_the_conversation_goes_on(url: str, alice: Account) -> None:
    texts = (
        "",
        "ping",
        "{",
        "[]",
        "null",
        "{}",
        '{"action": "explode"}',
        '{"action": "ping", "more": 1}',
        '{"action": "cancel"}',
        '{"action": "cancel", "job_id": "1"}',
        '{"action": "subscribe", "job_id": 7}',
        '{"token": "again"}',
        '{"a": ' + "[" * 60_000,
    )

    async with websockets.opened(url, "/ws", alice.headers) as talk:
        for text in texts:
            await talk.connection.send(text)
            frame = await talk.receive()
            assert (frame["event"], frame["data"]["code"]) == ("error", "invalid_command"), text[:80]
        assert await talk.has_no_pending_frames()


async def test_a_frame_that_is_too_large_ends_the_conversation(url: str, alice: Account) -> None:
    async with websockets.opened(url, "/ws", alice.headers) as talk:
        await talk.connection.send("x" * (MAX_FRAME_BYTES + 1))
        code, _ = await talk.wait_closed()

    assert code == 1009


async def test_a_frame_that_is_no_text_ends_the_conversation(url: str, alice: Account) -> None:
    async with websockets.opened(url, "/ws", alice.headers) as talk:
        await talk.connection.send(b'{"action": "ping"}')
        code, _ = await talk.wait_closed()

    assert code == 1003


async def test_there_are_only_so_many_subscriptions_and_renewing_one_is_none(
    url: str, alice: Account, store: Database
) -> None:
    worker_id = await jobs.worker(store)
    for _ in range(socket.MAX_SUBSCRIPTIONS + 1):
        await jobs.create(store, alice.id, rows=1)
    *most, last = [job.id for job in await jobs.claim_all(store, worker_id)]

    async with websockets.opened(url, "/ws", alice.headers) as talk:
        for job_id in most:
            await talk.send("subscribe", job_id=job_id, after=2)
        await talk.send("subscribe", job_id=last)
        refusal = await talk.receive()
        await talk.send("subscribe", job_id=most[0], after=1)
        renewed = await talk.receive()
        await talk.send("unsubscribe", job_id=most[1])
        await talk.receive()
        await talk.send("subscribe", job_id=last, after=1)
        in_its_place = await talk.receive()

    assert refusal["data"] == {"code": "too_many_subscriptions", "limit": 100}
    assert (renewed["data"]["job_id"], renewed["data"]["seq"]) == (str(most[0]), 2)
    assert in_its_place["data"]["job_id"] == str(last)


async def test_a_text_cannot_break_out_of_its_frame(url: str, alice: Account, store: Database) -> None:
    for step in ('\n\n{"event":"complete"}', "\r\r\x01", "\u2028\u2029\x85\x0b", '"}\n'):
        job = await jobs.running(store, alice.id, rows=10)
        batch = Batch(0, 10, jobs.output(0, 10), step)
        await jobs.advance(store, Report(job.id, job.attempt, 0, (batch,), result=b"{}"))

        async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
            frames = await talk.receive_many(4)
            assert await talk.has_no_pending_frames()

        assert shown(frames) == await log_of(store, job.id)
        assert frames[2]["data"]["step"] == step


# Who it is


async def test_a_token_may_come_as_the_first_frame(url: str, alice: Account, store: Database) -> None:
    job = await jobs.running(store, alice.id)
    token = alice.headers["Authorization"].removeprefix("Bearer ")

    async with websockets.opened(url, f"/ws/jobs/{job.id}?after=1") as talk:
        await talk.connection.send(json.dumps({"token": token}))
        frame = await talk.receive()

    assert shown([frame]) == [("update", 2)]


async def test_a_first_frame_that_is_no_token_is_refused(url: str, alice: Account, store: Database) -> None:
    job = await jobs.running(store, alice.id)
    frames: dict[str | bytes, int] = {
        "{}": 4401,
        '{"action": "ping"}': 4401,
        '{"token": 7}': 4401,
        '{"token": "a.b.c"}': 4401,
        '{"a": ' + "[" * 60_000: 4401,
        b"{}": 1003,
    }

    for frame, expected in frames.items():
        async with websockets.opened(url, f"/ws/jobs/{job.id}") as talk:
            await talk.connection.send(frame)
            code, _ = await talk.wait_closed()
        assert code == expected, frame[:80]


@pytest.mark.parametrize("stream_times", [StreamTimes(first_frame_seconds=0.05)])
async def test_silence_instead_of_a_token_is_refused(url: str, alice: Account) -> None:
    async with websockets.opened(url, "/ws") as talk:
        assert await talk.wait_closed() == (4401, "invalid_token")


async def test_a_bearer_that_is_none_is_refused(url: str) -> None:
    for header in ("Bearer nonsense", "Bearer ", "bearer a.b.c"):
        async with websockets.opened(url, "/ws", {"Authorization": header}) as talk:
            assert await talk.wait_closed() == (4401, "invalid_token")


async def test_whose_job_it_is_is_settled_before_anything_is_said(
    url: str, alice: Account, mallory: Account, store: Database, app: FastAPI
) -> None:
    job = await jobs.running(store, alice.id)

    async def heard(path: str, who: Account) -> tuple[list[Frame], int]:
        frames = []
        async with websockets.opened(url, path, who.headers) as talk:
            with suppress(ConnectionClosed):
                while True:
                    frames.append(await talk.receive_any())
            code, _ = await talk.wait_closed()
        return frames, code

    async def tick_all_the_time() -> None:
        while True:
            await state_of(app).sockets.tick(datetime.now(UTC))
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick_all_the_time())
    try:
        assert await heard(f"/ws/jobs/{job.id}", mallory) == ([], 4403)
        assert await heard(f"/ws/jobs/{ids.new_id()}", alice) == ([], 4404)
        assert await heard("/ws/jobs/none", alice) == ([], 4404)
    finally:
        ticking.cancel()


async def test_the_pages_of_others_are_refused_before_the_handshake(url: str, alice: Account) -> None:
    for origin in ("https://evil.example", "null", "http://[", "http://127.0.0.1", f"{url}.evil", "file://"):
        assert await websockets.handshake_status(url, "/ws", alice.headers, origin=origin) == 403, origin


async def test_our_own_pages_are_welcome(url: str, alice: Account) -> None:
    async with websockets.opened(url, "/ws", alice.headers, origin=url) as talk:
        assert await talk.has_no_pending_frames()


async def test_a_client_that_goes_away_leaves_nothing_behind(
    url: str, app: FastAPI, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    tasks_before = len(asyncio.all_tasks())

    async def nobody_is_left() -> bool:
        return bool(state_of(app).admission.is_empty and state_of(app).sockets.is_empty)

    async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
        await talk.send("subscribe")
        await talk.receive_many(3)
        assert not state_of(app).admission.is_empty
        talk.connection.transport.abort()

    await until(nobody_is_left)

    async def no_task_is_left() -> bool:
        return len(asyncio.all_tasks()) <= tasks_before

    await until(no_task_is_left)


async def test_a_subscription_that_breaks_ends_the_conversation(
    url: str, monkeypatch: pytest.MonkeyPatch, alice: Account, store: Database
) -> None:
    """Silence would look as if nothing happened to the job."""
    job = await jobs.running(store, alice.id)

    async def fail(*_: object) -> None:
        raise LookupError("boom")

    monkeypatch.setattr("app.streams.hub.Hub.read_job", fail)
    async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk:
        assert await talk.wait_closed() == (1011, "internal_error")
