"""Dead letters over HTTP: seen, tried again, put away."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs.dead_letters import service
from app.jobs.dead_letters.service import Selected
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account

LETTERS = "/dead-letters"


async def dead_letter(store: Database, owner: Account) -> UUID:
    """A job that failed for good with its first batch committed. No other job may be waiting."""
    job = await jobs.running(store, owner.id)
    await jobs.commit(store, job)
    await jobs.fail(store, job, is_retryable=False)
    return job.id


async def listed(client: httpx.AsyncClient, who: Account) -> list[UUID]:
    answer = await client.get(f"{LETTERS}?limit=100", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [UUID(job["job_id"]) for job in answer.json()["items"]]


def handled(answer: httpx.Response) -> list[UUID]:
    return [UUID(job_id) for job_id in answer.json()["job_ids"]]


def names(*job_ids: UUID) -> dict[str, list[str]]:
    return {"job_ids": [str(job_id) for job_id in job_ids]}


# Seeing them


async def test_only_what_failed_for_good_is_a_dead_letter(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    for end in (jobs.complete, jobs.stop):
        await end(store, await jobs.running(store, alice.id))
    failed = await dead_letter(store, alice)
    await dead_letter(store, mallory)
    await jobs.running(store, alice.id)
    await jobs.create(store, alice.id)
    retried = await jobs.claim(store)
    await jobs.fail(store, retried, delay_seconds=3600)

    answer = await client.get(LETTERS, headers=alice.headers)

    [letter] = answer.json()["items"]
    assert (letter["job_id"], letter["status"], letter["done"]) == (str(failed), "failed", 10)
    assert letter["error"] == {**jobs.ERROR, "attempt": 1}
    assert answer.json()["next_cursor"] is None


async def test_the_pages_hold_each_letter_once_newest_first_while_new_ones_come(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    there = [await dead_letter(store, alice) for _ in range(7)]
    seen: list[str] = []
    sizes: list[int] = []
    cursor: str | None = None
    while True:
        query = {"limit": "3", **({} if cursor is None else {"cursor": cursor})}
        page = (await client.get(LETTERS, params=query, headers=alice.headers)).json()
        seen += [job["job_id"] for job in page["items"]]
        sizes.append(len(page["items"]))
        await dead_letter(store, alice)
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == [str(job_id) for job_id in reversed(there)]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("cursor=abc", 400, "invalid_cursor"),
        ("cursor=%00", 400, "invalid_cursor"),
        ("limit=0", 422, "validation_error"),
        ("limit=101", 422, "validation_error"),
    ],
)
async def test_a_page_that_does_not_exist_is_refused(
    client: httpx.AsyncClient, alice: Account, query: str, status: int, code: str
) -> None:
    answer = await client.get(f"{LETTERS}?{query}", headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


# Trying them again


async def test_a_letter_that_is_tried_again_is_a_job_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await dead_letter(store, alice)

    answer = await client.post(f"{LETTERS}/{job_id}/retry", headers=alice.headers)

    assert (answer.status_code, handled(answer)) == (202, [job_id])
    assert await listed(client, alice) == []
    job = await jobs.claim(store)
    assert (job.id, job.attempt, job.next_batch, job.failures) == (job_id, 2, 1, 0)
    await jobs.complete(store, job)
    assert await listed(client, alice) == []
    await invariants.all_hold(store, predict=jobs.prediction)


async def test_a_letter_that_fails_again_is_a_dead_letter_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    older, newer = [await dead_letter(store, alice) for _ in range(2)]
    await client.post(f"{LETTERS}/{older}/retry", headers=alice.headers)
    assert await listed(client, alice) == [newer]

    await jobs.fail(store, await jobs.claim(store), is_retryable=False)

    assert await listed(client, alice) == [newer, older]


async def test_the_named_letters_are_tried_again_and_what_is_none_is_left_out(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    mine = [await dead_letter(store, alice) for _ in range(3)]
    foreign = await dead_letter(store, mallory)
    done = await jobs.running(store, alice.id)
    await jobs.complete(store, done)
    cancelled = await jobs.running(store, alice.id)
    await jobs.stop(store, cancelled)
    put_away = await dead_letter(store, alice)
    await client.delete(f"{LETTERS}/{put_away}", headers=alice.headers)
    named = names(mine[2], foreign, mine[0], mine[0], done.id, cancelled.id, put_away, ids.new_id())

    answer = await client.post(f"{LETTERS}/retry", json=named, headers=alice.headers)

    assert (answer.status_code, handled(answer)) == (202, [mine[0], mine[2]])
    assert await listed(client, alice) == [mine[1]]
    assert await listed(client, mallory) == [foreign]
    waiting = await jobs.claim_all(store, await jobs.worker(store))
    assert [job.id for job in waiting] == [mine[0], mine[2]]
    await invariants.all_hold(store)


async def test_all_letters_of_one_user_are_tried_again(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    mine = [await dead_letter(store, alice) for _ in range(3)]
    foreign = await dead_letter(store, mallory)

    answer = await client.post(f"{LETTERS}/retry", json={"all": True}, headers=alice.headers)
    again = await client.post(f"{LETTERS}/retry", json={"all": True}, headers=alice.headers)

    assert (answer.status_code, handled(answer)) == (202, mine)
    assert (again.status_code, handled(again)) == (202, [])
    assert await listed(client, mallory) == [foreign]
    assert [(await rows.job(store, job_id))["status"] for job_id in mine] == ["pending"] * 3


async def test_of_many_who_try_all_again_at_once_each_letter_is_moved_by_one(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    mine = [await dead_letter(store, alice) for _ in range(5)]

    answers = await asyncio.gather(
        *(client.post(f"{LETTERS}/retry", json={"all": True}, headers=alice.headers) for _ in range(10))
    )

    assert sorted(job_id for answer in answers for job_id in handled(answer)) == mine
    for job_id in mine:
        assert (await rows.event_types(store, job_id)).count("retried") == 1
    await invariants.all_hold(store)


async def test_letters_whose_rows_were_removed_do_not_stand_in_the_way_of_the_others(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    expired = await dead_letter(store, alice)
    await rows.execute(store, "UPDATE jobs SET pruned_at = now()")
    fresh = await dead_letter(store, alice)

    async with store.connection() as connection:
        first = await service.find(connection, alice.id, Selected(limit=1), only_retryable=True)
    one = await client.post(f"{LETTERS}/{expired}/retry", headers=alice.headers)
    named = await client.post(f"{LETTERS}/retry", json=names(expired), headers=alice.headers)
    everything = await client.post(f"{LETTERS}/retry", json={"all": True}, headers=alice.headers)

    assert [letter.job_id for letter in first] == [fresh]
    assert (one.status_code, one.json()["code"]) == (410, "results_expired")
    assert handled(named) == []
    assert handled(everything) == [fresh]
    assert await listed(client, alice) == [expired]
    await client.delete(f"{LETTERS}/{expired}", headers=alice.headers)
    assert await listed(client, alice) == []


# Putting them away


async def test_a_letter_that_is_put_away_stays_what_it_is(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await dead_letter(store, alice)
    before = (await client.get(f"/jobs/{job_id}", headers=alice.headers)).json()

    answer = await client.delete(f"{LETTERS}/{job_id}", headers=alice.headers)

    assert (answer.status_code, handled(answer)) == (200, [job_id])
    assert await listed(client, alice) == []
    after = (await client.get(f"/jobs/{job_id}", headers=alice.headers)).json()
    assert after.pop("dismissed")["reason"] is None
    assert before.pop("dismissed") is None
    assert after == before
    assert before["status"] == "failed"
    results = (await client.get(f"/jobs/{job_id}/results", headers=alice.headers)).json()
    assert [row["prediction"] for row in results["items"]] == [jobs.prediction(row) for row in range(10)]
    await invariants.all_hold(store, predict=jobs.prediction)


async def test_a_job_that_was_put_away_can_still_be_tried_again_and_fail_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await dead_letter(store, alice)
    await client.delete(f"{LETTERS}/{job_id}", headers=alice.headers)

    answer = await client.post(f"/jobs/{job_id}/retry", headers=alice.headers)
    await jobs.fail(store, await jobs.claim(store), is_retryable=False)

    assert answer.status_code == 202
    assert await listed(client, alice) == [job_id]


async def test_the_named_letters_are_put_away_and_what_is_none_is_left_out(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    mine = [await dead_letter(store, alice) for _ in range(3)]
    foreign = await dead_letter(store, mallory)
    done = await jobs.running(store, alice.id)
    await jobs.complete(store, done)
    named = names(mine[0], foreign, mine[2], done.id, ids.new_id())

    answer = await client.post(f"{LETTERS}/dismiss", json=named, headers=alice.headers)
    again = await client.post(f"{LETTERS}/dismiss", json=named, headers=alice.headers)

    assert (answer.status_code, sorted(handled(answer))) == (200, [mine[0], mine[2]])
    assert (again.status_code, handled(again)) == (200, [])
    assert await listed(client, alice) == [mine[1]]
    assert await listed(client, mallory) == [foreign]


async def test_all_letters_of_one_user_are_put_away(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    mine = [await dead_letter(store, alice) for _ in range(3)]
    foreign = await dead_letter(store, mallory)

    answer = await client.post(f"{LETTERS}/dismiss", json={"all": True}, headers=alice.headers)

    assert (answer.status_code, sorted(handled(answer))) == (200, mine)
    assert await listed(client, alice) == []
    assert await listed(client, mallory) == [foreign]
    assert [(await rows.job(store, job_id))["status"] for job_id in mine] == ["failed"] * 3


# What is none, and what makes no sense


@pytest.mark.parametrize(("method", "path"), [("POST", "/retry"), ("DELETE", "")])
async def test_what_is_not_a_dead_letter_of_mine_is_not_found(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, method: str, path: str
) -> None:
    put_away = await dead_letter(store, alice)
    await client.delete(f"{LETTERS}/{put_away}", headers=alice.headers)
    cancelled = await jobs.running(store, alice.id)
    await jobs.stop(store, cancelled)
    foreign = await dead_letter(store, mallory)
    pending = await jobs.create(store, alice.id)

    for job_id in (put_away, cancelled.id, foreign, pending, ids.new_id()):
        answer = await client.request(method, f"{LETTERS}/{job_id}{path}", headers=alice.headers)

        assert (answer.status_code, answer.json()["code"]) == (404, "dead_letter_not_found")
    assert await listed(client, mallory) == [foreign]
    assert (await rows.job(store, foreign))["dismissed_at"] is None


@pytest.mark.parametrize("path", ["/retry", "/dismiss"])
async def test_a_choice_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, path: str
) -> None:
    job_id = await dead_letter(store, alice)
    senseless: list[Any] = [
        {},
        {"all": False},
        {"job_ids": []},
        {"job_ids": [], "all": False},
        {"job_ids": [str(job_id)], "all": True},
        {"job_ids": ["garbage"]},
        {"job_ids": [None]},
        {"job_ids": str(job_id)},
        {"job_ids": [str(ids.new_id()) for _ in range(1001)]},
        {"all": True, "owner_id": str(alice.id)},
        [str(job_id)],
        None,
    ]

    for body in senseless:
        answer = await client.post(f"{LETTERS}{path}", json=body, headers=alice.headers)

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error"), body
    assert await listed(client, alice) == [job_id]


async def test_a_thousand_letters_can_be_named_at_once(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await dead_letter(store, alice)
    named = names(*(ids.new_id() for _ in range(999)), job_id)

    answer = await client.post(f"{LETTERS}/dismiss", json=named, headers=alice.headers)

    assert (answer.status_code, handled(answer)) == (200, [job_id])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/retry"),
        ("POST", "/dismiss"),
        ("POST", "/{job_id}/retry"),
        ("DELETE", "/{job_id}"),
    ],
)
async def test_nothing_of_a_dead_letter_is_for_strangers(
    client: httpx.AsyncClient, alice: Account, store: Database, method: str, path: str
) -> None:
    job_id = await dead_letter(store, alice)

    answer = await client.request(method, LETTERS + path.format(job_id=job_id), json={"all": True})

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert await listed(client, alice) == [job_id]
