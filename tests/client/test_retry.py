"""When the client retries and when it gives up, with a scripted server."""

import asyncio
from asyncio import StreamWriter
from itertools import pairwise

import pytest

from app.client import (
    BadRequest,
    RetryConfig,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)
from tests.client.conftest import Connect
from tests.client.either import HURRIED
from tests.client.scripted import JOB_ID, STREAM_HEAD, Asked, answer, answering, frame, scripted
from tests.support import ports

BRIEF = RetryConfig(retry_seconds=0.4, away_seconds=0.4, first_pause_seconds=0.02)
CREATED = answer(202, {"job_id": JOB_ID, "status": "pending"})
SHUTDOWN = b"event: shutdown\ndata: bye\n\n"
AWAY = answer(503, {"code": "database_unavailable", "detail": "Away.", "status": 503}, Retry_After="1")


async def test_a_submit_is_retried_after_the_requested_pause_with_the_same_key(connect: Connect) -> None:
    async with answering(AWAY, answer(502, "<h1>Bad gateway</h1>"), CREATED) as server:
        job = await connect(server.url, token="t").submit(["x"])

    assert job.id == JOB_ID
    assert len(server.asked) == 3
    assert server.asked[1].at - server.asked[0].at >= 1.0
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len({asked.body for asked in server.asked}) == 1


async def test_retries_end(connect: Connect) -> None:
    away = answer(503, {"code": "database_unavailable", "detail": "Away.", "request_id": "r1"})
    async with answering(away) as server:
        client = connect(server.url, token="t", retry_config=BRIEF)
        with pytest.raises(Unavailable) as submit:
            await client.submit(["x"])
        with pytest.raises(Unavailable):
            [event async for event in client.follow(JOB_ID)]
        with pytest.raises(Unavailable):
            await client.wait(JOB_ID)

    assert (submit.value.status, submit.value.code, submit.value.request_id) == (
        503,
        "database_unavailable",
        "r1",
    )
    assert submit.value.is_transient
    assert 3 < len(server.asked) < 60


async def test_a_closed_port_is_unreachable(connect: Connect) -> None:
    with ports.reserved() as port:
        client = connect(f"http://127.0.0.1:{port}", token="t", retry_config=BRIEF)
        with pytest.raises(Unreachable, match="cannot reach http://127"):
            await client.submit(["x"])
        with pytest.raises(Unreachable):
            [event async for event in client.follow(JOB_ID)]
        with pytest.raises(Unreachable):
            [row async for row in client.results(JOB_ID)]


async def test_a_long_retry_after_does_not_extend_the_retries(connect: Connect) -> None:
    async with answering(answer(429, {"detail": "Slow down."}, Retry_After="900")) as server:
        with pytest.raises(TooManyRequests) as caught:
            await connect(server.url, token="t").submit(["x"])

    assert len(server.asked) == 1
    assert caught.value.retry_after_seconds == 900


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(500, {"code": "internal_error", "detail": "Sorry."}), ServerError),
        (answer(503, {"code": "mail_not_configured", "detail": "It sends no e-mail."}), ServerError),
        (answer(400, "<h1>Bad request</h1>"), BadRequest),
        (answer(418, {"detail": "Short and stout."}), BadRequest),
        (answer(301, ""), UnexpectedResponse),
        (answer(200, "<h1>Welcome to our wifi</h1>"), UnexpectedResponse),
        (answer(200, {"hello": "world"}), UnexpectedResponse),
        (answer(200, [1, 2]), UnexpectedResponse),
        (answer(401, {"code": "invalid_token", "detail": "Sign in first."}), Unauthorized),
    ],
)
async def test_a_permanent_error_is_not_retried(
    connect: Connect, given: bytes, error: type[Exception]
) -> None:
    async with answering(given) as server:
        client = connect(server.url, token="t")
        with pytest.raises(error):
            await client.job(JOB_ID)
        with pytest.raises(error):
            [event async for event in client.follow(JOB_ID)]

    assert len(server.asked) == 2


async def test_a_token_that_is_always_rejected_is_renewed_a_few_times_only(connect: Connect) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        pair = answer(200, {"access_token": f"t{len(server.asked)}", "refresh_token": "r"})
        writer.write(pair if "/token" in asked.line else answer(401, {"detail": "Sign in first."}))

    async with scripted(script) as server:
        with pytest.raises(Unauthorized):
            await connect(server.url, username="ada", password="p").job(JOB_ID)

    assert len(server.asked) == 8


async def test_a_refresh_whose_response_is_lost_is_followed_by_a_sign_in(
    connect: Connect,
) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        match asked.line.split()[1]:
            case "/token":
                number = len([one for one in server.asked if one.line.startswith("POST /token ")])
                writer.write(answer(200, {"access_token": f"t{number}", "refresh_token": "r"}))
            case "/token/refresh":
                writer.close()
            case _:
                is_good = asked.headers["authorization"] == "bearer t2"
                job = {"job_id": JOB_ID, "status": "running"}
                writer.write(answer(200, job) if is_good else answer(401, {"detail": "Expired."}))

    async with scripted(script) as server:
        assert (await connect(server.url, username="ada", password="p").job(JOB_ID)).id == JOB_ID

    asked = [one.line.split()[1] for one in server.asked]
    assert asked == ["/token", f"/jobs/{JOB_ID}", "/token/refresh", "/token", f"/jobs/{JOB_ID}"]


