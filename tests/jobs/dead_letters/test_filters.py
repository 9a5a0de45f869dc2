"""Dead letters are counted, listed, retried and dismissed by what they have in common."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core.database import Database
from app.jobs import transitions
from app.jobs.dead_letters import queries
from app.jobs.dead_letters.filters import LetterFilter
from app.jobs.unit_of_work import UnitOfWork
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account, sign_in

LETTERS = "/dead-letters"
SENTIMENT = {"model": {"name": "sentiment", "version": 3}}
CHURN = {"model": {"name": "churn", "version": 1}}


async def dead_letter(
    store: Database,
    owner: Account,
    *,
    code: str = "crashed",
    kind: str = "batch_predict",
    queue: str = "default",
    params: dict[str, Any] | None = None,
) -> UUID:
    """A job that failed for good. No other job may be waiting in its queue."""
    job = await jobs.running(store, owner.id, queue=queue)
    change = "UPDATE jobs SET kind = $2, params = params || $3::jsonb WHERE id = $1"
    await rows.execute(store, change, job.id, kind, params or {"model": None})
    async with store.connection() as connection:
        await transitions.fail(
            UnitOfWork(connection),
            job_id=job.id,
            attempt=job.attempt,
            error={**jobs.ERROR, "code": code},
            traceback=None,
            is_retryable=False,
            delay_seconds=0,
        )
    return job.id


def frozen(**wanted: str) -> dict[str, Any]:
    """A filter that selects what has failed until now."""
    return {"filter": {"failed_before": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(), **wanted}}


async def listed(client: httpx.AsyncClient, who: Account, **query: str) -> list[UUID]:
    answer = await client.get(LETTERS, params={"limit": "100", **query}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [UUID(job["job_id"]) for job in answer.json()["items"]]


async def post(client: httpx.AsyncClient, who: Account, action: str, body: Any, **query: str) -> Any:
    answer = await client.post(f"{LETTERS}/{action}", json=body, params=query, headers=who.headers)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize("of_all", [False, True])
async def test_a_page_looks_at_so_many_letters_and_says_where_to_go_on(
    alice: Account, store: Database, of_all: bool
) -> None:
    rare = await dead_letter(store, alice, code="rare")
    for _ in range(5):
        await dead_letter(store, alice)
    owner_id = None if of_all else alice.id
    found: list[UUID] = []
    before: UUID | None = None
    pages = 0

    async with store.connection() as connection:
        while pages == 0 or before is not None:
            wanted = LetterFilter(code="rare")
            page = await queries.page(connection, owner_id, wanted, before=before, limit=20, max_scanned=2)
            found += [job.id for job in page.items]
            before, pages = page.next_before, pages + 1
        everything = await queries.page(connection, owner_id, before=None, limit=4, max_scanned=50)
        rest = await queries.page(
            connection, owner_id, before=everything.next_before, limit=4, max_scanned=50
        )

    assert found == [rare]
    assert pages == 4  # the last one has nothing to look at
    assert (len(everything.items), len(rest.items), rest.next_before) == (4, 2, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "abcd"),
        ({"code": "time_limit"}, "ad"),
        ({"kind": "train_model"}, "c"),
        ({"queue": "gpu"}, "d"),
        ({"model": "sentiment"}, "a"),
        ({"model": "sentiment@3"}, "a"),
        ({"model": "sentiment@2"}, ""),
        ({"model": "digits"}, "c"),
        ({"model": ""}, "cd"),
        ({"code": "time_limit", "model": "churn@1"}, ""),
        ({"code": "' OR true --"}, ""),
    ],
)
async def test_the_list_the_summary_and_a_preview_agree_on_what_a_filter_selects(
    client: httpx.AsyncClient,
    alice: Account,
    mallory: Account,
    store: Database,
    query: dict[str, str],
    expected: str,
) -> None:
    made = {
        "a": await dead_letter(store, alice, code="time_limit", params=SENTIMENT),
        "b": await dead_letter(store, alice, params=CHURN),
        "c": await dead_letter(store, alice, kind="train_model", params={"model": "digits"}),
        "d": await dead_letter(store, alice, code="time_limit", queue="gpu"),
    }
    await dead_letter(store, mallory, code="time_limit", params=SENTIMENT)

    summary = await client.get(f"{LETTERS}/summary", params=query, headers=alice.headers)
    preview = await post(client, alice, "retry", {**frozen(**query), "dry_run": True})

    assert sorted(await listed(client, alice, **query)) == sorted(made[name] for name in expected)
    assert summary.status_code == 200
    assert sum(group["count"] for group in summary.json()["items"]) == len(expected)
    assert preview == {"matched": len(expected), "eligible": len(expected)}
    assert len(await listed(client, alice)) == 4


async def test_the_summary_has_the_largest_group_first_and_counts_the_callers_own_only(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    for _ in range(2):
        await dead_letter(store, alice, code="time_limit", params=SENTIMENT)
    newest = await dead_letter(store, alice, code="time_limit", params=SENTIMENT)
    await dead_letter(store, alice, kind="train_model")
    dismissed = await dead_letter(store, alice, kind="train_model")
    await client.delete(f"{LETTERS}/{dismissed}", headers=alice.headers)
    await dead_letter(store, mallory, code="of_mallory")

    answer = await client.get(f"{LETTERS}/summary", headers=alice.headers)

    first, second = answer.json()["items"]
    newest_at = (await rows.job(store, newest))["finished_at"]
    assert datetime.fromisoformat(first.pop("newest_at")) == newest_at
    assert first == {"code": "time_limit", "kind": "batch_predict", "model": "sentiment@3", "count": 3}
    assert (second["code"], second["kind"], second["model"], second["count"]) == (
        *("crashed", "train_model"),
        *(None, 1),
    )


async def test_operators_count_and_list_the_letters_of_others_and_act_on_them_by_owner_only(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    operator = await sign_in(app, "olga", Role.OPERATOR)
    job_id = await dead_letter(store, alice, code="time_limit")

    own = await client.get(f"{LETTERS}/summary", headers=operator.headers)
    of_all = await client.get(f"{LETTERS}/summary", params={"owner": "*"}, headers=operator.headers)
    untouched = await post(client, operator, "dismiss", frozen(code="time_limit"))
    refused = await client.get(f"{LETTERS}/summary", params={"owner": "*"}, headers=alice.headers)
    reason = {"reason": "The queue was misconfigured"}
    done = await post(client, operator, "dismiss", {**frozen(code="time_limit"), **reason}, owner="alice")

    assert own.json()["items"] == []
    assert [group["count"] for group in of_all.json()["items"]] == [1]
    assert untouched == {"job_ids": [], "skipped": 0, "next_cursor": None}
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert done["job_ids"] == [str(job_id)]
    entry = await rows.value(
        store, "SELECT details FROM audit_log WHERE action = 'job.dismissed' AND object_id = $1", str(job_id)
    )
    assert entry == {"owner_id": str(alice.id), **reason}


@pytest.mark.parametrize("action", ["retry", "dismiss"])
async def test_many_letters_are_handled_by_filter_in_slices_and_what_fails_later_is_left_alone(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, action: str
) -> None:
    wanted = [await dead_letter(store, alice, code="time_limit", queue=f"q{n}") for n in range(5)]
    other = await dead_letter(store, alice)
    foreign = await dead_letter(store, mallory, code="time_limit")
    created_before = await jobs.running(store, alice.id, queue="later")
    selection = {"filter": {"failed_before": datetime.now(UTC).isoformat(), "code": "time_limit"}, "limit": 2}
    preview = await post(client, alice, action, {**selection, "dry_run": True})
    async with store.connection() as connection:
        await transitions.fail(
            UnitOfWork(connection),
            job_id=created_before.id,
            attempt=created_before.attempt,
            error={**jobs.ERROR, "code": "time_limit"},
            traceback=None,
            is_retryable=False,
            delay_seconds=0,
        )

    results = [await post(client, alice, action, selection)]
    while (cursor := results[-1]["next_cursor"]) is not None:
        results.append(await post(client, alice, action, {**selection, "cursor": cursor}))

    assert preview == {"matched": 5, "eligible": 5}
    assert [len(result["job_ids"]) for result in results] == [2, 2, 1]
    handled = [UUID(job_id) for result in results for job_id in result["job_ids"]]
    assert sorted(handled) == sorted(wanted)
    assert await listed(client, alice) == [created_before.id, other]
    assert await listed(client, mallory) == [foreign]
    await invariants.all_hold(store)


async def test_a_letter_whose_dataset_is_gone_is_counted_as_not_retryable_and_skipped(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await rows.execute(store, "UPDATE jobs SET dataset_id = gen_random_uuid() WHERE id = $1", job.id)
    await jobs.fail(store, job, is_retryable=False)
    whole = await dead_letter(store, alice)

    preview = await post(client, alice, "retry", {**frozen(), "dry_run": True})
    named = await post(client, alice, "retry", {"job_ids": [str(job.id)]})
    retried = await post(client, alice, "retry", frozen())

    assert preview == {"matched": 2, "eligible": 1}
    assert named == {"job_ids": [], "skipped": 1, "next_cursor": None}
    assert retried["job_ids"] == [str(whole)]
    assert await listed(client, alice) == [job.id]


async def test_a_reason_is_kept_with_the_job_until_it_is_retried(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await dead_letter(store, alice)
    before = await client.get(f"/jobs/{job_id}", headers=alice.headers)
    reason = "客户已取消 🎈 " + "x" * 190

    await post(client, alice, "dismiss", {"job_ids": [str(job_id)], "reason": reason[:200]})
    tagged = {**alice.headers, "If-None-Match": before.headers["etag"]}
    dismissed = await client.get(f"/jobs/{job_id}", headers=tagged)
    await client.post(f"/jobs/{job_id}/retry", headers=alice.headers)
    retried = await client.get(f"/jobs/{job_id}", headers=alice.headers)

    assert before.json()["dismissed"] is None
    assert (dismissed.status_code, dismissed.json()["dismissed"]["reason"]) == (200, reason[:200])
    assert dismissed.json()["dismissed"]["at"] is not None
    assert retried.json()["dismissed"] is None
    assert (await rows.job(store, job_id))["dismiss_reason"] is None
    await invariants.all_hold(store)


NOW = datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("retry", {"filter": {}}),
        ("retry", {"filter": {"failed_before": "yesterday"}}),
        ("retry", {"filter": {"failed_before": NOW, "owner_id": "x"}}),
        ("retry", {"filter": {"failed_before": NOW, "code": "\u0000"}}),
        ("retry", {"filter": {"failed_before": NOW}, "all": True}),
        ("retry", {"all": True, "dry_run": True}),
        ("retry", {"all": True, "cursor": "x"}),
        ("retry", {"filter": {"failed_before": NOW}, "limit": 1001}),
        ("retry", {"all": True, "reason": "not of a retry"}),
        ("dismiss", {"all": True, "reason": "x" * 201}),
        ("dismiss", {"all": True, "reason": ""}),
        ("dismiss", {"all": True, "reason": 7}),
    ],
)
async def test_a_selection_that_makes_no_sense_changes_nothing(
    client: httpx.AsyncClient, alice: Account, store: Database, action: str, body: Any
) -> None:
    job_id = await dead_letter(store, alice)

    answer = await client.post(f"{LETTERS}/{action}", json=body, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error"), answer.text
    assert await listed(client, alice) == [job_id]


async def test_a_cursor_that_is_none_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(f"{LETTERS}/retry", json={**frozen(), "cursor": "x"}, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_the_count_of_letters_stops_at_its_limit(alice: Account, store: Database) -> None:
    for _ in range(3):
        await dead_letter(store, alice)

    async with store.connection() as connection:
        assert await queries.count(connection, alice.id, limit=2) == 2
        assert await queries.count(connection, None, limit=100) == 3
