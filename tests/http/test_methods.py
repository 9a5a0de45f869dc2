"""HEAD, OPTIONS and `Allow`: over every path of the OpenAPI document, on a real server."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from app.auth.permissions import Permission
from app.auth.roles import Role
from app.core.config import Settings
from app.dashboard import assets
from app.http.methods import MethodsMiddleware
from app.main import create_app
from tests.jobs.test_profiles import profiled
from tests.notifications import subscribing
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of
from tests.support.serving import client_of, serving
from tests.support.waiting import TIMEOUT_SECONDS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CHANGES_EACH_TIME = {"date", "x-request-id", "ratelimit"}


UNSTARTED = create_app(
    Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused")
)
DOCUMENTED = UNSTARTED.openapi()["paths"]


def _paths() -> dict[str, set[str]]:
    """The methods of each path, as HTTP has them: those of the OpenAPI document, and the pages."""
    found = {path: {"OPTIONS"} for path in DOCUMENTED}
    for route in UNSTARTED.router.routes:
        if isinstance(route, APIRoute):
            found.setdefault(route.path_format, {"OPTIONS"}).update(route.methods or ())
    for methods in found.values():
        if "GET" in methods:
            methods.add("HEAD")
    return found


def _needs_admin(path: str) -> bool:
    security = DOCUMENTED.get(path, {}).get("get", {}).get("security", [])
    roles = {str(Permission.ADMIN), str(Permission.OPERATE)}
    return any(not roles.isdisjoint(scopes) for scheme in security for scopes in scheme.values())


PATHS = _paths()
VERSION = "/models/{name}/versions/{number}/"
ASSET = "/dashboard/assets/{digest}/{name}"
PAGE_FILES = {ASSET: "main.js", "/docs/{name}": "swagger.js"}
PAGES = {*PAGE_FILES, "/dashboard/{path}"}
QUERIES = {"/search": "?q=churn"}
"""What a path needs beside its names."""

READABLE = [path for path, methods in PATHS.items() if "GET" in methods]
ADMINISTRATIVE = {path for path in READABLE if _needs_admin(path)}


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(app) as url, client_of(url) as client:
        yield client


@pytest.fixture
async def alice(app: FastAPI) -> Account:
    return await sign_in(app, "alice")


@pytest.fixture
async def ids(app: FastAPI, served: httpx.AsyncClient, alice: Account) -> dict[str, object]:
    """Something real for each name in a path."""
    resources = state_of(app).resources
    job_id = await profiled(resources.database, resources.storage, alice.id)
    dataset = await served.post(
        "/datasets?name=a", content=b"a,b\n1,2\n", headers={**alice.headers, "Content-Type": "text/csv"}
    )
    assert dataset.status_code == 201, dataset.text
    bulk = {"jobs": [{"kind": "batch_predict", "texts": ["good"]}]}
    group = await served.post("/jobs/bulk", json=bulk, headers=alice.headers)
    assert group.status_code == 202, group.text
    schedule = {
        "name": "nightly",
        "group": "reports",
        "trigger": {"daily": {"at": "02:30"}},
        "job": {"kind": "batch_predict", "texts": ["good"]},
    }
    scheduled = await served.post("/schedules", json=schedule, headers=alice.headers)
    assert scheduled.status_code == 201, scheduled.text
    subscription = await subscribing.subscribe(resources.database, alice.id)
    return {
        "subscription_id": subscription,
        "delivery_id": await subscribing.ping(resources.database, subscription),
        "schedule": scheduled.json()["schedule_id"],
        "group": "reports",
        "job_id": job_id,
        "dataset_id": dataset.json()["dataset_id"],
        "group_id": group.json()["group_id"],
        "name": "sentiment",
        "number": 1,
        "plot": "importance",
        "alias": "best",
        "user_id": alice.id,
        "digest": assets.load().digest,
        "path": "jobs",
    }


def address(path: str, ids: dict[str, object]) -> str:
    """Fill in the names of a path; a name without something real gets an id that nothing has."""
    real = ids | {"name": PAGE_FILES.get(path, ids["name"])}
    return path.format_map(defaultdict(uuid4, real)) + QUERIES.get(path, "")


async def head_and_get(
    served: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> tuple[httpx.Response, httpx.Response]:
    head = await served.head(path, headers=headers)
    async with served.stream("GET", path, headers=headers) as get:
        pass  # a stream of events has no end
    return head, get


def stable(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in CHANGES_EACH_TIME}


async def test_head_is_get_without_the_body(
    app: FastAPI, served: httpx.AsyncClient, alice: Account, ids: dict[str, object]
) -> None:
    admin = await sign_in(app, "root", Role.ADMIN)
    for path in READABLE:
        reader = admin if path in ADMINISTRATIVE else alice
        head, get = await head_and_get(served, address(path, ids), reader.headers)

        assert head.status_code == get.status_code, path
        # The built-in model has neither a file nor a report, and the pages of links need a token.
        is_missing = path.startswith(VERSION) and head.status_code == 404
        assert head.status_code < 400 or is_missing or path.startswith("/email/"), path
        assert head.content == b"", path
        names = stable(get) | stable(head)
        different = {name for name in names if stable(get).get(name) != stable(head).get(name)}
        # What moves on between two requests: an estimate, the metrics, how often an account was used.
        assert different <= {"transfer-encoding", "content-length", "etag"}, path
        if "content-length" in get.headers:
            assert "content-length" in head.headers, path


async def test_head_is_refused_as_get_is(served: httpx.AsyncClient, ids: dict[str, object]) -> None:
    for path in (path for path in READABLE if "{" in path and path not in PAGES):
        head, get = await head_and_get(served, address(path, ids), {})

        assert head.status_code == get.status_code == 401, path
        assert head.headers["www-authenticate"] == "Bearer"
        assert head.content == b""


async def test_head_of_a_stream_that_never_ends_is_over_at_once(
    client: httpx.AsyncClient, app: FastAPI, alice: Account
) -> None:
    """Over this transport an answer is there when the route is done."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        answer = await client.head("/jobs/stream", headers=alice.headers)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert state_of(app).admission.is_empty


