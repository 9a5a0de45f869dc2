"""The search over HTTP."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.permissions import Scope
from app.auth.roles import Role
from app.core import ids
from app.core.database import Database
from app.models.versions import Visibility
from tests.jobs.test_http import assert_problem
from tests.models import versions
from tests.support import api_keys, jobs, rows, schedules
from tests.support.accounts import Account, sign_in

NOTHING: dict[str, list[Any]] = {"jobs": [], "models": [], "datasets": [], "schedules": []}

DATASET = """
INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, rows_bytes, rows_sha256)
VALUES ($1, $2, $3, 'csv', 1, '0', 7, '[]', 1, '0')"""


async def dataset(store: Database, owner_id: UUID, name: str) -> UUID:
    dataset_id = ids.new_id()
    await rows.execute(store, DATASET, dataset_id, owner_id, name)
    return dataset_id


async def search(
    client: httpx.AsyncClient, headers: dict[str, str], text: str, **params: str
) -> dict[str, list[Any]]:
    answer = await client.get("/search", params={"q": text, **params}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[Any]] = answer.json()
    assert found.keys() == NOTHING.keys()
    return found


async def names(client: httpx.AsyncClient, who: Account, text: str) -> list[str]:
    """The names of what is found, apart from jobs."""
    found = await search(client, who.headers, text)
    return [item["name"] for of in ("models", "datasets", "schedules") for item in found[of]]


async def test_each_kind_of_object_is_found_by_the_beginning_of_its_name_in_any_case(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await versions.of_texts(store, alice.id, "Churn")
    dataset_id = await dataset(store, alice.id, "churn of 2026.csv")
    scheduled = await schedules.add(store, alice.id, name="CHURN, nightly")
    await versions.of_texts(store, alice.id, "other")
    await dataset(store, alice.id, "no churn")

    found = await search(client, alice.headers, "chUrN")

    assert found["models"] == [{"name": "Churn", "owner": "alice", "is_own": True, "is_built_in": False}]
    assert [(item["dataset_id"], item["rows"]) for item in found["datasets"]] == [(str(dataset_id), 7)]
    assert found["schedules"] == [
        {
            "schedule_id": str(scheduled.id),
            "name": "CHURN, nightly",
            "owner": "alice",
            "status": "active",
        }
    ]
    assert found["jobs"] == []


async def test_objects_are_found_by_the_first_four_digits_of_their_id(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    dataset_id = await dataset(store, alice.id, "a")
    schedule_id = (await schedules.add(store, alice.id, name="b")).id

    for one, kind, key in (
        (job_id, "jobs", "job_id"),
        (dataset_id, "datasets", "dataset_id"),
        (schedule_id, "schedules", "schedule_id"),
    ):
        for text in (str(one), str(one).upper(), one.hex, one.hex[:-1], str(one)[:-2]):
            assert [item[key] for item in (await search(client, alice.headers, text))[kind]] == [str(one)]
    found = await search(client, alice.headers, job_id.hex[:4])
    assert [len(found[kind]) for kind in ("jobs", "datasets", "schedules")] == [1, 1, 1]
    assert await search(client, alice.headers, job_id.hex[:3]) == NOTHING


async def test_jobs_are_found_by_the_name_of_their_model(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    made = [await jobs.create(store, alice.id) for _ in range(7)]

    found = await search(client, alice.headers, "Sent")

    assert [item["job_id"] for item in found["jobs"]] == [
        str(one) for one in made[:1:-1]
    ]  # five, newest first
    assert {(item["kind"], item["model"], item["status"]) for item in found["jobs"]} == {
        ("batch_predict", "sentiment@1", "pending")
    }
    assert found["models"] == [{"name": "sentiment", "owner": None, "is_own": False, "is_built_in": True}]


async def test_at_most_five_of_each_are_found_in_the_order_of_their_names(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    for number in (9, 1, 5, 3, 7, 2):
        await versions.of_texts(store, alice.id, f"m{number}")
        await dataset(store, alice.id, f"m{number}")
        await schedules.add(store, alice.id, name=f"m{number}")

    assert await names(client, alice, "m") == ["m1", "m2", "m3", "m5", "m7"] * 3


@pytest.mark.parametrize("text", ["m%", "m_", "%", "_", "\\", "m\\", "m*", ".", "m' OR true --"])
async def test_no_character_is_a_wildcard(
    client: httpx.AsyncClient, alice: Account, store: Database, text: str
) -> None:
    await versions.of_texts(store, alice.id, "mx")
    await dataset(store, alice.id, "mx")
    await schedules.add(store, alice.id, name="mx")
    await jobs.create(store, alice.id)

    assert await search(client, alice.headers, text) == NOTHING


@pytest.mark.parametrize("name", ["über 日本", "100%_done", "🚿 flow", "\U0010ffff"])
async def test_names_in_any_script_are_found(
    client: httpx.AsyncClient, alice: Account, store: Database, name: str
) -> None:
    await dataset(store, alice.id, f"{name}.csv")

    assert await names(client, alice, name) == [f"{name}.csv"]
    assert await names(client, alice, name.upper()) == [f"{name}.csv"]


async def test_nobody_finds_what_belongs_to_others_except_public_models(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await versions.of_texts(store, alice.id, "secret")
    await versions.of_texts(store, alice.id, "secret shared")
    await rows.execute(
        store, "UPDATE models SET visibility = $1 WHERE name = 'secret shared'", Visibility.PUBLIC
    )
    own = await dataset(store, alice.id, "secret")
    job_id = await jobs.create(store, alice.id)
    scheduled = await schedules.add(store, alice.id, name="secret")

    shared = {"name": "secret shared", "owner": "alice", "is_own": False, "is_built_in": False}
    assert await search(client, mallory.headers, "secret") == {**NOTHING, "models": [shared]}
    for one in (own, job_id, scheduled.id):
        assert await search(client, mallory.headers, str(one)) == NOTHING
    assert (await search(client, mallory.headers, "sentiment"))["jobs"] == []
    assert [model["is_own"] for model in (await search(client, alice.headers, "secret"))["models"]] == [
        True,
        True,
    ]


async def test_operators_find_jobs_and_schedules_of_others_if_they_name_an_owner(
    client: httpx.AsyncClient, app: FastAPI, alice: Account, mallory: Account, store: Database
) -> None:
    operator = await sign_in(app, "olivia", Role.OPERATOR)
    await dataset(store, alice.id, "nightly")
    await versions.of_texts(store, alice.id, "nightly")
    job_id = await jobs.create(store, alice.id)
    for who in (alice, mallory):
        await schedules.add(store, who.id, name="nightly")

    assert await search(client, operator.headers, "nightly") == NOTHING
    assert await search(client, operator.headers, str(job_id)) == NOTHING
    everyone = await search(client, operator.headers, "nightly", owner="*")
    assert [item["owner"] for item in everyone["schedules"]] == ["alice", "mallory"]
    assert (everyone["models"], everyone["datasets"]) == ([], [])
    one = await search(client, operator.headers, "nightly", owner="mallory")
    assert [item["owner"] for item in one["schedules"]] == ["mallory"]
    for owner in ("*", "alice"):
        found = await search(client, operator.headers, str(job_id), owner=owner)
        assert [(item["job_id"], item["owner"]) for item in found["jobs"]] == [(str(job_id), "alice")]
        assert len((await search(client, operator.headers, "senti", owner=owner))["jobs"]) == 1
    assert (await search(client, operator.headers, str(job_id), owner="mallory"))["jobs"] == []
    for owner in ("*", "alice"):
        answer = await client.get("/search", params={"q": "n", "owner": owner}, headers=mallory.headers)
        assert_problem(answer, 403, "forbidden")


async def test_a_key_finds_only_what_its_scopes_permit(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await versions.of_texts(store, alice.id, "mine")
    await dataset(store, alice.id, "mine")
    await schedules.add(store, alice.id, name="mine")

    async def found_with(*scopes: Scope) -> list[str]:
        key = await api_keys.create(store, alice.id, *scopes)
        return [kind for kind, items in (await search(client, key.headers, "mine")).items() if items]

    assert await found_with(Scope.JOBS_READ) == ["schedules"]
    assert await found_with(Scope.JOBS_READ, Scope.MODELS) == ["models", "schedules"]
    assert await found_with(Scope.JOBS_READ, Scope.DATASETS) == ["datasets", "schedules"]


@pytest.mark.parametrize("text", ["", "x" * 201, "a\0b"])
async def test_a_text_that_is_none_is_refused(client: httpx.AsyncClient, alice: Account, text: str) -> None:
    answer = await client.get("/search", params={"q": text}, headers=alice.headers)

    assert_problem(answer, 422, "validation_error")
