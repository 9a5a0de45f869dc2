"""Filters of the list of jobs, which the counts by status share."""

from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs import queries, views
from app.jobs.filters import JobFilter, split_model
from app.jobs.states import Priority, Status
from tests.support import jobs, rows
from tests.support.accounts import Account


async def test_a_filter_that_is_repeated_selects_jobs_that_match_any_of_its_values(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    low = await jobs.create(store, alice.id, priority=Priority.LOW)
    high = await jobs.create(store, alice.id, priority=Priority.HIGH)
    normal = await jobs.create(store, alice.id)
    done = await jobs.create(store, alice.id, queue="done")
    [job] = await jobs.claim_all(store, await jobs.worker(store), queue="done")
    await jobs.complete(store, job)

    async def found(query: str) -> list[UUID]:
        answer = await client.get(f"/jobs?{query}", headers=alice.headers)
        assert answer.status_code == 200, answer.text
        return [UUID(job["job_id"]) for job in answer.json()["items"]]

    assert await found("status=completed&status=pending") == [done, normal, high, low]
    assert await found("status=failed&status=running") == []
    assert await found("status=pending&priority=low&priority=high") == [high, low]
    first = await client.get("/jobs?status=completed&status=pending&limit=3", headers=alice.headers)
    assert await found(f"status=completed&status=pending&cursor={first.json()['next_cursor']}") == [low]


async def test_jobs_are_found_by_the_beginning_of_their_id_or_of_their_models_name(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    one = await jobs.create(store, alice.id)
    await jobs.create(store, mallory.id)
    other = await jobs.create(store, alice.id)

    async def found(prefix: str) -> list[UUID]:
        answer = await client.get("/jobs", params={"q": prefix}, headers=alice.headers)
        assert answer.status_code == 200, answer.text
        return [UUID(job["job_id"]) for job in answer.json()["items"]]

    assert await found(str(one)) == [one]
    assert await found(str(one).upper()) == [one]
    assert await found(one.hex[:-1]) == [one]
    assert await found(one.hex[:4]) == [other, one]
    assert await found(one.hex[:3]) == []  # too few digits for an id
    assert await found("sent") == [other, one]
    assert await found("sentiment%") == []
    assert await found("s_ntiment") == []
    assert await found("ffff") == []


async def test_counts_are_those_of_the_list(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    for _ in range(2):
        await jobs.create(store, alice.id)
    await jobs.create(store, alice.id, queue="gpu", metadata={"team": "red"})
    await jobs.create(store, mallory.id)
    await jobs.create(store, alice.id, queue="done")
    [job] = await jobs.claim_all(store, await jobs.worker(store), queue="done")
    await jobs.complete(store, job)

    async def counted(query: str = "") -> dict[str, int]:
        answer = await client.get(f"/jobs/counts?{query}", headers=alice.headers)
        assert answer.status_code == 200, answer.text
        counts: dict[str, int] = answer.json()
        assert counts.pop("cap") == queries.COUNT_LIMIT
        return {name: count for name, count in counts.items() if count}

    assert await counted() == {"all": 4, "pending": 3, "completed": 1}
    assert await counted("queue=gpu&metadata.team=red") == {"all": 1, "pending": 1}
    assert await counted("kind=train_model") == {}


async def test_a_count_stops_at_its_limit(alice: Account, store: Database) -> None:
    for _ in range(4):
        await jobs.create(store, alice.id)

    async with store.session() as session:
        found = await queries.counts(session, alice.id, JobFilter(), limit=3)

    assert found[Status.PENDING] == 3
    many = dict.fromkeys(Status, queries.COUNT_LIMIT)
    assert views.job_counts(many)["all"] == queries.COUNT_LIMIT


async def test_a_list_of_rows_leaves_out_what_may_be_large(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.create(store, alice.id, metadata={"team": "blue"})

    answer = await client.get("/jobs", params={"view": "row"}, headers=alice.headers)
    whole = await client.get("/jobs", headers=alice.headers)

    [row], [job] = answer.json()["items"], whole.json()["items"]
    assert job.keys() - row.keys() == {"result", "metadata", "links"}
    assert row.items() <= job.items()


async def test_jobs_of_a_dataset_or_of_one_version_of_a_model(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    dataset_id = ids.new_id()
    first, second, other = [await jobs.create(store, alice.id) for _ in range(3)]
    foreign = await jobs.create(store, mallory.id)
    set_version = "UPDATE jobs SET params = jsonb_set(params, '{model,version}', $2::jsonb) WHERE id = $1"
    await rows.execute(store, set_version, second, 12)
    await rows.execute(store, set_version, other, 2)
    reads = "UPDATE jobs SET dataset_id = $1 WHERE id = ANY ($2)"
    await rows.execute(store, reads, dataset_id, [first, other, foreign])

    async def ask(**query: str) -> httpx.Response:
        return await client.get("/jobs", params=query, headers=alice.headers)

    async def found(**query: str) -> list[UUID]:
        answer = await ask(**query)
        assert answer.status_code == 200, answer.text
        counts = (await client.get("/jobs/counts", params=query, headers=alice.headers)).json()
        listed = [UUID(job["job_id"]) for job in answer.json()["items"]]
        assert counts["all"] == len(listed)
        return listed

    assert await found(dataset_id=str(dataset_id)) == [other, first]
    assert await found(dataset_id=str(ids.new_id())) == []
    assert await found(model="sentiment@1") == [first]
    assert await found(model="sentiment@2") == [other]  # not 12
    assert await found(model="sentiment@2", dataset_id=str(dataset_id)) == [other]
    assert await found(model="sentiment") == [other, second, first]
    for wrong in ("sentiment@best", "sentiment@0", "sentiment@"):
        refused = await ask(model=wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_error")
        assert refused.json()["errors"][0]["loc"] == ["query", "model"]


async def test_bulk_actions_take_the_same_filters(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    dataset_id = ids.new_id()
    one, _ = [await jobs.create(store, alice.id) for _ in range(2)]
    await rows.execute(store, "UPDATE jobs SET dataset_id = $1 WHERE id = $2", dataset_id, one)

    async def pending(**more: str) -> int:
        wanted = {"created_before": "2100-01-01T00:00:00Z", **more}
        body = {"action": "cancel", "filter": wanted, "dry_run": True}
        answer = await client.post("/jobs/bulk-actions", json=body, headers=alice.headers)
        assert answer.status_code == 200, answer.text
        found: int = answer.json()["eligible"]
        return found

    assert await pending(dataset_id=str(dataset_id)) == 1
    assert await pending(model="sentiment@1") == 2
    assert await pending(model="sentiment@7") == 0


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("churn", ("churn", None)),
        ("churn@3", ("churn", 3)),
        ("b@b/churn@3", ("b@b/churn", 3)),
        ("b@3/churn", ("b@3/churn", None)),
    ],
)
def test_a_reference_is_split_at_its_version(reference: str, parts: tuple[str, int | None]) -> None:
    assert split_model(reference) == parts
