"""Pages of other sites call the API only from the origins in ALLOWED_ORIGINS, on every route."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.core.config import Settings, load_settings
from app.core.errors import ConfigurationError
from app.http.cors import EXPOSED_HEADERS
from app.main import create_app

ALLOWED = "https://dashboard.example.org"
STRANGERS = (
    "https://elsewhere.example.org",
    "null",
    "http://dashboard.example.org",
    "https://dashboard.example.org:8443",
    "https://dashboard.example.org.evil.example",
    "https://DASHBOARD.example.org",
    "*",
    "",
)
PREFIXES = ("", "/api/v1", "/ml", "/ml/api/v1")
PREFLIGHT = {"Access-Control-Request-Headers": "authorization, idempotency-key"}


@pytest.fixture
def cross_origin_app(settings: Settings) -> FastAPI:
    return create_app(settings.model_copy(update={"allowed_origins": (ALLOWED,), "root_path": "/ml"}))


@pytest.fixture
async def cross_origin(cross_origin_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        cross_origin_app.router.lifespan_context(cross_origin_app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(cross_origin_app, raise_app_exceptions=False), base_url="http://api"
        ) as client,
    ):
        yield client


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """The method and a path of every route, with ids that nothing has."""
    for route in app.router.routes:
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                yield method, route.path.replace("{", "").replace("}", "")


def cors_headers(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


def listed(answer: httpx.Response, name: str) -> set[str]:
    return {part.strip() for part in answer.headers[name].split(",")}


async def test_a_page_of_an_allowed_origin_may_ask_and_read_on_every_route(
    cross_origin: httpx.AsyncClient, cross_origin_app: FastAPI
) -> None:
    for method, path in operations(cross_origin_app):
        for prefix in PREFIXES:
            preflight = await cross_origin.options(
                prefix + path,
                headers={"Origin": ALLOWED, "Access-Control-Request-Method": method, **PREFLIGHT},
            )
            assert (preflight.status_code, preflight.content) == (204, b""), path
            assert preflight.headers["access-control-allow-origin"] == ALLOWED
            assert method in listed(preflight, "access-control-allow-methods"), path
            assert listed(preflight, "access-control-allow-methods") == listed(preflight, "allow")
            assert listed(preflight, "access-control-allow-headers") == {"authorization", "idempotency-key"}
            assert "access-control-allow-credentials" not in preflight.headers
        answer = await cross_origin.request(method, path, headers={"Origin": ALLOWED})
        assert answer.headers["access-control-allow-origin"] == ALLOWED, path  # also to read an error
        assert answer.headers["access-control-expose-headers"] == EXPOSED_HEADERS
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in listed(answer, "vary")


async def test_another_origin_gets_no_cors_header_on_any_route(
    cross_origin: httpx.AsyncClient, cross_origin_app: FastAPI
) -> None:
    for method, path in operations(cross_origin_app):
        for origin in STRANGERS:
            headers = {"Origin": origin, "Access-Control-Request-Method": method, **PREFLIGHT}
            preflight = await cross_origin.options(path, headers=headers)
            answer = await cross_origin.request(method, path, headers={"Origin": origin})
            assert cors_headers(preflight) | cors_headers(answer) == set(), (path, origin)
            # Or a cache would give this response to a page that may read it.
            assert "Origin" in listed(preflight, "vary") & listed(answer, "vary"), path


async def test_by_default_no_other_origin_may(client: httpx.AsyncClient) -> None:
    preflight = {"Origin": ALLOWED, "Access-Control-Request-Method": "POST", **PREFLIGHT}

    assert cors_headers(await client.get("/", headers={"Origin": ALLOWED})) == set()
    assert cors_headers(await client.options("/jobs/batch-predict", headers=preflight)) == set()


def test_scripts_can_read_what_they_need() -> None:
    needed = {"ETag", "Location", "Link", "Retry-After", "X-Request-ID", "RateLimit", "RateLimit-Policy"}

    assert needed <= {name.strip() for name in EXPOSED_HEADERS.split(",")}


async def test_a_preflight_request_cannot_smuggle_a_header(cross_origin: httpx.AsyncClient) -> None:
    for wanted in (b"a b", b"x\ty:z", "café".encode(), b""):
        headers = {
            b"Origin": ALLOWED.encode(),
            b"Access-Control-Request-Method": b"GET",
            b"Access-Control-Request-Headers": wanted,
        }
        answer = await cross_origin.options("/jobs", headers=headers)
        assert answer.status_code == 204
        assert "access-control-allow-headers" not in answer.headers, wanted


async def test_options_without_a_preflight_is_answered_as_usual(cross_origin: httpx.AsyncClient) -> None:
    answer = await cross_origin.options("/jobs", headers={"Origin": ALLOWED})

    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "access-control-allow-methods" not in answer.headers


async def test_an_unknown_path_is_readable_as_such(cross_origin: httpx.AsyncClient) -> None:
    answer = await cross_origin.get("/nowhere", headers={"Origin": ALLOWED})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, ALLOWED)


@pytest.mark.parametrize(
    "origins", ["*", "null", "https://a.example/", "https://a.example/path", "a.example", "https://*.example"]
)
def test_a_wildcard_or_what_is_no_origin_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(ConfigurationError, match="ALLOWED_ORIGINS"):
        load_settings(
            _env_file=None,
            database_url="postgresql://unused",
            redis_url="redis://unused",
            allowed_origins=origins,
        )
