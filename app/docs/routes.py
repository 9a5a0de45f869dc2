"""The OpenAPI document and the pages that show it: `/openapi.json`, `/docs` and `/redoc`.

The scripts of Swagger UI and ReDoc are files of the package `fastapi-standalone-docs`; its code is not used.
The pages load nothing from another host.
"""

import asyncio
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response

from app.auth.deps import require
from app.auth.permissions import Permission
from app.core.config import DocsAccess
from app.core.errors import NotFound
from app.http import pages
from app.http.conditional import Conditions, ConditionsDep
from app.http.links import link, prefix
from app.http.pages import PageFile

STATIC: Final = Path(__file__).parent / "static"
VENDORED: Final = (
    "swagger/swagger-ui-bundle.js",
    "swagger/swagger-ui.css",
    "swagger/LICENSE",
    "redoc/redoc.standalone.js",
    "redoc/logo-mini.svg",
    "redoc/redoc.standalone.js.LICENSE.txt",
)

SWAGGER_HEADERS: Final = pages.headers(
    {
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
    }
)
REDOC_HEADERS: Final = pages.headers(
    {
        "script-src": "'self'",
        # ReDoc writes its styles into the page, and searches in a worker that it makes from its own text.
        "style-src": "'self' 'unsafe-inline'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "worker-src": "blob:",
    }
)


def docs_router(access: DocsAccess) -> APIRouter:
    """Return the routes for a value of the setting DOCS; none if it is `off`.

    If it is `signed-in`, the pages are served to everyone and ask for a username and a password; only the
    document itself needs a bearer token.
    """
    router = APIRouter(include_in_schema=False)
    if access is DocsAccess.OFF:
        return router
    is_open = access is DocsAccess.OPEN
    headers = {"Cache-Control": "no-cache" if is_open else "private, no-cache"}
    documents: WeakKeyDictionary[FastAPI, _Document] = WeakKeyDictionary()  # applications share the routes

    async def get_document(request: Request, conditions: ConditionsDep) -> Response:
        """Serve the OpenAPI document."""
        document = documents.setdefault(request.app, _Document(headers))
        return await document.respond(request.app, conditions)

    router.add_api_route(
        "/openapi.json", get_document, dependencies=[] if is_open else [require(Permission.ACCOUNT_READ)]
    )
    router.add_api_route("/docs", get_swagger_ui)
    router.add_api_route("/docs/{name}", get_docs_file)
    router.add_api_route("/redoc", get_redoc)
    router.add_api_route("/redoc/logo-mini.svg", get_redoc_logo)
    return router


class _Document:
    """The OpenAPI document, encoded once for each prefix that requests have."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._files: dict[str, PageFile] = {}
        self._turn = asyncio.Lock()

    async def respond(self, app: FastAPI, conditions: Conditions) -> Response:
        """Respond with the document under the prefix of the current request, or with 304."""
        async with self._turn:  # FastAPI's document is not safe to build twice at once
            if prefix() not in self._files:
                # Takes half a second; other requests are served meanwhile.
                self._files[prefix()] = await asyncio.to_thread(self._encode, app)
        return await self._files[prefix()].respond(conditions)

    def _encode(self, app: FastAPI) -> PageFile:
        content = msgspec.json.encode(located(app.openapi()))
        return PageFile.of(content, "application/json", self._headers)


async def get_swagger_ui(conditions: ConditionsDep) -> Response:
    """Serve the page of Swagger UI."""
    return await SWAGGER_UI.respond(conditions)


async def get_redoc(conditions: ConditionsDep) -> Response:
    """Serve the page of ReDoc."""
    return await REDOC.respond(conditions)


async def get_redoc_logo(conditions: ConditionsDep) -> Response:
    """Serve the logo that ReDoc loads from below its page."""
    return await FILES["logo-mini.svg"].respond(conditions)


async def get_docs_file(name: str, conditions: ConditionsDep) -> Response:
    """Serve a script or a style sheet of the pages. Raises NotFound."""
    if name not in FILES:
        raise NotFound
    return await FILES[name].respond(conditions)


def located(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose server and sign-in URLs are under the prefix of the current request."""
    components: dict[str, Any] = document.get("components", {})
    schemes = components.get("securitySchemes", {})
    return {
        **document,
        "servers": [{"url": prefix() or "/"}],
        "components": {
            **components,
            "securitySchemes": {name: _located_scheme(scheme) for name, scheme in schemes.items()},
        },
    }


def _located_scheme(scheme: dict[str, Any]) -> dict[str, Any]:
    if "flows" not in scheme:
        return scheme
    # Tools disagree about the base of a relative URL: the document, the server or the page.
    flows = {
        name: {
            member: link(f"/{value}") if member.endswith("Url") else value for member, value in flow.items()
        }
        for name, flow in scheme["flows"].items()
    }
    return {**scheme, "flows": flows}


def _page(head: str, headers: Mapping[str, str]) -> PageFile:
    """Put the scripts and style sheets of a viewer into the head of the page that both viewers have."""
    page = Template((STATIC / "page.html").read_text())
    content = page.substitute(head=(STATIC / head).read_text().rstrip())
    return PageFile.of(content.encode(), pages.MEDIA_TYPES[".html"], headers)


def _load() -> dict[str, PageFile]:
    """Read the files that the pages load, by the names under which they are served."""
    vendored = files("fastapi_standalone_docs") / "static"
    own = [path for path in STATIC.iterdir() if path.suffix != ".html"]
    found = {path.name: PageFile.read(path, SWAGGER_HEADERS) for path in own}
    for name in VENDORED:
        path = vendored / name
        served_as = "swagger-ui.LICENSE.txt" if path.name == "LICENSE" else path.name
        found[served_as] = PageFile.read(path, SWAGGER_HEADERS)
    return found


SWAGGER_UI: Final = _page("swagger-head.html", SWAGGER_HEADERS)
REDOC: Final = _page("redoc-head.html", REDOC_HEADERS)

# Read once at import: no name from a request ever reaches the file system.
FILES: Final = _load()
