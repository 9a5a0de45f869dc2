"""The version is the same everywhere."""

import re
import tomllib
from pathlib import Path

import httpx

from app.core.version import VERSION

ROOT = Path(__file__).parents[2]


def test_the_package_and_the_code_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


async def test_the_openapi_document_has_this_version(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi.json")).json()["info"]["version"] == VERSION
