"""The addresses of the dashboard, as any client gets them."""

import gzip
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.dashboard import assets
from app.http.pages import MEDIA_TYPES
from app.main import create_app

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
JOB = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The API without any server: the dashboard needs none."""
    urls = {"database_url": "postgresql://unused", "redis_url": "redis://unused"}
    return create_app(Settings(_env_file=None, **urls, demo_user="demo<b>"))  # type: ignore[arg-type]


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as opened:
        yield opened


@pytest.mark.parametrize(
    ("address", "location"),
    [
        ("/dashboard", "dashboard/"),
        ("/scheduler", "scheduler/"),
        ("/watch", "dashboard/"),
        (f"/watch?job={JOB}", f"dashboard/jobs/{JOB}"),
    ],
)
async def test_addresses_that_lead_to_the_dashboard(
    client: httpx.AsyncClient, address: str, location: str
) -> None:
    answer = await client.get(address)

    assert (answer.status_code, answer.headers["location"]) == (307, location)


async def test_what_is_said_before_a_language_is_chosen_is_said_in_each(client: httpx.AsyncClient) -> None:
    shell = (await client.get("/dashboard/")).text

    noscript = re.findall(r"<noscript>(.*?)</noscript>", shell)
    unsupported = re.findall(r'id="unsupported" hidden>(.*?)</p>', shell)
    assert [re.findall(r'lang="([\w-]+)"', text) for text in (*noscript, *unsupported)] == [
        ["en", "zh-CN"]
    ] * 2
    assert "The dashboard needs JavaScript." in noscript[0]
    assert "This browser is too old for the dashboard." in unsupported[0]
    assert "$" not in shell


async def test_an_address_of_a_job_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/watch?job=https://example.com/")

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/dashboard/", "./"),
        ("/dashboard/jobs", "./"),
        (f"/dashboard/jobs/{JOB}", "../"),
        ("/dashboard/models/a/compare", "../../"),
        ("/dashboard/none/of/ours", "../../"),
        ("/scheduler/", "../dashboard/"),
    ],
)
async def test_the_shell_finds_its_files_from_any_address(
    client: httpx.AsyncClient, path: str, root: str
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["permissions-policy"] == "clipboard-write=(self), screen-wake-lock=(self)"
    assert len(answer.content) <= 4096
    links = re.findall(r'(?:href|src)="([^"#]+)"', answer.text)
    assert len(links) > 5
    for link in links:
        assert link.startswith(f"{root}assets/")
        file = await client.get(str(httpx.URL(f"http://test{path}").join(link)))
        assert file.status_code == 200, link
    unchanged = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304


async def test_the_shell_has_no_inline_script_or_style_and_escapes_what_it_is_told(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/dashboard/")).text

    assert re.findall(r"<script(?![^>]* src=)|\son\w+=|<style|style=", page) == []
    assert 'name="headrace-demo-user" content="demo&lt;b&gt;"' in page
    assert 'name="headrace-registration" content="open"' in page


@pytest.mark.parametrize("name", sorted(assets.load().files))
async def test_a_file_never_changes_under_its_address(client: httpx.AsyncClient, name: str) -> None:
    address = f"/dashboard/assets/{assets.load().digest}/{name}"

    plain = await client.get(address, headers={"Accept-Encoding": "identity"})
    compressed = await client.get(address, headers={"Accept-Encoding": "br, gzip"})

    assert plain.status_code == compressed.status_code == 200
    assert plain.content == compressed.content
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert plain.headers["content-type"] == MEDIA_TYPES[f".{name.rpartition('.')[2]}"]
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["vary"] == "Accept-Encoding"
    assert plain.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["none.js", "%2e%2e/routes.py", "shell.html", "styles/base.css", ""])
async def test_what_is_no_file_of_ours_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/dashboard/assets/{assets.load().digest}/{name}")

    assert answer.status_code == 404


async def test_no_address_makes_the_shell_grow(client: httpx.AsyncClient) -> None:
    assert (await client.get("/dashboard/a/b/c/d/e/f/g/h/i")).status_code == 200
    for depth in (9, 1000):
        assert (await client.get("/dashboard/" + "a/" * depth)).status_code == 404
        assert (await client.get("/dashboard/" + "a%2F" * depth)).status_code == 404


async def test_a_file_of_another_version_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/dashboard/assets/0123456789abcdef/main.js")).status_code == 404


def test_the_digest_covers_the_bytes_of_all_files() -> None:
    loaded = assets.load()

    assert re.fullmatch("[0-9a-f]{16}", loaded.digest)
    again = hashlib.sha256()
    for name, content in sorted(assets.read_all().items()):
        again.update(f"{name} {len(content)} ".encode() + content)
    assert again.hexdigest().startswith(loaded.digest)
    for asset in loaded.files.values():
        assert gzip.decompress(asset.compressed) == asset.content