async def test_a_silent_stream_is_resumed_after_the_last_event(connect: Connect) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        if len(server.asked) == 1:
            writer.write(frame(1) + frame(2) + b"id: 3\nevent: upd")
            await writer.drain()
            await asyncio.sleep(5)
        writer.write(frame(2) + frame(3) + frame(4, "complete"))

    retry_config = RetryConfig(silence_seconds=0.3, first_pause_seconds=0.01)
    async with scripted(script) as server:
        events = [
            event.seq
            async for event in connect(server.url, token="t", retry_config=retry_config).follow(JOB_ID)
        ]

    assert events == [1, 2, 3, 4]
    assert [asked.headers["last-event-id"] for asked in server.asked] == ["0", "2"]
    assert server.asked[1].at - server.asked[0].at < 3


async def test_a_stream_is_resumed_after_the_pause_that_the_server_asks_for(connect: Connect) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        if len(server.asked) == 2:
            writer.write(AWAY)
            return
        writer.write(STREAM_HEAD + b": welcome\nretry: 400\n\n")
        is_last = len(server.asked) == 4
        writer.write(frame(4, "complete") if is_last else frame(len(server.asked)) + SHUTDOWN)

    async with scripted(script) as server:
        events = [event.seq async for event in connect(server.url, token="t").follow(JOB_ID)]

    assert events == [1, 3, 4]
    pauses = [after.at - before.at for before, after in pairwise(server.asked)]
    assert pauses[0] >= 0.4
    assert pauses[1] >= 1.0
    assert pauses[2] >= 0.4


async def test_a_stream_whose_token_has_expired_is_resumed_at_once(connect: Connect) -> None:
    async def script(_asked: Asked, writer: StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"retry: 9000\n\n" + frame(len(server.asked)))
        is_last = len(server.asked) == 2
        writer.write(frame(3, "complete") if is_last else b'event: error\ndata: {"code":"access_ended"}\n\n')

    async with scripted(script) as server:
        events = [event.seq async for event in connect(server.url, token="t").follow(JOB_ID)]

    assert events == [1, 2, 3]
    assert server.asked[1].at - server.asked[0].at < 2


async def test_a_retried_job_is_followed_past_its_first_end(connect: Connect) -> None:
    stream = STREAM_HEAD + frame(1) + frame(2, "complete") + frame(3) + frame(4, "complete")
    async with answering(stream) as server:
        events = [event.seq async for event in connect(server.url, token="t").follow(JOB_ID)]

    assert events == [1, 2, 3, 4]
    assert len(server.asked) == 1


async def test_a_stream_that_ends_early_is_resumed_until_the_log_is_complete(connect: Connect) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        path = asked.line.split()[1].removeprefix(f"/jobs/{JOB_ID}")
        streams = len([one for one in server.asked if "/stream" in one.line])
        match path.split("?")[0]:
            case "/stream":
                writer.write(STREAM_HEAD + (frame(1) if streams == 1 else b""))
            case "/events":
                writer.write(answer(200, {"items": [], "last_seq": 1}))
            case _:
                status = "running" if streams == 1 else "completed"
                writer.write(answer(200, {"job_id": JOB_ID, "status": status}))

    async with scripted(script) as server:
        client = connect(server.url, token="t", retry_config=HURRIED)
        assert [event.seq async for event in client.follow(JOB_ID)] == [1]

    assert [asked.line.split()[1].rsplit("/", 1)[1].split("?")[0] for asked in server.asked] == [
        *("stream", JOB_ID),
        *("stream", JOB_ID, "events"),
    ]


async def test_a_stream_with_status_204_is_complete(connect: Connect) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        match asked.line.split()[1].removeprefix(f"/jobs/{JOB_ID}").split("?")[0]:
            case "/stream":
                writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            case "/events":
                writer.write(answer(200, {"items": [], "last_seq": 3}))
            case _:
                writer.write(answer(200, {"job_id": JOB_ID, "status": "completed"}))

    async with scripted(script) as server:
        client = connect(server.url, token="t", retry_config=HURRIED)
        assert [event.seq async for event in client.follow(JOB_ID, after=3)] == []

    assert len([asked for asked in server.asked if "/stream" in asked.line]) == 1


async def test_unknown_members_and_events_of_a_newer_server_are_ignored(connect: Connect) -> None:
    job = {"job_id": JOB_ID, "status": "paused", "mood": "good", "error": {"code": "x", "hint": "y"}}
    async with answering(answer(200, job)) as server:
        found = await connect(server.url, token="t").job(JOB_ID)
    stream = STREAM_HEAD + b"event: weather\ndata: sunny\n\n" + frame(1, mood="good") + frame(2, "complete")
    async with answering(stream) as server:
        events = [event async for event in connect(server.url, token="t").follow(JOB_ID)]

    assert (found.status, found.is_final, found.raw["mood"]) == ("paused", False, "good")
    assert found.error is not None
    assert (found.error.code, found.error.message) == ("x", "")
    assert [event.seq for event in events] == [1, 2]
    assert events[0].raw["mood"] == "good"
