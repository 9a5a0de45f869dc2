"""The state of the system, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core.config import Settings
from app.core.database import Database
from app.core.version import VERSION
from app.operations.schema_check import needed_revision
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account, sign_in
from tests.support.waiting import until


@pytest.fixture
def storage_url() -> str | None:
    """Where the files are, if not in a folder of the test."""
    return None


@pytest.fixture
def settings(settings: Settings, storage_url: str | None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With another storage; nothing answers at the endpoint of a bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_REGION": "nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    return settings.model_copy(update={"storage_url": storage_url or settings.storage_url})


async def system(client: httpx.AsyncClient, who: Account) -> dict[str, Any]:
    answer = await client.get("/system", headers=who.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def root(app: FastAPI) -> Account:
    """An administrator."""
    return await sign_in(app, "root", Role.ADMIN)


async def test_the_process_its_loops_and_what_it_depends_on_are_described(
    client: httpx.AsyncClient, root: Account, alice: Account, store: Database
) -> None:
    await jobs.running(store, alice.id)

    async def has_measured() -> bool:
        return (await system(client, root))["database"]["measured_at"] is not None

    await until(has_measured)
    found = await system(client, root)

    assert (found["version"], found["is_stopping"], found["running_jobs"]) == (VERSION, False, 1)
    assert 0 < found["uptime_seconds"] < 600
    now = datetime.fromisoformat(found["as_of"])
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    loops = {loop["loop"]: loop for loop in found["loops"]}
    assert {"rescue", "wake", "schedule", "prune", "sweep", "deliver", "hub"} <= loops.keys()
    assert loops["rescue"]["is_healthy"]
    assert found["database"]["revision"] == needed_revision()
    assert found["database"]["version"] == await rows.value(store, "SHOW server_version")
    assert found["database"]["bytes"] == await rows.value(store, "SELECT database_bytes FROM system_stats")
    assert found["redis"] == {"is_up": True}
    assert (found["storage"]["is_up"], found["storage"]["is_bucket"]) == (True, False)
    assert found["storage"]["used_bytes"] > 0
    assert found["storage"]["free_bytes"] > 0
    assert found["storage"]["stored_bytes"] == await rows.value(
        store, "SELECT coalesce(sum(bytes), 0)::bigint FROM stored_bytes"
    )


@pytest.mark.parametrize("redis_url", ["redis://127.0.0.1:1/0"])
async def test_without_redis_the_rest_is_told(client: httpx.AsyncClient, root: Account) -> None:
    found = await system(client, root)

    assert found["redis"] == {"is_up": False}
    assert found["storage"]["is_up"]


@pytest.mark.parametrize("storage_url", ["s3://nothing"])
async def test_a_bucket_that_does_not_answer_is_down(client: httpx.AsyncClient, root: Account) -> None:
    storage = (await system(client, root))["storage"]

    assert (storage["is_up"], storage["is_bucket"]) == (False, True)
    assert (storage["used_bytes"], storage["free_bytes"]) == (None, None)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.USER, Role.OPERATOR])
async def test_only_administrators_may_see_it(app: FastAPI, client: httpx.AsyncClient, role: Role) -> None:
    somebody = await sign_in(app, "somebody", role)

    assert_problem(await client.get("/system", headers=somebody.headers), 403, "forbidden")
