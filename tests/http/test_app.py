"""The application as a whole: what its OpenAPI document promises."""

import tomllib
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.version import VERSION
from app.main import create_app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unstarted() -> FastAPI:
    """An application that needs no server, because nothing is asked of it."""
    return create_app(
        Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused")
    )


def test_the_version_is_the_same_everywhere(unstarted: FastAPI) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert unstarted.openapi()["info"]["version"] == VERSION == project["version"]


def test_signing_in_has_names_that_a_generated_client_can_use(unstarted: FastAPI) -> None:
    paths = unstarted.openapi()["paths"]

    assert paths["/users"]["post"]["operationId"] == "createUser"
    assert paths["/token"]["post"]["operationId"] == "createToken"
    assert paths["/token/refresh"]["post"]["operationId"] == "refreshToken"
    assert paths["/users/me"]["get"]["operationId"] == "getCurrentUser"


def test_the_authorize_button_knows_where_to_sign_in(unstarted: FastAPI) -> None:
    document = unstarted.openapi()

    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert scheme["flows"]["password"]["tokenUrl"] == "token"
    assert {name: ["account:read"]} in document["paths"]["/users/me"]["get"]["security"]


def test_the_versioned_paths_are_not_said_twice(unstarted: FastAPI) -> None:
    assert not [path for path in unstarted.openapi()["paths"] if path.startswith("/api/")]
