"""A request that the server cancels because it stops is answered with 503, never with 500."""

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message
from structlog.testing import capture_logs

from tests.conftest import SignUp
from tests.support.app_state import state_of

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JOB = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

MOMENTS = [*range(1, 40, 3), *range(40, 1000, 60)]
"""After how many turns of the event loop the request is cancelled."""


async def cancelled(
    app: FastAPI, method: str, target: str, headers: dict[str, str], body: bytes, turns: int
) -> list[Message]:
    """What the application sends if its task is cancelled after so many turns of the loop."""
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    task = asyncio.create_task(app(scope, receive, send))
    for _ in range(turns):
        if not task.done():
            await asyncio.sleep(0)
    task.cancel()
    await task  # raises if the cancellation, or an error in its place, leaves the application
    return sent


@pytest.mark.parametrize(
    ("method", "target", "kind", "body"),
    [
        ("GET", "/users/me", {}, b""),
        ("GET", "/jobs", {}, b""),
        ("GET", f"/jobs/{JOB}", {}, b""),
        ("GET", "/datasets", {}, b""),
        ("GET", "/models", {}, b""),
        ("GET", "/dead-letters", {}, b""),
        ("DELETE", f"/groups/{JOB}", {}, b""),
        ("POST", "/users", JSON, b'{"username": "eve", "password": "a long enough passphrase"}'),
        ("POST", "/token", FORM, b"username=ada&password=a+long+enough+passphrase"),
        ("POST", "/token/refresh", JSON, b'{"refresh_token": "never-issued"}'),
        ("POST", "/datasets?name=x", {"Content-Type": "text/csv"}, b"a,b\n1,2\n"),
        ("POST", "/models/mine/versions", {"Content-Type": "application/octet-stream"}, b"no model"),
        ("POST", f"/jobs/{JOB}/retry", JSON, b"{}"),
    ],
)
async def test_a_request_that_is_cancelled_at_any_moment_of_a_shutdown_is_no_error(
    app: FastAPI, sign_up: SignUp, method: str, target: str, kind: dict[str, str], body: bytes
) -> None:
    headers = {**await sign_up("ada"), **kind}
    state_of(app).hub.close()
    statuses = set()
    for turns in MOMENTS:
        state_of(app).auth.identities.forget()
        with capture_logs() as records:
            start, *rest = await cancelled(app, method, target, headers, body, turns)
        statuses.add(start["status"])
        assert start["status"] < 500 or start["status"] == 503
        if start["status"] == 503:
            assert b"retry-after" in dict(start["headers"])
            assert json.loads(rest[0]["body"])["status"] == 503
        assert not [record for record in records if record.get("exc_info")]
    assert 503 in statuses


async def test_a_cancellation_that_is_not_the_servers_passes(app: FastAPI, sign_up: SignUp) -> None:
    headers = await sign_up("ada")

    with pytest.raises(asyncio.CancelledError):
        await cancelled(app, "GET", "/jobs", headers, b"", turns=2)


async def test_what_a_library_makes_of_the_cancellation_is_no_error_either(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.get("/waits")
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("the connection was in the middle of something") from None

    await client.get("/health/live")
    state_of(app).hub.close()
    with capture_logs() as records:
        start, _ = await cancelled(app, "GET", "/waits", {}, b"", turns=50)

    assert start["status"] == 503
    assert [record["event"] for record in records] == ["request"]