async def test_head_does_not_read_what_it_will_not_send() -> None:
    read = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b"block"

    application = FastAPI()
    application.add_middleware(MethodsMiddleware)

    @application.get("/file")
    async def file() -> Response:
        return StreamingResponse(blocks(), headers={"Content-Length": "5000"})

    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.head("/file")

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "5000", b"")
    assert read == 1


async def test_head_says_how_large_a_file_is_and_ignores_ranges(
    served: httpx.AsyncClient, alice: Account, ids: dict[str, object]
) -> None:
    path = f"/datasets/{ids['dataset_id']}/content"

    whole = await served.head(path, headers=alice.headers)
    part = await served.head(path, headers={**alice.headers, "Range": "bytes=2-3"})

    assert (whole.status_code, whole.headers["content-length"]) == (200, "8")
    assert (part.status_code, part.headers["content-length"]) == (200, "8")  # RFC 9110, 14.2


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(
    served: httpx.AsyncClient, alice: Account, ids: dict[str, object], prefix: str
) -> None:
    for path, has in PATHS.items():
        allow = ", ".join(method for method in METHODS if method in has)
        for method in ("TRACE", "MADE-UP", *(method for method in METHODS if method not in has)):
            answer = await served.request(method, prefix + address(path, ids), headers=alice.headers)
            assert (answer.status_code, answer.headers.get("allow")) == (405, allow), (method, path)
            if method != "HEAD":
                assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_options_names_the_methods_to_anybody(
    served: httpx.AsyncClient, ids: dict[str, object], prefix: str
) -> None:
    for path, has in PATHS.items():
        answer = await served.options(prefix + address(path, ids))

        assert (answer.status_code, answer.content) == (204, b""), path
        assert answer.headers["allow"] == ", ".join(method for method in METHODS if method in has)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_what_is_not_there_has_no_methods(served: httpx.AsyncClient) -> None:
    for method in METHODS:
        answer = await served.request(method, "/no/such/path")
        assert (answer.status_code, answer.headers.get("allow")) == (404, None), method


async def test_head_is_logged_and_counted_as_head(served: httpx.AsyncClient) -> None:
    await served.head("/api/v1/health/live")
    counted = await served.get("/metrics")

    assert _count(counted.text, method="HEAD", route="/health/live") >= 1


def _count(page: str, **labels: str) -> float:
    wanted: list[Any] = [f'{name}="{value}"' for name, value in labels.items()]
    lines = [
        line
        for line in page.splitlines()
        if line.startswith("headrace_http_requests_total{") and all(label in line for label in wanted)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
