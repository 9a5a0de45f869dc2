"""Why a job with shards is where it is."""

from typing import Any

import httpx
import pytest

from app.core.database import Database
from tests.jobs.test_explanations import explain
from tests.support import jobs, sharding
from tests.support.accounts import Account

pytestmark = pytest.mark.usefixtures("without_roll_up")


async def test_a_running_job_tells_what_its_shards_do(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id, total=100)
    first, second, third, fourth, _ = await sharding.claim(store, job_id)
    await jobs.complete(store, first)
    await jobs.commit(store, second)
    await jobs.fail(store, third, delay_seconds=60.0)

    told = await explain(client, alice, job_id)

    assert (told["code"], told["status"], told["position"]) == ("running_shards", "running", None)
    assert told["sentence"] == "1 of 5 shards is done, 3 run, 1 waits."
    facts: dict[str, Any] = told["facts"]
    assert facts["shards"] == {"pending": 1, "running": 3, "completed": 1, "failed": 0, "cancelled": 0}
    assert [one["shard"] for one in facts["slowest"]] == [3, 4, 1]
    assert facts["slowest"][0]["job_id"] == str(fourth.id)
    assert (facts["slowest"][2]["rows"], facts["slowest"][2]["worker"][:5]) == (10, "test-")
    assert facts["slowest"][2]["rows_per_second"] > 0
    [retrying] = facts["retrying"]
    assert (retrying["shard"], retrying["failures"], retrying["error"]["code"]) == (2, 1, "boom")


async def test_if_no_shard_runs_it_tells_what_the_first_one_waits_for(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, job_id):
        await jobs.release(store, shard)

    told = await explain(client, alice, job_id)

    assert (told["code"], told["status"], told["position"]) == ("running_shards", "running", 1)
    assert told["facts"]["waiting"]["code"] == "next"
    assert told["sentence"].startswith(
        "0 of 3 shards are done, 0 run, 3 wait. The first that waits: It is next"
    )


async def test_a_pending_job_waits_for_what_its_first_shard_waits_for(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    assert (await explain(client, alice, job_id))["code"] == "no_worker"
    await jobs.worker(store)

    told = await explain(client, alice, job_id)

    assert (told["code"], told["status"], told["position"]) == ("next", "pending", 1)


async def test_a_job_that_stops_or_has_ended_is_explained_as_others_are(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    done = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, done):
        await jobs.complete(store, shard)
    await sharding.end(store, done)
    assert (await explain(client, alice, done))["code"] == "completed"

    stopping = await sharding.create(store, alice.id)
    await sharding.claim(store, stopping)
    await jobs.cancel(store, stopping)
    assert (await explain(client, alice, stopping))["code"] == "cancel_requested"
