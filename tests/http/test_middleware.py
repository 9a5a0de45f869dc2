"""What happens to every request, whatever its route."""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from prometheus_client import REGISTRY
from starlette.responses import StreamingResponse
from starlette.types import Message
from structlog.testing import capture_logs

from app.http import middleware
from tests.http.conftest import BODY_LIMIT
from tests.support.accounts import Account


def requests_counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("headrace_http_requests_total", labels) or 0


def requests_timed(**labels: str) -> float:
    return REGISTRY.get_sample_value("headrace_http_request_seconds_count", labels) or 0


def series_of_requests() -> set[tuple[str, ...]]:
    names = ("headrace_http_requests", "headrace_http_request_seconds")
    families = [family for family in REGISTRY.collect() if family.name in names]
    return {(sample.name, *sample.labels.values()) for family in families for sample in family.samples}


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def add_route_that_reads(stand: FastAPI) -> None:
    @stand.post("/read/{name}")
    async def read(name: str, request: Request) -> int:
        return len(await request.body())


# ---------------------------------------------------------------------------------------- request ids


async def test_each_request_gets_an_id_of_its_own(visitor: httpx.AsyncClient) -> None:
    first, second = await visitor.get("/"), await visitor.get("/")

    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_a_sane_id_of_the_clients_is_kept(visitor: httpx.AsyncClient) -> None:
    response = await visitor.get("/", headers={"X-Request-ID": "build-7_of.9"})

    assert response.headers["x-request-id"] == "build-7_of.9"


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "a\tb", "über", "<script>", "a;b", "a\n"])
async def test_any_other_id_is_replaced(visitor: httpx.AsyncClient, given: str) -> None:
    response = await visitor.get("/", headers=[(b"X-Request-ID", given.encode())])

    assert len(response.headers["x-request-id"]) == 32


