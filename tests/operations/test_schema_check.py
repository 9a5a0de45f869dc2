"""A database that has not been migrated: every route that needs it says so, and recovers by itself."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import FastAPI

from app.cli.migrations import ALEMBIC_INI, migrate
from app.core.config import Settings
from app.core.database import Database
from app.embedded.postgres import EmbeddedPostgres
from app.main import create_app
from app.operations.schema_check import SchemaCheck, needed_revision
from tests.conftest import Servers
from tests.support import app_state
from tests.support.waiting import until

NAMES = {"name": "churn", "number": "1", "alias": "best"}
NEEDS_NO_DATABASE = {"getFrontPage", "getLiveness", "getMetrics", "getShutdownStatus", "listAlgorithms"}


@pytest.fixture
def blank_url(servers: Servers) -> str:
    return servers.databases.blank()


@pytest.fixture
async def unmigrated(settings: Settings, blank_url: str) -> AsyncIterator[FastAPI]:
    app = create_app(settings.model_copy(update={"database_url": blank_url}))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def asking(unmigrated: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(unmigrated, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        token = app_state.state_of(unmigrated).auth.tokens.issue_access(uuid4())
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


async def test_every_route_that_needs_the_database_says_what_to_do(
    unmigrated: FastAPI, asking: httpx.AsyncClient
) -> None:
    outdated = set()
    for path, operations in unmigrated.openapi()["paths"].items():
        for method, operation in operations.items():
            answer = await asking.request(method, path.format_map(defaultdict(lambda: str(uuid4()), NAMES)))
            assert answer.status_code != 500, (method, path)
            if answer.status_code == 503 and "problem" in answer.headers["content-type"]:
                assert answer.json()["code"] == "schema_outdated", (method, path)
                assert answer.json()["detail"] == (
                    "The database schema is older than this version of Headrace. Run `headrace migrate`."
                )
                assert int(answer.headers["retry-after"]) > 0
                outdated.add(operation["operationId"])
            elif operation.get("security"):
                assert operation["operationId"] in NEEDS_NO_DATABASE, (method, path, answer.text)

    assert {"getReadiness", "listJobs", "predict", "createDataset", "streamJobs"} <= outdated


async def test_signing_in_and_up_say_so_too(asking: httpx.AsyncClient) -> None:
    form = {"username": "ada", "password": "a long enough passphrase"}

    for answer in (await asking.post("/token", data=form), await asking.post("/users", json=form)):
        assert (answer.status_code, answer.json()["code"]) == (503, "schema_outdated")


async def test_health_says_so_and_all_is_well_after_the_migration(
    asking: httpx.AsyncClient, blank_url: str, unmigrated: FastAPI
) -> None:
    before = await asking.get("/health")
    live = await asking.get("/health/live")
    assert (before.status_code, before.json()["status"]) == (503, "schema_outdated")
    assert before.json()["db_connected"] is True
    assert live.status_code == 200

    async def is_known() -> bool:
        return app_state.state_of(unmigrated).readiness == "schema_outdated"

    await until(is_known)  # what the port for operators reports
    await asyncio.to_thread(migrate, blank_url)

    async def is_ready() -> bool:
        return (await asking.get("/health/ready")).status_code == 200

    await until(is_ready)
    assert app_state.state_of(unmigrated).readiness == "ok"
    assert (await asking.get("/health")).status_code == 200


@pytest.fixture
def own_postgres(server_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A blank Postgres that may be stopped without harm to other tests."""
    server = EmbeddedPostgres(server_dir / "postgres", options={"fsync": "off"})
    server.start()
    yield server
    server.stop()


async def test_a_postgres_that_goes_away_before_the_migration_is_not_reported_as_connected(
    own_postgres: EmbeddedPostgres, settings: Settings
) -> None:
    app = create_app(settings.model_copy(update={"database_url": own_postgres.url}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        before = (await client.get("/health")).json()
        await asyncio.to_thread(own_postgres.stop)
        after = (await client.get("/health")).json()

    assert (before["status"], before["db_connected"]) == ("schema_outdated", True)
    assert (after["status"], after["db_connected"]) == ("unavailable", False)


async def test_a_schema_of_an_older_version_is_outdated_and_one_of_a_newer_is_not(
    database: Database, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for revision, is_outdated in (("0001", True), (needed_revision(), False), ("9999", False)):
            await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
            assert await SchemaCheck(database).check() is is_outdated, revision
    finally:
        await connection.execute("UPDATE alembic_version SET version_num = $1", needed_revision())
        await connection.close()


def test_the_revision_is_the_one_that_alembic_would_migrate_to() -> None:
    scripts = ScriptDirectory.from_config(Config(ALEMBIC_INI))
    assert scripts.get_heads() == [needed_revision()]
