"""A route that is called without FastAPI responds to every request exactly as FastAPI would."""

import gzip
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute

from app.auth.permissions import Scope
from app.core.config import Settings
from app.core.database import Database
from app.http.direct import DirectRoute
from app.http.routing import SMALL_BODY_BYTES, BoundedRoute
from app.http.shortcuts import Shortcut
from app.http.state import set_state
from app.main import create_app
from tests.support import api_keys, jobs
from tests.support.accounts import Account
from tests.support.app_state import state_of

CREATE = "/jobs/batch-predict"
JSON = {"content-type": "application/json"}
CHANGES_EACH_TIME = {"date", "ratelimit"}
NEW = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z")
"""An id or a time."""


@dataclass(frozen=True)
class Case:
    """A request; `{own}`, `{others}` and `{missing}` in its path are ids of jobs."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_chunked: bool = False

    def __str__(self) -> str:
        start = (self.content or b"")[:40].decode("latin-1")
        return f"{self.method} {self.path} {dict(self.headers)} {start}"


def post(content: bytes | object, query: str = "", *, is_chunked: bool = False, **headers: str) -> Case:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    sent = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Case("POST", CREATE + query, body, sent, is_chunked)


def get(path: str, **headers: str) -> Case:
    return Case("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


TEXTS = {"texts": ["lovely", "awful"]}
EVERYTHING = {
    **TEXTS,
    "model": "sentiment@1",
    "batch_size": 3,
    "priority": "high",
    "queue": "reports",
    "max_attempts": 7,
    "soft_limit_seconds": 20,
    "time_limit_seconds": 30,
    "metadata": {"émoji": "✓"},
    "delay_seconds": 3,
    "expires_in_seconds": 3600,
    "profile": True,
    "resources": {"gpus": 1},
    "max_row_errors": 1,
}

POSTS = [
    # Valid
    post(TEXTS),
    post(["lovely", "awful"]),
    post(EVERYTHING),
    post({"instances": [{"text": "fine"}]}),
    post(TEXTS, "?dry_run=true"),
    post(TEXTS, "?dry_run=0&dry_run=1&more=1"),
    post(b'{"texts": ["a"], "texts": ["b", "c"]}'),
    post(b" \n" + json.dumps(TEXTS).encode() + b"\n"),
    post({"texts": ["a" * 100] * 1000}),
    post({"texts": ["a" * SMALL_BODY_BYTES]}),
    post(TEXTS, is_chunked=True),
    post(gzip.compress(json.dumps(TEXTS).encode()), content_encoding="gzip"),
    post(json.dumps(TEXTS).encode("utf-16")),
    post(b"\xef\xbb\xbf" + json.dumps(TEXTS).encode()),
    # Of other media types
    post(TEXTS, content_type="application/json; charset=utf-8"),
    post(TEXTS, content_type="Application/JSON"),
    post(TEXTS, content_type="application/vnd.headrace+json"),
    post(TEXTS, content_type="text/plain"),
    post(TEXTS, content_type=""),
    # Not JSON, or not what the route takes
    Case("POST", CREATE),
    Case("POST", CREATE, headers=JSON),
    post(b"{"),
    post(b""),
    post(b'{"texts": ["a",]}'),
    post(b'{"texts": ["\xff"]}'),
    post(b'{"texts": ["\\ud800"]}'),
    post(b'{"texts": ["a\\u0000"]}'),
    post(b'{"delay_seconds": NaN, "texts": ["a"]}'),
    post(b'{"delay_seconds": 1e999, "texts": ["a"]}'),
    post(b'{"batch_size": 1' + b"0" * 5000 + b', "texts": ["a"]}'),
    post(b"[" * 2000 + b"]" * 2000),
    post(b"null"),
    post(b'"texts"'),
    post({}),
    post([]),
    post({"texts": "lovely"}),
    post({**TEXTS, "instances": [{}]}),
    post({**TEXTS, "unknown": 1}),
    post({**TEXTS, **{f"unknown-{number}": 1 for number in range(100)}}),
    post({**TEXTS, "priority": "urgent", "batch_size": -1, "metadata": {"a": 1}}),
    post({**TEXTS, "run_at": "2030-01-01T00:00:00Z", "delay_seconds": 1}),
    post({"texts": ["a"] * 1001}),
    post({"texts": ["a"], "model": "nothing"}),
    post({"texts": ["a" * 100_001]}),
    post({"texts": ["a"], "time_limit_seconds": 86_400}),
    post({"texts": ["a"], "shards": 3}),
    post({"texts": ["a"], "shards": "many"}),
    post({"dataset_id": str(UUID(int=1))}),
    post({**TEXTS, "resubmitted_from": str(UUID(int=1))}),
    # Of the query and the headers
    post(TEXTS, "?dry_run=perhaps"),
    post(b"{", "?dry_run=perhaps"),
    post(TEXTS, Idempotency_Key="with spaces"),
    post(TEXTS, Idempotency_Key=""),
    post(TEXTS, Idempotency_Key="a" * 256),
    post({"texts": 1}, "?dry_run=perhaps", Idempotency_Key=""),
    post(TEXTS, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"),
    Case("PUT", CREATE, b"{}", JSON),
]
GETS = [
    *(get(f"/jobs/{of}") for of in ("{own}", "{others}", "{missing}")),
    get("/api/v1/jobs/{own}"),
    *(get(f"/jobs/{path}") for path in ("counts", "none", "{own}x", "{own}/", "{own}%00", "bulk")),
    *(get("/jobs/{own}?" + query) for query in ("wait=0", "wait=0.01", "wait=-1", "wait=60.1", "wait=x")),
    *(get("/jobs/{own}?" + query) for query in ("wait=", "wait=0&wait=x", "unknown=1", "include=attempts")),
    *(get("/jobs/{own}?" + query) for query in ("include=attempts&include=attempts", "include=x", "include")),
    get("/jobs/{others}?wait=0.01"),
    *(get("/jobs/{own}", If_None_Match=tag) for tag in ('W/"1"', '"9", W/"1"', 'W/"9"', "*", "")),
    *(Case(method, "/jobs/{own}") for method in ("HEAD", "OPTIONS", "POST", "PUT", "PATCH")),
    get("/jobs/{own}", Origin="https://evil.example", Accept="text/html"),
]


def as_fastapi_would(route: BaseRoute) -> BaseRoute:
    """The same route without the direct call."""
    if not isinstance(route, DirectRoute):
        return route
    return BoundedRoute(
        route.path,
        route.endpoint,
        methods=sorted(route.methods or ()),
        dependencies=route.dependencies,
        status_code=route.status_code,
    )


@pytest.fixture
async def ordinary(app: FastAPI, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with the state of the started one, in which FastAPI serves all routes."""
    other = create_app(settings)
    set_state(other, state_of(app))
    routes = [route for route in other.router.routes if not isinstance(route, Shortcut)]
    other.router.routes[:] = map(as_fastapi_would, routes)
    transport = httpx.ASGITransport(other, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@dataclass(frozen=True)
class Both:
    """Sends the same request to both applications."""

    direct: httpx.AsyncClient
    ordinary: httpx.AsyncClient
    job_ids: Mapping[str, UUID]

    async def compare(self, case: Case, headers: Mapping[str, str]) -> httpx.Response:
        """Return the response, which must be the same, apart from ids and times of new jobs."""
        direct = await self._send(self.direct, case, headers)
        ordinary = await self._send(self.ordinary, case, headers)
        assert _described(direct) == _described(ordinary), str(case)
        return direct

    async def _send(
        self, client: httpx.AsyncClient, case: Case, headers: Mapping[str, str]
    ) -> httpx.Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield case.content or b""

        return await client.request(
            case.method,
            case.path.format_map(self.job_ids),
            content=chunks() if case.is_chunked else case.content,
            headers={"X-Request-ID": "the-same", **headers, **case.headers},
        )


def _described(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], str]:
    headers = sorted(
        (name, NEW.sub("…", value))
        for name, value in answer.headers.multi_items()
        if name not in CHANGES_EACH_TIME
    )
    is_new = answer.request.method == "POST" and answer.is_success
    return answer.status_code, headers, NEW.sub("…", answer.text) if is_new else answer.text


