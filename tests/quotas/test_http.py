"""Quotas that an administrator sets for one user: applied within a second, and shown to the user."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.files import StoredFile
from app.jobs.quota import Quota
from app.models import commands as models
from app.quotas.errors import ModelQuotaExceeded, QuotaExceeded
from app.quotas.service import StorageQuota
from app.quotas.values import OwnQuotas, Quotas
from app.streams.admission import StreamUser
from app.streams.errors import TooManyStreams
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account, sign_in
from tests.support.app_state import replace_state, state_of
from tests.support.waiting import until

CREATE = "/jobs/batch-predict"
MINE = "/users/me/quotas"
TEXT = "x" * 1000


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_connect_seconds": 60.0, "max_running_jobs_per_user": 7})


@pytest.fixture
async def admin(app: FastAPI) -> Account:
    return await sign_in(app, "root", Role.ADMIN)


async def set_quotas(client: httpx.AsyncClient, admin: Account, who: Account, **quotas: Any) -> Any:
    answer = await client.put(f"/users/{who.id}/quotas", json=quotas, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def submit(client: httpx.AsyncClient, who: Account, text: str = "x") -> httpx.Response:
    return await client.post(CREATE, json={"texts": [text]}, headers=who.headers)


async def mine(client: httpx.AsyncClient, who: Account) -> Any:
    answer = await client.get(MINE, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_of_fifty_at_once_exactly_as_many_pass_as_are_set_for_the_user(
    client: httpx.AsyncClient, store: Database, admin: Account, alice: Account, mallory: Account
) -> None:
    assert (await submit(client, alice)).status_code == 202  # counted while the default applied
    await set_quotas(client, admin, alice, max_active_jobs=10)
    await until(lambda: is_refused_above(client, alice, 10))

    answers = await asyncio.gather(*(submit(client, mallory) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    await rows.execute(store, "DELETE FROM jobs WHERE owner_id = $1", alice.id)
    answers = await asyncio.gather(*(submit(client, alice) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [429] * 40
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.json()["code"], refused.json()["limit"]) == ("too_many_active_jobs", 10)
    await invariants.all_hold(store)


async def is_refused_above(client: httpx.AsyncClient, who: Account, limit: int) -> bool:
    """Whether the process has noticed the quota: it may remember the last count for a second."""
    return (await submit(client, who)).status_code == 429


async def test_a_higher_quota_than_the_default_applies_too(
    app: FastAPI, client: httpx.AsyncClient, admin: Account, alice: Account
) -> None:
    state_of(app).quota._limit = 1
    assert [(await submit(client, alice)).status_code for _ in range(2)] == [202, 429]

    await set_quotas(client, admin, alice, max_active_jobs=3)
    assert [(await submit(client, alice)).status_code for _ in range(3)] == [202, 202, 429]
    await set_quotas(client, admin, alice)  # nothing given: the defaults again
    assert (await submit(client, alice)).json()["limit"] == 1


async def test_near_a_low_quota_every_job_is_counted_however_high_the_default_is(
    app: FastAPI, client: httpx.AsyncClient, store: Database, admin: Account, alice: Account
) -> None:
    replace_state(app, quota=Quota(store, 50_000, count_lifetime_seconds=3600.0))
    await set_quotas(client, admin, alice, max_active_jobs=3)

    assert [(await submit(client, alice)).status_code for _ in range(5)] == [202] * 3 + [429] * 2


async def test_a_quota_of_stored_bytes_is_exact(
    client: httpx.AsyncClient, store: Database, admin: Account, alice: Account
) -> None:
    payload = len(TEXT) + 4
    await set_quotas(client, admin, alice, max_stored_bytes=10 * payload)
    answers = await asyncio.gather(*(submit(client, alice, TEXT) for _ in range(30)))

    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [413] * 20
    refused = await client.post(
        "/datasets?name=a",
        content=b"a\n" + b"1\n" * 1000,
        headers={**alice.headers, "Content-Type": "text/csv"},
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    assert (await client.get("/quota", headers=alice.headers)).json() == {
        "used_bytes": 10 * payload,
        "limit_bytes": 10 * payload,
    }
    await set_quotas(client, admin, alice, max_stored_bytes=0)
    assert (await submit(client, alice, TEXT)).status_code == 202
    await invariants.stored_bytes_are_counted(store)


async def register(store: Database, quota: StorageQuota, owner: Account, size: int) -> None:
    """Register a version of a model of this size, as the completion of a job does."""
    file = StoredFile(key=f"artifacts/{ids.new_id()}", bytes=size, sha256="0" * 64)
    async with store.transaction() as connection, quota.checked(connection, owner.id):
        await models.register(connection, owner_id=owner.id, name="m", runtime="sklearn", file=file)


async def test_models_have_a_quota_of_their_own(
    client: httpx.AsyncClient, store: Database, admin: Account, alice: Account, mallory: Account
) -> None:
    quota = StorageQuota(0, model_bytes=100)
    await register(store, quota, alice, 60)
    with pytest.raises(ModelQuotaExceeded) as refused:
        await register(store, quota, alice, 41)
    assert (refused.value.facts["used"], refused.value.facts["limit"]) == (60, 100)
    assert quota.is_far_below(alice.id)  # so what adds no model may go unchecked
    await register(store, quota, alice, 40)
    await register(store, quota, mallory, 100)

    await set_quotas(client, admin, alice, max_model_bytes=150, max_stored_bytes=140)
    with pytest.raises(QuotaExceeded):
        await register(store, quota, alice, 45)
    await register(store, quota, alice, 40)
    assert (await mine(client, alice))["model_bytes"] == {"used": 140, "limit": 150, "is_default": False}


async def test_of_models_registered_at_once_only_those_that_fit_are_kept(
    store: Database, alice: Account
) -> None:
    quota = StorageQuota(0, model_bytes=100)
    found = await asyncio.gather(
        *(register(store, quota, alice, 30) for _ in range(8)), return_exceptions=True
    )

    assert [isinstance(one, ModelQuotaExceeded) for one in found].count(True) == 5
    assert await rows.value(store, "SELECT sum(bytes) FROM model_versions") == 90


@pytest.mark.parametrize("field", ["max_model_bytes", "max_stored_bytes"])
async def test_an_upload_of_a_model_that_does_not_fit_is_refused_while_it_arrives(
    client: httpx.AsyncClient, admin: Account, alice: Account, field: str
) -> None:
    await set_quotas(client, admin, alice, **{field: 1000})
    refused = await client.post("/models/m/versions", content=b"x" * 2000, headers=alice.headers)

    code = {"max_model_bytes": "model_quota_exceeded", "max_stored_bytes": "quota_exceeded"}[field]
    assert (refused.status_code, refused.json()["code"]) == (413, code)


async def test_a_quota_of_streams_applies_to_the_next_stream(
    app: FastAPI, client: httpx.AsyncClient, admin: Account, alice: Account, mallory: Account
) -> None:
    admission = state_of(app).admission
    users = [StreamUser(await state_of(app).auth.identities.identify(token(who))) for who in (alice, mallory)]
    await set_quotas(client, admin, alice, max_streams=1)

    for user in users:
        await admission.load_limit(user.id)
    with admission.admit(users[0], "sse", ignore), admission.admit(users[1], "sse", ignore):
        with admission.admit(users[1], "sse", ignore):
            assert (await mine(client, mallory))["streams"] == {"used": 2, "limit": 50, "is_default": True}
        assert (await mine(client, alice))["streams"] == {"used": 1, "limit": 1, "is_default": False}
        with pytest.raises(TooManyStreams):
            admission.ensure_capacity(alice.id)
        job_id = (await submit(client, alice)).json()["job_id"]
        for path in ("/jobs/stream", f"/jobs/{job_id}/stream"):
            assert (await client.get(path, headers=alice.headers)).status_code == 429
        await set_quotas(client, admin, alice)
        assert (await client.head("/jobs/stream", headers=alice.headers)).status_code == 200


def ignore() -> None:
    """The end of a stream that nobody waits for."""


def token(who: Account) -> str:
    return who.headers["Authorization"].removeprefix("Bearer ")


async def test_users_see_their_quotas_and_what_they_have(
    client: httpx.AsyncClient, store: Database, admin: Account, alice: Account
) -> None:
    await submit(client, alice, TEXT)
    await jobs.running(store, alice.id, queue="other")

    found = await mine(client, alice)

    assert found["active_jobs"] == {"used": 2, "limit": 50_000, "is_default": True}
    assert found["running_jobs"] == {"used": 1, "limit": 7, "is_default": True}
    assert found["stored_bytes"]["used"] >= len(TEXT)
    assert found["model_bytes"] == {"used": 0, "limit": None, "is_default": True}
    assert found["streams"] == {"used": 0, "limit": 50, "is_default": True}
    seen = await client.get(f"/users/{alice.id}/quotas", headers=admin.headers)
    assert seen.json() == found
    assert await set_quotas(client, admin, alice, max_streams=3, max_running_jobs=0) == found | {
        "streams": {"used": 0, "limit": 3, "is_default": False},
        "running_jobs": {"used": 1, "limit": None, "is_default": False},
    }


@pytest.mark.parametrize(
    "body",
    [
        {"max_active_jobs": 0},
        {"max_streams": 0},
        {"max_running_jobs": -1},
        {"max_stored_bytes": -1},
        {"max_model_bytes": 2**63},
        {"max_active_jobs": 2**31},
        {"max_active_jobs": 1.5},
        {"schedules": 1},
    ],
)
async def test_a_quota_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, store: Database, admin: Account, alice: Account, body: dict[str, Any]
) -> None:
    answer = await client.put(f"/users/{alice.id}/quotas", json=body, headers=admin.headers)

    assert answer.status_code == 422
    assert await rows.value(store, "SELECT count(*) FROM user_quotas") == 0


async def test_only_administrators_set_quotas_and_of_users_who_exist(
    client: httpx.AsyncClient, app: FastAPI, admin: Account, alice: Account
) -> None:
    operator = await sign_in(app, "op", Role.OPERATOR)
    for who in (alice, operator):
        for method in ("GET", "PUT"):
            answer = await client.request(
                method, f"/users/{alice.id}/quotas", json={"max_streams": 1000}, headers=who.headers
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    for method in ("GET", "PUT"):
        answer = await client.request(method, f"/users/{ids.new_id()}/quotas", json={}, headers=admin.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


def test_what_is_not_set_is_the_default(settings: Settings) -> None:
    defaults = Quotas.from_settings(settings)

    assert OwnQuotas().over(defaults) == defaults
    assert OwnQuotas(max_stored_bytes=0).over(defaults).max_stored_bytes == 0
