"""The list of the shards of a job over HTTP."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs.shards.schemas import ShardPage
from tests.jobs.test_http import assert_problem
from tests.support import jobs, sharding
from tests.support.accounts import Account
from tests.support.schemas import assert_matches

pytestmark = pytest.mark.usefixtures("without_roll_up")


async def read(client: httpx.AsyncClient, who: Account, job_id: UUID, **params: Any) -> Any:
    answer = await client.get(f"/jobs/{job_id}/shards", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert_matches(ShardPage, page)
    return page


async def test_each_shard_says_where_it_runs_and_how_far_it_is(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, third = await sharding.claim(store, job_id)
    await jobs.complete(store, first)
    await jobs.commit(store, second)
    await jobs.fail(store, third, is_retryable=False)

    page = await read(client, alice, job_id)

    assert page["counts"] == {
        "all": 3,
        "pending": 0,
        "running": 1,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    done, running, failed = page["items"]
    assert (done["shard"], done["first_row"], done["rows"], done["done"]) == (0, 0, 20, 20)
    assert (done["status"], done["worker"], done["error"]) == ("completed", None, None)
    assert (running["shard"], running["job_id"], running["done"]) == (1, str(second.id), 10)
    assert running["worker"].startswith("test-")
    assert running["started_at"] is not None
    assert (failed["first_row"], failed["rows"], failed["failures"]) == (40, 5, 1)
    assert failed["error"]["code"] == "boom"
    assert page["next_cursor"] is None


async def test_the_list_is_read_in_pages_and_by_status(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id, total=100)
    for shard in (await sharding.claim(store, job_id))[1:4]:
        await jobs.complete(store, shard)

    first = await read(client, alice, job_id, limit=3)
    second = await read(client, alice, job_id, limit=3, cursor=first["next_cursor"])
    assert [one["shard"] for one in first["items"] + second["items"]] == [0, 1, 2, 3, 4]
    assert second["next_cursor"] is None

    completed = await read(client, alice, job_id, status="completed", limit=2)
    rest = await read(client, alice, job_id, status="completed", limit=2, cursor=completed["next_cursor"])
    assert [one["shard"] for one in completed["items"] + rest["items"]] == [1, 2, 3]
    assert rest["counts"]["all"] == 5


async def test_a_job_without_shards_has_none(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    page = await read(client, alice, job_id)

    assert (page["items"], page["counts"]["all"]) == ([], 0)


async def test_the_shards_are_their_owners_alone(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)

    async def ask(who: Account, of: UUID, cursor: str | None = None) -> httpx.Response:
        params = {} if cursor is None else {"cursor": cursor}
        return await client.get(f"/jobs/{of}/shards", params=params, headers=who.headers)

    assert_problem(await ask(mallory, job_id), 403, "not_your_job")
    assert_problem(await ask(alice, ids.new_id()), 404, "job_not_found")
    assert_problem(await ask(alice, job_id, "one"), 400, "invalid_cursor")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "cancel"), ("DELETE", ""), ("POST", "retry"), ("GET", "stream"), ("GET", "request")],
)
async def test_what_is_about_the_whole_job_names_that_job(
    client: httpx.AsyncClient, alice: Account, store: Database, method: str, path: str
) -> None:
    job_id = await sharding.create(store, alice.id)
    shard, *_ = await sharding.claim(store, job_id)

    answer = await client.request(method, f"/jobs/{shard.id}/{path}".rstrip("/"), headers=alice.headers)

    assert_problem(answer, 409, "is_a_shard")
    assert str(job_id) in answer.json()["detail"]
    assert (await jobs.read(store, shard.id)).status == "running"


async def test_a_shard_is_read_and_names_its_job(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    shard, *_ = await sharding.claim(store, job_id)

    found = (await client.get(f"/jobs/{shard.id}", headers=alice.headers)).json()

    assert (found["parent_id"], found["shards"]) == (str(job_id), None)


async def test_attempts_of_a_job_are_those_of_its_shards_the_newest_first(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, _ = await sharding.claim(store, job_id)
    await jobs.release(store, second)
    await jobs.complete(store, first)

    found = (await client.get(f"/jobs/{job_id}?include=attempts", headers=alice.headers)).json()

    assert [(one["shard"], one["attempt"], one["outcome"]) for one in found["attempts"]] == [
        (0, 1, "completed"),
        (1, 1, "released"),
    ]
    assert (found["usage"]["attempts"], found["usage"]["rows"]) == (2, 20)
    ordinary = await jobs.running(store, alice.id, queue="other")
    await jobs.release(store, ordinary)
    plain = (await client.get(f"/jobs/{ordinary.id}?include=attempts", headers=alice.headers)).json()
    assert "shard" not in plain["attempts"][0]


async def test_the_ledger_of_a_job_with_shards_has_sums(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, _ = await sharding.claim(store, job_id)
    await jobs.complete(store, first)
    await jobs.commit(store, second)

    ledger = (await client.get(f"/jobs/{job_id}/ledger", headers=alice.headers)).json()

    assert ledger == {"batches": 5, "stored": 3, "runs": []}
