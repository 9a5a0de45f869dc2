"""A job with shards is one job to its owner: no list, count or figure has its shards."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core.database import Database
from app.jobs import queries
from app.jobs.logs.queries import LogFilter, LogPage, page_of_shards
from app.maintenance import commands as maintenance
from tests.support import jobs, logs, rows, sharding
from tests.support.accounts import Account, sign_in

pytestmark = pytest.mark.usefixtures("without_roll_up")


@pytest.fixture
async def operator(app: FastAPI) -> Account:
    return await sign_in(app, "olga", Role.OPERATOR)


@pytest.fixture
async def job_id(store: Database, alice: Account) -> UUID:
    """A running job of which shard 0 is done, 1 has failed, and 2 runs."""
    job_id = await sharding.create(store, alice.id)
    first, second, _ = await sharding.claim(store, job_id)
    await jobs.complete(store, first)
    await jobs.fail(store, second, is_retryable=False)
    return job_id


async def get(client: httpx.AsyncClient, who: Account, path: str, **params: Any) -> Any:
    answer = await client.get(path, params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_lists_and_counts_have_the_job_alone(
    client: httpx.AsyncClient, alice: Account, store: Database, job_id: UUID
) -> None:
    for params in ({}, {"view": "row"}, {"status": ["running", "failed", "completed"]}):
        listed = await get(client, alice, "/jobs", **params)
        assert [one["job_id"] for one in listed["items"]] == [str(job_id)]
    counts = await get(client, alice, "/jobs/counts")
    assert (counts["all"], counts["running"], counts["failed"], counts["completed"]) == (1, 1, 0, 0)
    async with store.connection() as connection:
        by_status = (await queries.counts_of_owners(connection, [alice.id]))[alice.id]
    assert {status: count for status, count in by_status.items() if count} == {"running": 1}
    active = await get(client, alice, "/active-tasks")
    assert [one["job_id"] for one in active["active_tasks"]] == [str(job_id)]
    assert active["total_count"] == 1
    found = await get(client, alice, "/search", q=str(job_id)[:4])
    assert [one["job_id"] for one in found["jobs"]] == [str(job_id)]


async def test_a_shard_is_not_found_by_its_id(
    client: httpx.AsyncClient, alice: Account, store: Database, job_id: UUID
) -> None:
    [shard_id, *_] = await rows.fetch(store, "SELECT id FROM jobs WHERE parent_id = $1", job_id)

    assert (await get(client, alice, "/search", q=str(shard_id["id"])))["jobs"] == []
    assert (await get(client, alice, "/jobs", q=str(shard_id["id"])))["items"] == []


async def test_a_failed_shard_is_no_dead_letter_and_needs_no_attention(
    client: httpx.AsyncClient, alice: Account, job_id: UUID
) -> None:
    assert (await get(client, alice, "/dead-letters"))["items"] == []
    attention = await get(client, alice, "/attention")
    assert [one for one in attention["items"] if one["code"] == "dead_letters"] == []


async def test_figures_count_the_job_once_and_the_attempts_at_its_shards(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    good = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, good):
        await jobs.complete(store, shard)
    await sharding.end(store, good)
    bad = await sharding.create(store, alice.id)
    first, *others = await sharding.claim(store, bad)
    await jobs.fail(store, first, is_retryable=False)
    for shard in others:
        await jobs.complete(store, shard)
    await sharding.end(store, bad)

    figures = await get(client, alice, "/stats", by="error")

    totals = figures["totals"]
    assert (totals["jobs"], totals["completed"], totals["failed"], totals["success_rate"]) == (2, 1, 1, 0.5)
    assert (totals["attempts"], totals["rows"]) == (6, 45 + 25)
    assert {group["error"]: (group["jobs"], group["last_job_id"]) for group in figures["groups"]} == {
        "boom": (1, str(bad))
    }


async def test_what_waits_is_counted_in_jobs_for_a_user_and_in_shards_for_operators(
    client: httpx.AsyncClient, alice: Account, operator: Account, store: Database
) -> None:
    await sharding.create(store, alice.id)
    async with store.connection() as connection:
        await maintenance.measure(connection, totals_after=timedelta(0))

    own = await get(client, alice, "/stats/overview")
    of_all = await get(client, operator, "/stats/overview", scope="all")

    assert (own["pending"]["total"], of_all["pending"]["total"]) == (1, 3)


async def test_a_bulk_action_refuses_a_shard_and_selects_none(
    client: httpx.AsyncClient, alice: Account, store: Database, job_id: UUID
) -> None:
    [shard] = await rows.fetch(
        store, "SELECT id FROM jobs WHERE parent_id = $1 AND status = 'running'", job_id
    )

    named = await client.post(
        "/jobs/bulk-actions",
        json={"action": "cancel", "job_ids": [str(shard["id"])]},
        headers=alice.headers,
    )
    assert named.json()["failed"] == [{"job_id": str(shard["id"]), "code": "is_a_shard"}]
    preview = await client.post(
        "/jobs/bulk-actions",
        json={"action": "retry", "filter": {"created_before": "2100-01-01T00:00:00Z"}, "dry_run": True},
        headers=alice.headers,
    )
    assert preview.json() == {"matched": {"running": 1}, "eligible": 0}


async def test_a_worker_shows_the_job_and_the_number_of_the_shard(
    client: httpx.AsyncClient, alice: Account, job_id: UUID
) -> None:
    [worker] = (await get(client, alice, "/workers"))["items"]

    assert worker["jobs"] == [{"job_id": str(job_id), "shard": 2, "progress": 0.0}]


async def test_a_queue_counts_shards_apart_from_jobs(
    client: httpx.AsyncClient, alice: Account, operator: Account, store: Database, job_id: UUID
) -> None:
    await sharding.create(store, alice.id)

    [queue] = [one for one in (await get(client, operator, "/queues"))["items"] if one["name"] == "default"]

    assert (queue["pending"], queue["pending_shards"]) == (1, 3)
    assert (queue["running"], queue["running_shards"]) == (1, 1)
    assert queue["oldest_seconds"] is not None


async def test_a_queue_that_no_worker_serves_is_told_of_the_job_not_of_each_shard(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await sharding.create(store, alice.id, queue="lonely")

    attention = await get(client, alice, "/attention")

    [told] = [one for one in attention["items"] if one["code"] == "queue_without_worker"]
    assert told["count"] == 1


async def test_the_logs_of_all_shards_are_one_list_in_the_order_of_time(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, third = await sharding.claim(store, job_id)
    await logs.write(store, logs.part(second, ["one"]))
    await logs.write(store, logs.part(first, ["two", "three"]))
    await logs.write(store, logs.part(second, ["four"], number=2))
    for shard in (first, second, third):
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)

    page = await get(client, alice, f"/jobs/{job_id}/logs")
    assert [(line["shard"], line["text"]) for line in page["items"]] == [
        (1, "one"),
        (0, "two"),
        (0, "three"),
        (1, "four"),
    ]
    start = await get(client, alice, f"/jobs/{job_id}/logs", limit=1)
    rest = await get(client, alice, f"/jobs/{job_id}/logs", after=start["next_after"])
    assert [line["text"] for line in start["items"] + rest["items"]] == ["one", "two", "three", "four"]
    last = await get(client, alice, f"/jobs/{job_id}/logs", newest=True, limit=1)
    assert [line["text"] for line in last["items"]] == ["four"]
    older = await get(client, alice, f"/jobs/{job_id}/logs", newest=True, before=last["items"][0]["line"])
    assert [line["text"] for line in older["items"]] == ["one", "two", "three"]


async def test_the_log_of_a_running_job_holds_back_what_other_workers_may_still_precede(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, *_ = await sharding.claim(store, job_id)
    await logs.write(store, logs.part(first, ["now"]))
    await rows.execute(store, "UPDATE job_logs SET written_at = ARRAY[now() + interval '1 minute']")

    page = await get(client, alice, f"/jobs/{job_id}/logs")

    assert (page["items"], page["next_after"]) == ([], 0)


async def test_a_page_of_the_log_reads_no_part_outside_of_it(alice: Account, store: Database) -> None:
    job_id = await sharding.create(store, alice.id)
    shards = await sharding.claim(store, job_id)
    for minute, shard in enumerate(shards):
        await logs.write(store, logs.part(shard, ["one", "two"], age_seconds=300 - 60 * minute))

    async with store.connection() as connection:
        read = partial(page_of_shards, connection, job_id, limit=100, is_complete=True)
        [*_, third, _, last, _] = (await read(LogFilter())).lines
        newest = LogFilter(after=last.number - 1)
        between = LogFilter(after=third.number - 1, before=last.number)
        read_parts = [await parts_read(connection, partial(read, wanted)) for wanted in (newest, between)]

    assert read_parts == [1, 1]


async def parts_read(connection: asyncpg.Connection, ask: Callable[[], Awaitable[LogPage]]) -> int:
    """Count the parts of logs whose lines are unpacked to answer a question."""
    sent: list[Any] = []
    with connection.query_logger(sent.append):
        assert (await ask()).lines
        await asyncio.sleep(0)  # asyncpg calls the logger at the loop's next turn
    [question] = sent
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {question.query}", *question.args)
    return sum(
        node["Actual Loops"] for node in nodes(explained[0]["Plan"]) if node["Node Type"] == "Function Scan"
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan and all that it is made of."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def test_lines_of_one_instant_are_on_one_page(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    shards = await sharding.claim(store, job_id)
    for shard in shards:
        await logs.write(store, logs.part(shard, ["here"]))
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)
    await rows.execute(store, "UPDATE job_logs SET written_at = ARRAY[timestamptz '2026-11-30 00:00:00+00']")

    page = await get(client, alice, f"/jobs/{job_id}/logs", limit=1)

    assert [line["shard"] for line in page["items"]] == [0, 1, 2]
    assert (await get(client, alice, f"/jobs/{job_id}/logs", after=page["next_after"]))["items"] == []


async def test_a_job_that_was_cancelled_while_its_shards_ran_counts_as_executed(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    waiting = await sharding.create(store, alice.id)
    await jobs.cancel(store, waiting)
    await sharding.end(store, waiting)
    running = await sharding.create(store, alice.id)
    claimed = await sharding.claim(store, running)
    await jobs.cancel(store, running)
    for shard in claimed:
        await jobs.stop(store, shard)
    await sharding.end(store, running)

    found = await get(client, alice, "/task-analytics")

    assert (found["total_tasks_executed"], found["cancelled_tasks"]) == (1, 2)