async def test_the_id_is_in_every_log_record_of_its_request(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.get("/talk")
    async def talk() -> None:
        structlog.get_logger().info("talking")

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as records:
        await visitor.get("/talk", headers={"X-Request-ID": "mine"})
        structlog.get_logger().info("after")

    ids = {record["event"]: record.get("request_id") for record in records}
    assert ids == {"talking": "mine", "request": "mine", "after": None}


async def test_a_websocket_has_an_id_and_nothing_else(stand: FastAPI) -> None:
    seen: list[str] = []

    @stand.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        seen.append(websocket.scope["request_id"])
        await websocket.accept()
        await websocket.close()

    incoming: list[Message] = [{"type": "websocket.connect"}]
    outgoing: list[Message] = []

    async def receive() -> Message:
        return incoming.pop()

    async def send(message: Message) -> None:
        outgoing.append(message)

    scope = {"type": "websocket", "path": "/ws", "headers": [(b"x-request-id", b"ws-1")], "query_string": b""}
    with capture_logs() as records:
        await stand(scope, receive, send)

    assert seen == ["ws-1"]
    assert [message["type"] for message in outgoing] == ["websocket.accept", "websocket.close"]
    assert records == []


# ------------------------------------------------------------------------------------------- the body


async def test_a_body_up_to_the_limit_is_read(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    add_route_that_reads(stand)

    response = await visitor.post("/read/x", content=b"x" * BODY_LIMIT)

    assert response.json() == BODY_LIMIT


async def test_a_body_that_declares_too_much_is_refused_before_any_of_it_is_read(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    add_route_that_reads(stand)
    taken: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        taken.append(b"x")
        yield b"x" * (BODY_LIMIT + 1)

    response = await visitor.post("/read/x", content=body(), headers={"Content-Length": str(BODY_LIMIT + 1)})

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert response.json()["code"] == "body_too_large"
    assert response.json()["limit"] == BODY_LIMIT
    assert taken == []


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_long(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    add_route_that_reads(stand)

    response = await visitor.post("/read/x", content=chunks(b"x" * BODY_LIMIT, b"x", b"never read"))

    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("path", "kind"), [("/users", "application/json"), ("/token", "application/x-www-form-urlencoded")]
)
async def test_bodies_that_the_framework_parses_are_limited_too(
    client: httpx.AsyncClient, path: str, kind: str
) -> None:
    headers = {"Content-Type": kind, "Content-Length": str(17 * 1024 * 1024)}

    response = await client.post(path, content=chunks(b"never read"), headers=headers)

    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


async def test_chunks_that_the_framework_collects_are_limited_too(client: httpx.AsyncClient) -> None:
    content = chunks(*[b" " * 1024 * 1024] * 17)

    response = await client.post("/users", content=content, headers={"Content-Type": "application/json"})

    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


async def test_a_length_that_lies_does_not_help(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    add_route_that_reads(stand)

    response = await visitor.post(
        "/read/x", content=chunks(b"x" * 2 * BODY_LIMIT), headers={"Content-Length": "10"}
    )

    assert response.status_code == 413


async def test_a_route_may_allow_more(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    @stand.post("/upload")
    async def upload(request: Request) -> int:
        middleware.allow_body(request.scope, 3 * BODY_LIMIT)
        return sum([len(chunk) async for chunk in request.stream()])

    allowed = await visitor.post("/upload", content=b"x" * 3 * BODY_LIMIT)
    refused = await visitor.post("/upload", content=b"x" * (3 * BODY_LIMIT + 1))

    assert allowed.json() == 3 * BODY_LIMIT
    assert refused.json()["limit"] == 3 * BODY_LIMIT


async def test_over_a_real_connection_nothing_of_a_refused_body_is_asked_for(stand: FastAPI) -> None:
    add_route_that_reads(stand)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(stand, log_config=None, lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(
            b"POST /read/x HTTP/1.1\r\nHost: test\r\n"
            b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = await asyncio.wait_for(reader.read(), 5)  # to the end: the server closes the connection
        writer.close()
    finally:
        server.should_exit = True
        await serving
        listener.close()

    assert answer.startswith(b"HTTP/1.1 413")


# ----------------------------------------------------------------------------------- metrics and logs


async def test_a_request_is_measured_under_its_route_and_not_its_path(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    add_route_that_reads(stand)
    labels = {"method": "POST", "route": "/read/{name}", "status": "200"}
    before = requests_counted(**labels)

    await visitor.post("/read/one")
    await visitor.post("/read/two?page=3")

    assert requests_counted(**labels) == before + 2


async def test_a_thousand_unknown_paths_and_made_up_methods_make_one_series_each(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    add_route_that_reads(stand)
    for method, path in (("GET", "/unknown"), ("BREW", "/pot"), ("BREW", "/read/pot")):
        await visitor.request(method, path)
    series = series_of_requests()
    before = requests_counted(method="GET", route="unmatched", status="404")

    for number in range(1000):
        await visitor.get(f"/unknown/{number}")
        await visitor.request(f"BREW{number}", f"/pot/{number}")
        await visitor.request("PATCH", f"/read/{number}")

    assert series_of_requests() == series
    assert requests_counted(method="GET", route="unmatched", status="404") == before + 1000
    assert requests_counted(method="other", route="unmatched", status="404") >= 1000
    assert requests_counted(method="other", route="/read/{name}", status="405") >= 1000


async def test_a_request_is_timed_if_its_route_has_the_method(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.get("/timed")
    async def timed() -> None:
        pass

    before = requests_timed(method="GET", route="/timed")
    for method in ("GET", "HEAD", "PUT"):
        await visitor.request(method, "/timed")
    await visitor.get("/unknown")

    assert requests_timed(method="GET", route="/timed") == before + 1
    assert not [
        series
        for series in series_of_requests()
        if series[:1] != ("headrace_http_requests_total",)
        and ("HEAD" in series or "unmatched" in series or "other" in series)
    ]


async def test_a_request_that_waits_on_purpose_is_counted_and_not_timed(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.get("/wait")
    async def wait(request: Request) -> None:
        if request.query_params:
            middleware.exclude_from_timing(request.scope)

    labels = {"method": "GET", "route": "/wait"}
    counted, timed = requests_counted(**labels, status="200"), requests_timed(**labels)
    await visitor.get("/wait?wait=30")
    await visitor.get("/wait")

    assert requests_counted(**labels, status="200") == counted + 2
    assert requests_timed(**labels) == timed + 1


async def test_a_request_is_in_flight_until_its_response_is_complete(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    during: list[float] = []

    async def content() -> AsyncIterator[bytes]:
        yield b"first"
        during.append(in_flight())

    @stand.get("/flight")
    async def fly() -> StreamingResponse:
        return StreamingResponse(content())

    @stand.get("/crash")
    async def crash() -> None:
        raise RuntimeError

    before = in_flight()
    await visitor.get("/flight")
    await visitor.get("/crash")

    assert during == [before + 1]
    assert in_flight() == before


def in_flight() -> float:
    return REGISTRY.get_sample_value("headrace_http_requests_in_flight") or 0


async def test_both_mounts_of_a_route_are_one_series(client: httpx.AsyncClient) -> None:
    labels = {"method": "GET", "route": "/users/me", "status": "401"}
    before = requests_counted(**labels)

    await client.get("/users/me")
    await client.get("/api/v1/users/me")

    assert requests_counted(**labels) == before + 2


async def test_a_request_is_one_line_without_its_query(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    add_route_that_reads(stand)

    with capture_logs() as records:
        await visitor.post("/read/one?ticket=secret")

    [record] = records
    assert record["event"] == "request"
    assert record["log_level"] == "info"
    assert (record["method"], record["path"], record["status"]) == ("POST", "/read/one", 200)
    assert record["route"] == "/read/{name}"
    assert "user_id" not in record
    assert record["ms"] >= 0
    assert "secret" not in str(record)


async def test_the_line_names_the_user(client: httpx.AsyncClient, alice: Account) -> None:
    with capture_logs() as records:
        await client.get("/users/me", headers=alice.headers)
        await client.get("/jobs", headers=alice.headers)
        await client.get("/users/me")

    lines = [record.get("user_id") for record in records if record["event"] == "request"]
    assert lines == [str(alice.id), str(alice.id), None]


@pytest.mark.parametrize(
    ("path", "status", "level"),
    [
        *[(path, 200, "debug") for path in ("/health/live", "/health", "/metrics")],
        *[("/health/ready", 503, "info"), ("/healthy", 200, "info"), ("/metrics/x", 404, "info")],
    ],
)
async def test_probes_and_scrapes_that_succeed_are_debug_records(
    stand: FastAPI, visitor: httpx.AsyncClient, path: str, status: int, level: str
) -> None:
    if status != 404:

        @stand.get(path)
        async def probe() -> Response:
            return Response(status_code=status)

    with capture_logs() as records:
        await visitor.get(path)

    assert [(record["status"], record["log_level"]) for record in records] == [(status, level)]


async def test_a_stream_is_measured_to_its_start(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    steps: list[str] = []

    async def content() -> AsyncIterator[bytes]:
        yield b"first"
        steps.append("streamed")

    @stand.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(content())

    def note(logger: object, method: str, record: structlog.types.EventDict) -> structlog.types.EventDict:
        steps.append(record["event"])
        return record

    with capture_logs(processors=[note]):
        await visitor.get("/stream")

    assert steps == ["request", "streamed"]


async def test_an_answer_that_breaks_off_is_logged_and_not_completed(stand: FastAPI) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"half of it"
        raise RuntimeError("the other half is lost")

    @stand.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(content())

    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/stream", "headers": [], "query_string": b""}
    with capture_logs() as records:
        await stand({**scope, "asgi": {"spec_version": "2.4"}}, receive, send)

    assert sent[-1] == {"type": "http.response.body", "body": b"half of it", "more_body": True}
    assert [record["event"] for record in records] == ["request", "response_aborted"]


async def test_a_client_that_leaves_in_mid_body_is_no_error(stand: FastAPI) -> None:
    @stand.post("/upload")
    async def upload(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    incoming: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"some", "more_body": True},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": [], "query_string": b""}
    with capture_logs() as records:
        await stand(scope, receive, send)

    assert sent == []
    assert [(record["event"], record["status"]) for record in records] == [("request", 499)]