@pytest.fixture
async def both(
    client: httpx.AsyncClient, ordinary: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> Both:
    own = await jobs.create(store, alice.id, rows=3)
    others = await jobs.create(store, mallory.id)
    return Both(client, ordinary, {"own": own, "others": others, "missing": uuid4()})


@pytest.mark.parametrize("cases", [POSTS, GETS], ids=["create", "read"])
async def test_every_request_gets_the_response_of_fastapi(
    both: Both, alice: Account, cases: Sequence[Case]
) -> None:
    statuses = Counter([(await both.compare(case, alice.headers)).status_code for case in cases])

    assert not {status for status in statuses if status >= 500}
    assert len(statuses) >= 5


async def test_an_ended_job_is_shown_with_its_results(
    both: Both, alice: Account, mallory: Account, store: Database
) -> None:
    ended = await jobs.claim(store)
    await jobs.complete(store, ended)
    assert ended.id == both.job_ids["own"]

    shown = await both.compare(get("/jobs/{own}?include=attempts"), alice.headers)
    waited = await both.compare(get("/jobs/{own}?wait=60"), alice.headers)
    refused = await both.compare(get("/jobs/{own}?wait=60"), mallory.headers)

    assert len(shown.json()["result"]["predictions"]) == 3
    assert (waited.json()["status"], refused.status_code) == ("completed", 403)


@pytest.mark.parametrize(
    "case",
    [post(TEXTS), post(b"{"), post(TEXTS, is_chunked=True), get("/jobs/{own}"), get("/jobs/none")],
    ids=["create", "malformed", "chunked", "read", "no id"],
)
async def test_every_caller_gets_the_response_of_fastapi(
    both: Both, alice: Account, mallory: Account, store: Database, case: Case
) -> None:
    reader = await api_keys.create(store, alice.id, Scope.JOBS_READ)
    writer = await api_keys.create(store, alice.id, Scope.JOBS_WRITE)
    expired = await api_keys.create(store, alice.id, Scope.JOBS_READ, Scope.JOBS_WRITE, expires_in=-1)
    callers: list[tuple[Mapping[str, str], tuple[int, ...]]] = [
        ({}, (401,)),
        ({"Authorization": "Bearer forged"}, (401,)),
        ({"Authorization": "Basic YTpi"}, (401,)),
        ({"Authorization": alice.headers["Authorization"].replace("Bearer", "bEaReR")}, (200, 202, 400, 422)),
        (expired.headers, (401,)),
        (reader.headers, (403,) if case.method == "POST" else (200, 422)),
        (writer.headers, (403,) if case.method == "GET" else (202, 400)),
        (mallory.headers, (403, 422) if case.method == "GET" else (202, 400)),
    ]

    for headers, expected in callers:
        answer = await both.compare(case, headers)
        assert answer.status_code in expected, headers


async def test_a_bad_token_is_refused_before_a_small_body_is_read(client: httpx.AsyncClient) -> None:
    taken: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        taken.append(b"{")
        yield b"{"

    headers = {**JSON, "Content-Length": "1", "Authorization": "Bearer forged"}
    answer = await client.post(CREATE, content=body(), headers=headers)

    assert (answer.status_code, taken) == (401, [])


async def test_a_repeated_key_replays_the_response(both: Both, alice: Account) -> None:
    key = {"Idempotency-Key": "one"}
    first = await both.direct.post(CREATE, json=TEXTS, headers={**alice.headers, **key})
    again = await both.compare(post(TEXTS, Idempotency_Key="one"), alice.headers)
    another = await both.compare(post(["b"], Idempotency_Key="one"), alice.headers)

    assert (first.status_code, again.status_code, another.status_code) == (202, 200, 422)
    assert again.json()["job_id"] == first.json()["job_id"]


async def test_a_process_that_stops_refuses_new_jobs(both: Both, app: FastAPI, alice: Account) -> None:
    state_of(app).hub.close()

    created = await both.compare(post(TEXTS), alice.headers)
    invalid = await both.compare(post({}), alice.headers)
    read = await both.compare(get("/jobs/{own}?wait=60"), alice.headers)

    assert (created.status_code, invalid.status_code, read.status_code) == (503, 503, 200)


# What is called directly


class Body(BaseModel):
    size: int


async def is_called_by_fastapi(request: Request) -> bool:
    """FastAPI keeps what it has opened for a request in the scope."""
    return "fastapi_inner_astack" in request.scope


async def probe(
    by_fastapi: Annotated[bool, Depends(is_called_by_fastapi)],
    body: Body,
    size: Annotated[int, Query(ge=0)] = 1,
) -> Response:
    return Response(f"{by_fastapi} {size} {body.size}")


BODY = b'{"size": 3}'


async def chunks() -> AsyncIterator[bytes]:
    yield BODY


@pytest.mark.parametrize(
    ("query", "content", "media_type", "response"),
    [
        ("", BODY, "application/json", "False 1 3"),
        ("?size=2", BODY, "application/json", "False 2 3"),
        ("", BODY, "application/a+json", "True 1 3"),
        ("", chunks, "application/json", "True 1 3"),
        ("?size=-1", BODY, "application/json", None),
        ("", b"{}", "application/json", None),
    ],
)
async def test_only_unusual_and_invalid_requests_are_left_to_fastapi(
    stand: FastAPI,
    visitor: httpx.AsyncClient,
    query: str,
    content: Any,
    media_type: str,
    response: str | None,
) -> None:
    router = APIRouter(route_class=DirectRoute)
    router.add_api_route("/probe", probe, methods=["POST"])
    stand.router.routes.extend(router.routes)

    sent = content() if callable(content) else content
    answer = await visitor.post("/probe" + query, content=sent, headers={"content-type": media_type})

    assert (answer.status_code, answer.text) == (200, response) if response else answer.status_code == 422


async def with_session(request: Request) -> AsyncIterator[int]:
    yield 1


async def with_parameter(request: Request, size: int) -> int:
    return size


def in_a_thread(request: Request) -> int:
    return 1


def endpoint_with(dependency: Callable[..., Any]) -> Callable[..., Awaitable[Response]]:
    async def endpoint(found: Annotated[int, Depends(dependency)]) -> Response:
        return Response(f"{found}")

    return endpoint


async def returns_a_model() -> Body:
    return Body(size=1)


async def shares_a_list(sizes: Annotated[list[int], Query()] = []) -> Response:  # noqa: B006
    return Response(f"{sizes}")


@pytest.mark.parametrize(
    "endpoint",
    [
        endpoint_with(with_session),
        endpoint_with(with_parameter),
        endpoint_with(in_a_thread),
        returns_a_model,
        shares_a_list,
    ],
)
def test_an_endpoint_that_needs_fastapi_cannot_have_a_direct_route(endpoint: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        DirectRoute("/probe", endpoint)


def test_the_most_frequent_requests_have_direct_routes(app: FastAPI) -> None:
    direct = {
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, DirectRoute)
        for method in route.methods or ()
    }

    assert {"POST /jobs/batch-predict", "POST /jobs/train-model", "GET /jobs/{job_id}"} <= direct
    assert all(isinstance(route, APIRoute) for route in app.routes if isinstance(route, DirectRoute))
