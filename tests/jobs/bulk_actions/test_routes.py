"""Many jobs are cancelled or retried at once, named by id or by a filter."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core import ids
from app.core.database import Database
from app.jobs.bulk_actions import schemas
from app.jobs.states import Status
from tests.jobs.test_http import assert_problem
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account, sign_in

BULK = "/jobs/bulk-actions"


def named(action: str, *job_ids: UUID) -> dict[str, Any]:
    return {"action": action, "job_ids": [str(job_id) for job_id in job_ids]}


def filtered(action: str, **more: Any) -> dict[str, Any]:
    before = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    return {"action": action, "filter": {"created_before": before, **more}}


async def act(client: httpx.AsyncClient, who: Account, body: Any, **query: str) -> Any:
    answer = await client.post(BULK, json=body, headers=who.headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def status_of(store: Database, job_id: UUID) -> Status:
    return (await jobs.read(store, job_id)).status


async def failed_job(store: Database, owner: Account) -> UUID:
    """A failed job with one batch. No other job may be waiting."""
    job = await jobs.running(store, owner.id)
    await jobs.commit(store, job)
    await jobs.fail(store, job, is_retryable=False)
    return job.id


async def test_named_jobs_are_cancelled_and_those_that_have_ended_are_skipped(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    failed = await failed_job(store, alice)
    running = (await jobs.running(store, alice.id)).id
    pending, others, unknown = (
        await jobs.create(store, alice.id),
        await jobs.create(store, mallory.id),
        ids.new_id(),
    )

    result = await act(client, alice, named("cancel", failed, running, pending, pending, others, unknown))

    assert result == {
        "changed": 2,
        "skipped": 1,
        "failed": [
            {"job_id": str(others), "code": "not_your_job"},
            {"job_id": str(unknown), "code": "job_not_found"},
        ],
        "next_cursor": None,
    }
    assert await status_of(store, pending) is Status.CANCELLED
    assert (await jobs.read(store, running)).cancel_requested_at is not None
    assert await status_of(store, others) is Status.PENDING
    again = await act(client, alice, named("cancel", running, pending))
    assert (again["changed"], again["skipped"]) == (0, 2)
    await invariants.all_hold(store)


async def test_a_preview_equals_the_outcome_and_later_jobs_are_left_alone(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await failed_job(store, alice)
    running = (await jobs.running(store, alice.id)).id
    pending = [await jobs.create(store, alice.id) for _ in range(7)]
    body = filtered("cancel")
    body["filter"]["created_before"] = datetime.now(UTC).isoformat()

    preview = await act(client, alice, {**body, "dry_run": True})
    later = await jobs.create(store, alice.id)
    body["limit"] = 3
    results = [await act(client, alice, body)]
    while (cursor := results[-1]["next_cursor"]) is not None:
        results.append(await act(client, alice, {**body, "cursor": cursor}))

    assert preview == {"matched": {"pending": 7, "running": 1, "failed": 1}, "eligible": 8}
    assert [result["changed"] for result in results] == [3, 3, 2]
    assert not any(result["failed"] or result["skipped"] for result in results)
    assert {await status_of(store, job_id) for job_id in pending} == {Status.CANCELLED}
    assert (await jobs.read(store, running)).cancel_requested_at is not None
    assert await status_of(store, later) is Status.PENDING
    await invariants.all_hold(store)


async def test_only_what_the_filter_selects_is_changed(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    gpu = await jobs.create(store, alice.id, queue="gpu", metadata={"team": "red"})
    rest = [
        await jobs.create(store, alice.id, queue="gpu"),
        await jobs.create(store, alice.id, metadata={"team": "red"}),
        await jobs.create(store, mallory.id, queue="gpu", metadata={"team": "red"}),
    ]

    result = await act(client, alice, filtered("cancel", queue="gpu", metadata={"team": "red"}))

    assert result["changed"] == 1
    assert await status_of(store, gpu) is Status.CANCELLED
    assert {await status_of(store, job_id) for job_id in rest} == {Status.PENDING}
    none = await act(client, alice, filtered("cancel", status=["completed"]))
    assert none == {"changed": 0, "skipped": 0, "failed": [], "next_cursor": None}


async def test_jobs_are_retried_from_their_last_commit_or_from_the_start(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    kept, cleared = await failed_job(store, alice), await failed_job(store, alice)

    resumed = await act(client, alice, named("retry", kept))
    restarted = await act(client, alice, named("retry_from_start", cleared))

    assert (resumed["changed"], restarted["changed"]) == (1, 1)
    assert ((await jobs.read(store, kept)).next_batch, (await jobs.read(store, cleared)).next_batch) == (1, 0)
    assert await status_of(store, kept) is Status.PENDING
    await invariants.all_hold(store)


async def test_a_job_that_cannot_be_retried_does_not_hold_up_the_others(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    good, expired = await failed_job(store, alice), await failed_job(store, alice)
    await rows.execute(store, "UPDATE jobs SET pruned_at = now() WHERE id = $1", expired)
    pending = await jobs.create(store, alice.id)

    result = await act(client, alice, named("retry", expired, good, pending))

    assert (result["changed"], result["skipped"]) == (1, 1)
    assert result["failed"] == [{"job_id": str(expired), "code": "results_expired"}]
    assert await status_of(store, good) is Status.PENDING


async def test_retries_keep_to_the_quota_of_the_owner(
    client: httpx.AsyncClient, app: FastAPI, alice: Account, store: Database
) -> None:
    job_ids = [await failed_job(store, alice) for _ in range(3)]
    await rows.execute(store, "INSERT INTO user_quotas (user_id, max_active_jobs) VALUES ($1, 2)", alice.id)

    answer = await client.post(BULK, json=named("retry", *job_ids), headers=alice.headers)

    assert_problem(answer, 429, "too_many_active_jobs")
    assert {await status_of(store, job_id) for job_id in job_ids} == {Status.FAILED}


async def test_an_operator_acts_on_the_jobs_of_another_user_and_the_audit_log_says_so(
    client: httpx.AsyncClient, app: FastAPI, alice: Account, mallory: Account, store: Database
) -> None:
    operator = await sign_in(app, "operator", Role.OPERATOR)
    job_id = await jobs.create(store, alice.id)
    others = await jobs.create(store, mallory.id)

    refused = await client.post(
        BULK, json=filtered("cancel"), params={"owner": "alice"}, headers=mallory.headers
    )
    result = await act(client, operator, filtered("cancel"), owner="alice")

    assert_problem(refused, 403, "forbidden")
    assert result["changed"] == 1
    assert (await status_of(store, job_id), await status_of(store, others)) == (
        Status.CANCELLED,
        Status.PENDING,
    )
    assert (
        await rows.value(
            store,
            "SELECT count(*) FROM audit_log WHERE action = 'job.cancelled' AND object_id = $1",
            str(job_id),
        )
        == 1
    )


async def test_an_operator_cancels_jobs_with_many_shards_in_one_transaction_each(
    client: httpx.AsyncClient, app: FastAPI, alice: Account, store: Database
) -> None:
    operator = await sign_in(app, "operator", Role.OPERATOR)
    for _ in range(2):
        await jobs.sharded(store, alice.id, shards=600, rows_of_shard=1)

    result = await act(client, operator, filtered("cancel"), owner="alice")

    assert result == {"changed": 2, "skipped": 0, "failed": [], "next_cursor": None}
    assert await rows.value(store, "SELECT count(*) FROM jobs WHERE status <> 'cancelled'") == 0
    ends = "SELECT count(DISTINCT xact_id) FROM job_events WHERE type = 'cancelled' AND owner_id IS NOT NULL"
    assert await rows.value(store, ends) == 2
    assert await rows.value(store, "SELECT count(*) FROM audit_log WHERE action = 'job.cancelled'") == 2


async def test_cancels_at_the_same_time_change_each_job_once(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    for _ in range(20):
        await jobs.create(store, alice.id)

    results = await asyncio.gather(*(act(client, alice, filtered("cancel")) for _ in range(4)))

    assert sum(result["changed"] for result in results) == 20
    assert await rows.value(store, "SELECT count(*) FROM job_events WHERE type = 'cancelled'") == 20


@pytest.mark.parametrize(
    "body",
    [
        {"action": "cancel"},
        {"action": "cancel", "job_ids": []},
        {"action": "delete", "job_ids": [str(ids.new_id())]},
        {"action": "cancel", "filter": {}},
        {"action": "cancel", "filter": {"created_before": "2030-01-01T00:00:00Z", "state": "failed"}},
        {"action": "cancel", "filter": {"created_before": "yesterday"}},
        {"action": "cancel", "job_ids": [str(ids.new_id())], "dry_run": True},
        {"action": "cancel", "job_ids": [str(ids.new_id())], "cursor": "AAAA"},
        {
            "action": "cancel",
            "job_ids": [str(ids.new_id())],
            "filter": {"created_before": "2030-01-01T00:00:00Z"},
        },
        {"action": "cancel", "filter": {"created_before": "2030-01-01T00:00:00Z"}, "limit": 0},
        {"action": "cancel", "job_ids": [str(ids.new_id())] * (schemas.MAX_JOBS + 1)},
    ],
)
async def test_a_request_that_selects_nothing_clear_is_refused(
    client: httpx.AsyncClient, alice: Account, body: Any
) -> None:
    answer = await client.post(BULK, json=body, headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


async def test_a_cursor_that_we_never_gave_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(BULK, json={**filtered("cancel"), "cursor": "abc"}, headers=alice.headers)

    assert_problem(answer, 400, "invalid_cursor")
