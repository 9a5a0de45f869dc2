"""The documentation is served from our own files, to the readers that DOCS names, under any prefix."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.core.config import Environment, Settings
from app.docs.routes import FILES, REDOC_HEADERS, STATIC, SWAGGER_HEADERS
from app.main import Api, create_app
from tests.conftest import PASSWORD, SignUp
from tests.kinds_for_tests import PLUGIN

PAGES = ("/docs", "/redoc")
PREFIXES = ("", "/api/v1", "/ml", "/ml/api/v1")
SECRET = "a secret of more than thirty-two bytes"


@asynccontextmanager
async def client_of(**settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API without any server: the pages need none."""
    urls = {"database_url": "postgresql://unused", "redis_url": "redis://unused"}
    app = create_app(Settings(_env_file=None, **urls, **settings))  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("page", PAGES)
async def test_all_that_a_page_loads_is_ours_and_there_under_the_prefix(page: str, prefix: str) -> None:
    async with client_of(root_path="/ml") as client:
        answer = await client.get(prefix + page)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        loaded = re.findall(r'(?:href|src)="([^"]+)"', answer.text)
        assert any("bundle.js" in link or "redoc.standalone.js" in link for link in loaded)
        for link in loaded:
            assert not link.startswith(("/", "http")), link
            file = await client.get(f"{prefix}/{link}")
            assert file.status_code == 200, link
            assert file.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_has_no_inline_script_and_its_policy_allows_none(page: str) -> None:
    async with client_of() as client:
        answer = await client.get(page)

    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert re.findall(r"<script(?![^>]* src=)|\son\w+=|<style", answer.text) == []


def test_only_redoc_may_write_styles_into_its_page() -> None:
    assert "unsafe" not in SWAGGER_HEADERS["Content-Security-Policy"]
    assert REDOC_HEADERS["Content-Security-Policy"].count("unsafe") == 1
    assert "style-src 'self' 'unsafe-inline'" in REDOC_HEADERS["Content-Security-Policy"]


async def test_applications_that_share_the_routes_have_documents_of_their_own() -> None:
    async with client_of() as plain, client_of(plugins=(PLUGIN,)) as extended:
        documents = [(await client.get("/openapi.json")).json() for client in (plain, extended)]

    paths, more_paths = (set(document["paths"]) for document in documents)
    assert paths < more_paths


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_document_names_the_server_and_the_sign_in_under_the_prefix(prefix: str) -> None:
    async with client_of(root_path="/ml") as client:
        document = (await client.get(f"{prefix}/openapi.json")).json()

    expected = prefix if prefix.startswith("/ml") else f"/ml{prefix}"
    assert document["servers"] == [{"url": expected}]
    [scheme] = [found for found in document["components"]["securitySchemes"].values() if "flows" in found]
    assert scheme["flows"]["password"]["tokenUrl"] == f"{expected}/token"


async def test_without_a_prefix_the_server_is_the_root() -> None:
    async with client_of() as client:
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/"}]
        assert (await client.get("/api/v1/openapi.json")).json()["servers"] == [{"url": "/api/v1"}]


async def test_the_document_has_a_tag() -> None:
    async with client_of() as client:
        first = await client.get("/openapi.json")
        again = await client.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
        other = await client.get("/api/v1/openapi.json", headers={"If-None-Match": first.headers["etag"]})

    assert (first.status_code, again.status_code, other.status_code) == (200, 304, 200)
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"


async def test_the_document_is_built_once_however_many_ask_for_it_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[object] = []
    build = Api.openapi

    def openapi(app: Api) -> object:
        built.append(app)
        return build(app)

    monkeypatch.setattr(Api, "openapi", openapi)

    async with client_of() as client:
        answers = await asyncio.gather(*(client.get("/openapi.json") for _ in range(3)))

    assert len(built) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "settings", [{"docs": "off"}, {"environment": Environment.PRODUCTION, "secret_key": SECRET}]
)
async def test_without_documentation_nothing_of_it_is_there(settings: dict[str, str]) -> None:
    async with client_of(**settings) as client:
        for path in (*PAGES, "/openapi.json", *(f"/docs/{name}" for name in FILES)):
            assert (await client.get(path)).status_code == 404, path


async def test_production_can_open_it() -> None:
    async with client_of(environment=Environment.PRODUCTION, secret_key=SECRET, docs="open") as client:
        assert (await client.get("/openapi.json")).status_code == 200


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings.model_validate(settings.model_dump() | {"docs": "signed-in"})


async def test_signed_in_means_that_the_document_needs_a_token(
    client: httpx.AsyncClient, sign_up: SignUp
) -> None:
    refused = await client.get("/openapi.json")
    headers = await sign_up("ada")
    served = await client.get("/openapi.json", headers=headers)
    forged = await client.get("/openapi.json", headers={"Authorization": "Bearer forged"})
    pages = [await client.get(page) for page in PAGES]

    assert (refused.status_code, forged.status_code, served.status_code) == (401, 401, 200)
    assert "paths" not in refused.text
    assert served.headers["cache-control"] == "private, no-cache"
    # The pages hold nothing but a form; a browser cannot send a token with its first request.
    for page in pages:
        assert page.status_code == 200
        assert 'id="sign-in"' in page.text
    assert PASSWORD not in str(pages)
    assert "openapi" in (await client.get("/")).json()["links"]


@pytest.mark.parametrize(
    "name",
    ["routes.py", "../routes.py", "%2e%2e%2froutes.py", "swagger-head.html", "page.html", "nothing.js"],
)
async def test_nothing_else_is_served(name: str) -> None:
    async with client_of() as client:
        assert (await client.get(f"/docs/{name}")).status_code == 404


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_no_script_of_ours_turns_data_into_markup_or_reaches_outside(path: object) -> None:
    code = STATIC.joinpath(str(path)).read_text()

    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://", code)


def test_the_licences_of_the_scripts_are_served_with_them() -> None:
    assert b"Apache License" in FILES["swagger-ui.LICENSE.txt"].content
    assert b"ReDoc" in FILES["redoc.standalone.js.LICENSE.txt"].content
