"""Headers that tell a browser how to treat a response: on every response, and stricter than none."""

from collections import defaultdict
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp

from app.core.config import Settings
from app.core.errors import MalformedRequest
from app.http import problems
from app.http.protocol import _encode
from app.http.security_headers import CONTENT_SECURITY_POLICY, SecurityHeadersMiddleware
from app.main import create_app
from tests.support.accounts import sign_in

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
HSTS = "strict-transport-security"


def client_of(app: ASGIApp, *, peer: str = "192.0.2.1", url: str = "http://test") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1))
    return httpx.AsyncClient(transport=transport, base_url=url)


def unstarted(**settings: Any) -> FastAPI:
    return create_app(
        Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused", **settings)
    )


def assert_protected(answer: httpx.Response) -> None:
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE, answer.url
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], answer.url
    assert "default-src 'none'" in answer.headers["content-security-policy"], answer.url
    assert answer.headers["cache-control"] in ("no-store", "no-cache", "private, no-cache"), answer.url
    for name in (*EVERYWHERE, "content-security-policy", "cache-control"):
        assert len(answer.headers.get_list(name)) == 1, (answer.url, name)


async def test_every_response_has_them_also_errors(app: FastAPI) -> None:
    async with client_of(app) as client:
        for path, operations in app.openapi()["paths"].items():
            for method in (*operations, "head", "options", "trace"):
                answer = await client.request(method, path.format_map(defaultdict(lambda: "1")))
                assert_protected(answer)
        for path in ("/nowhere", "/docs", "/redoc", "/openapi.json", "/dashboard/", "/scheduler/"):
            assert_protected(await client.get(path))


async def test_an_answer_to_a_user_is_not_stored(app: FastAPI, client: httpx.AsyncClient) -> None:
    headers = (await sign_in(app, "alice")).headers
    listed = await client.get("/jobs", headers=headers)
    csv = {**headers, "Content-Type": "text/csv"}
    dataset = await client.post("/datasets?name=a", content=b"a\n1\n", headers=csv)
    content = await client.get(f"{dataset.json()['links']['content']}", headers=headers)
    again = await client.get(
        f"{dataset.json()['links']['content']}", headers={**headers, "If-None-Match": content.headers["etag"]}
    )

    assert listed.headers["cache-control"] == dataset.headers["cache-control"] == "no-store"
    # The browser may keep it, no proxy may, and each use asks whether it has changed.
    assert content.headers["cache-control"] == "private, no-cache"
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")


async def test_a_file_of_a_user_runs_nothing_on_our_origin(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert (await client.get("/jobs")).headers["content-security-policy"] == CONTENT_SECURITY_POLICY.decode()
    assert CONTENT_SECURITY_POLICY.endswith(b"sandbox")


async def test_a_route_that_sets_its_own_header_keeps_it() -> None:
    async def page(scope: object, receive: object, send: object) -> None:
        headers = {"Content-Security-Policy": "script-src 'self'", "Cache-Control": "max-age=60"}
        await Response(headers=headers)(scope, receive, send)  # type: ignore[arg-type]

    async with client_of(SecurityHeadersMiddleware(page)) as client:
        answer = await client.get("/")

    assert answer.headers.get_list("content-security-policy") == ["script-src 'self'"]
    assert answer.headers.get_list("cache-control") == ["max-age=60"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("peer", "forwarded", "is_https"),
    [
        ("192.0.2.1", None, False),
        ("192.0.2.1", "https", False),  # forged by a client
        ("10.0.0.1", "https", True),
        ("10.0.0.1", "http", False),
        ("10.0.0.1", "https, http", False),  # the last one is the proxy's own
        ("10.0.0.1", "http, HTTPS", True),
        ("10.0.0.1", None, False),
    ],
)
async def test_hsts_is_sent_over_https_only_as_a_trusted_proxy_says(
    peer: str, forwarded: str | None, is_https: bool
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-Proto": forwarded}
    async with client_of(unstarted(trusted_proxies="10.0.0.0/8"), peer=peer) as client:
        answer = await client.get("/dashboard/", headers=headers)

    assert answer.headers.get(HSTS) == ("max-age=31536000" if is_https else None)


async def test_hsts_follows_its_settings() -> None:
    async with client_of(unstarted(assume_https=True, hsts_seconds=60)) as client:
        assert (await client.get("/dashboard/")).headers[HSTS] == "max-age=60"
    async with client_of(unstarted(assume_https=True, hsts_seconds=0)) as client:
        assert HSTS not in (await client.get("/dashboard/")).headers
    async with client_of(unstarted(), url="https://test") as client:
        assert HSTS in (await client.get("/dashboard/")).headers


def test_a_refusal_of_the_server_itself_has_them_too() -> None:
    refusal = problems.error_response({"type": "http", "path": ""}, MalformedRequest())

    head = _encode(refusal).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")

    for name, value in EVERYWHERE.items():
        assert f"{name}: {value}".encode() in head
    assert b"cache-control: no-store" in head
