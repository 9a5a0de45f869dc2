"""Evaluations over time: which are listed, to whom, and how long they stay."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.database import Database
from app.models import commands as models
from app.models.evaluations import commands as evaluations
from app.models.versions import Visibility
from tests.models import versions
from tests.support import rows
from tests.support.accounts import Account


async def record(
    store: Database, owner: Account, version_id: UUID | None, version: int = 1, **more: Any
) -> UUID:
    facts: dict[str, Any] = {
        "job_id": ids.new_id(),
        "dataset_id": None,
        "target": "churned",
        "rows": 100,
        "errors": 2,
        "metrics": {"accuracy": 0.9, "roc_auc": None},
        **more,
    }
    async with store.connection() as connection:
        await evaluations.record(
            connection, owner_id=owner.id, version_id=version_id, version=version, **facts
        )
    job_id: UUID = facts["job_id"]
    return job_id


async def listed(
    client: httpx.AsyncClient, who: Account, name: str = "churn", **query: Any
) -> list[dict[str, Any]]:
    answer = await client.get(f"/models/{name}/evaluations", params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_an_evaluation_says_what_was_measured_and_on_what(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    version = await versions.register(store, alice.id)
    uploaded = await client.post(
        "/datasets?name=june",
        content=b"a,churned\n1,yes\n",
        headers={**alice.headers, "Content-Type": "text/csv"},
    )
    dataset_id = uploaded.json()["dataset_id"]
    job_id = await record(store, alice, version.id, dataset_id=UUID(dataset_id))

    [found] = await listed(client, alice)

    assert found.pop("evaluated_at")
    assert found == {
        "job_id": str(job_id),
        "model": "churn@1",
        "version": 1,
        "dataset_id": dataset_id,
        "dataset": "june",
        "target": "churned",
        "rows": 100,
        "errors": 2,
        "metrics": {"accuracy": 0.9, "roc_auc": None},
    }
    assert (await client.delete(f"/datasets/{dataset_id}", headers=alice.headers)).status_code == 204
    [without] = await listed(client, alice)
    assert (without["dataset_id"], without["dataset"]) == (dataset_id, None)


async def test_they_are_filtered_by_version_and_dataset_the_newest_first(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    first, second = [await versions.register(store, alice.id) for _ in range(2)]
    june, july = ids.new_id(), ids.new_id()
    old = await record(store, alice, first.id, 1, dataset_id=june)
    new = await record(store, alice, second.id, 2, dataset_id=june)
    newest = await record(store, alice, second.id, 2, dataset_id=july)

    async def jobs(**query: Any) -> list[str]:
        return [found["job_id"] for found in await listed(client, alice, **query)]

    assert await jobs() == [str(newest), str(new), str(old)]
    assert await jobs(version=2) == [str(newest), str(new)]
    assert await jobs(dataset_id=june) == [str(new), str(old)]
    assert await jobs(version=2, dataset_id=june) == [str(new)]
    assert await jobs(version=3) == []


async def test_pages_follow_each_other(client: httpx.AsyncClient, alice: Account, store: Database) -> None:
    version = await versions.register(store, alice.id)
    recorded = [str(await record(store, alice, version.id)) for _ in range(5)]
    found, query = [], {"limit": "2"}
    while True:
        answer = await client.get("/models/churn/evaluations", params=query, headers=alice.headers)
        found += [evaluation["job_id"] for evaluation in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            break
        query["cursor"] = answer.json()["next_cursor"]

    assert found == recorded[::-1]


async def test_users_see_their_own_of_a_public_model(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    version = await versions.register(store, alice.id)
    await record(store, alice, version.id)
    refused = await client.get(
        "/models/churn/evaluations", params={"owner": "alice"}, headers=mallory.headers
    )
    async with store.transaction() as connection:
        await models.change(connection, alice.id, "churn", visibility=Visibility.PUBLIC)
    assert await listed(client, mallory, owner="alice") == []
    own = await record(store, mallory, version.id)

    [found] = await listed(client, mallory, owner="alice")

    assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")
    assert (found["job_id"], found["model"]) == (str(own), "alice/churn@1")
    assert len(await listed(client, alice)) == 1


async def test_those_of_the_built_in_model_are_listed(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job_id = await record(store, alice, None)

    [found] = await listed(client, alice, "sentiment")

    assert (found["job_id"], found["model"]) == (str(job_id), "sentiment@1")
    assert await listed(client, mallory, "sentiment") == []


async def test_they_go_with_their_version(client: httpx.AsyncClient, alice: Account, store: Database) -> None:
    first, second = [await versions.register(store, alice.id) for _ in range(2)]
    for number, version in enumerate((first, second), start=1):
        await record(store, alice, version.id, number)
    await client.delete("/models/churn/versions/1", headers=alice.headers)
    assert [found["version"] for found in await listed(client, alice)] == [2]

    await client.delete("/models/churn", headers=alice.headers)

    assert await rows.value(store, "SELECT count(*) FROM model_evaluations") == 0


@pytest.mark.parametrize(
    "query", [{"version": "0"}, {"version": "x"}, {"dataset_id": "june"}, {"limit": "0"}]
)
async def test_a_filter_that_means_nothing_is_named(
    client: httpx.AsyncClient, alice: Account, query: dict[str, str]
) -> None:
    answer = await client.get("/models/sentiment/evaluations", params=query, headers=alice.headers)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["query", *query]
