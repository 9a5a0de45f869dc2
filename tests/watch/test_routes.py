"""The page's files, as any client gets them."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.http.pages import MEDIA_TYPES
from app.main import create_app
from app.watch.routes import FILES, HEADERS, PAGE, STATIC

SCHEMES = {"light": 0, "dark": 1}
# What is written in which colour on which ground.
WRITTEN = (
    ("text", "card"),
    ("text", "field"),
    ("fine", "card"),
    ("fine", "ground"),
    ("fine", "calm-ground"),
    ("accent", "card"),
    ("accent", "calm-ground"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("good", "good-ground"),
    ("bad", "bad-ground"),
    ("bad", "card"),
    ("calm", "calm-ground"),
    ("busy", "busy-ground"),
)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The API without any server: the page needs none."""
    return create_app(
        Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused")
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def address(name: str) -> str:
    return "/watch" if name == PAGE else f"/watch/{name}"


@pytest.mark.parametrize("name", sorted(FILES))
async def test_every_file_has_its_type_the_policy_and_a_tag(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(address(name))

    assert answer.status_code == 200
    assert answer.content == (STATIC / name).read_bytes()
    assert answer.headers["content-type"] == MEDIA_TYPES[f".{name.rpartition('.')[2]}"]
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert (await client.head(address(name))).headers["etag"] == answer.headers["etag"]


def test_the_policy_lets_in_nothing_but_our_own_files() -> None:
    assert HEADERS["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


async def test_a_file_that_has_not_changed_is_not_sent_again(client: httpx.AsyncClient) -> None:
    etag = (await client.get("/watch/main.js")).headers["etag"]

    for known in (etag, f"W/{etag}", f'"another", {etag}'):
        answer = await client.get("/watch/main.js", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert (await client.get("/watch/main.js", headers={"If-None-Match": '"another"'})).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/watch/",
        "/watch/nothing.js",
        "/watch/index.html",
        "/watch/routes.py",
        "/watch/..%2froutes.py",
        "/watch/%2e%2e%2froutes.py",
        "/watch/..%5croutes.py",
        "/watch/static/main.js",
        "/watch/main.js%00",
        "/watch//etc/passwd",
    ],
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("prefix", ["/ml", "/api/v1", "/ml/api/v1"])
async def test_the_page_works_below_a_prefix_too(prefix: str) -> None:
    application = create_app(
        Settings(
            _env_file=None, database_url="postgresql://unused", redis_url="redis://unused", root_path="/ml"
        )
    )
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        page = (await client.get(f"{prefix}/watch")).text

        for link in re.findall(r'(?:href|src)="([^"]+)"', page):
            assert (await client.get(f"{prefix}/{link}")).status_code == 200, link


def test_the_page_is_no_part_of_the_api(app: FastAPI) -> None:
    assert not [path for path in app.openapi()["paths"] if "watch" in path]


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.endswith(".js")))
def test_no_module_turns_data_into_markup_or_code_or_reaches_outside(name: str) -> None:
    code = (STATIC / name).read_text()

    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|Storage|cookie"
    assert not re.findall(forbidden, code)
    assert not re.findall(r"https?://|//[a-z0-9.-]+\.[a-z]", code)
    for imported in re.findall(r' from "([^"]+)"', code):
        assert imported.removeprefix("./") in FILES


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_written_can_be_read(scheme: str) -> None:
    """The contrast that WCAG 2.2 asks for (1.4.3): 4.5 to 1."""
    blocks = re.findall(r":root \{([^}]*)\}", (STATIC / "watch.css").read_text())
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[SCHEMES[scheme]]))

    poor = {
        (written, ground): round(contrast, 2)
        for written, ground in WRITTEN
        if (contrast := _contrast(colours[written], colours[ground])) < 4.5
    }
    assert poor == {}


def _contrast(one: str, other: str) -> float:
    lower, higher = sorted((_luminance(one), _luminance(other)))
    return (higher + 0.05) / (lower + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
