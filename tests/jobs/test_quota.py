"""How many unfinished jobs a user may have, however many requests come at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.database import Database
from app.jobs.errors import TooManyActiveJobs
from app.jobs.quota import Quota
from tests.machine.database import OneConnection
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import replace_state
from tests.support.waiting import until

CREATE = "/jobs/batch-predict"
BULK = "/jobs/bulk"
JOB = {"texts": ["x"]}

FAR_ABOVE = 50_000
"""A limit so far above what these tests create that there is no need for a lock."""


@pytest.fixture
def limit() -> int:
    return 10


@pytest.fixture
def settings(settings: Settings, limit: int) -> Settings:
    return settings.model_copy(update={"max_active_jobs": limit})


async def create(client: httpx.AsyncClient, who: Account, **headers: str) -> httpx.Response:
    return await client.post(CREATE, json=JOB, headers={**who.headers, **headers})


async def create_many(client: httpx.AsyncClient, who: Account, count: int, **headers: str) -> httpx.Response:
    body = {"jobs": [{"kind": "batch_predict", **JOB} for _ in range(count)]}
    return await client.post(BULK, json=body, headers={**who.headers, **headers})


async def active(store: Database, who: Account) -> int:
    count: int = await rows.value(
        store,
        "SELECT count(*) FROM jobs WHERE owner_id = $1 AND status IN ('pending', 'running')",
        who.id,
    )
    return count


def assert_refused(answer: httpx.Response, **facts: Any) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (429, "too_many_active_jobs")
    assert int(answer.headers["retry-after"]) > 0
    assert {name: problem[name] for name in facts} == facts


# Exactly so many


async def test_of_fifty_creates_at_once_exactly_as_many_pass_as_the_limit_allows(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answers = await asyncio.gather(*(create(client, alice) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [429] * 40
    for answer in answers:
        if answer.status_code == 429:
            assert_refused(answer, active=10, limit=10)
    created = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert {str(row["id"]) for row in await rows.fetch(store, "SELECT id FROM jobs")} == created
    await invariants.all_hold(store)


async def test_of_many_bulks_at_once_each_passes_whole_or_not_at_all(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answers = await asyncio.gather(*(create_many(client, alice, 3) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 17
    for answer in answers:
        if answer.status_code == 429:
            assert_refused(answer, active=9, limit=10)
    assert await active(store, alice) == 9
    sizes = await rows.fetch(
        store,
        "SELECT count(j.id) AS jobs FROM job_groups g LEFT JOIN jobs j ON j.group_id = g.id GROUP BY g.id",
    )
    assert [row["jobs"] for row in sizes] == [3, 3, 3]


async def test_single_and_bulk_requests_share_the_limit(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    requests = [create_many(client, alice, 4) for _ in range(10)] + [create(client, alice) for _ in range(20)]

    answers = await asyncio.gather(*requests)

    assert {answer.status_code for answer in answers} == {202, 429}
    assert await active(store, alice) == 10


async def test_a_bulk_that_does_not_fit_is_refused_whole(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create_many(client, alice, 8)

    assert_refused(await create_many(client, alice, 3), active=8, limit=10)
    assert await active(store, alice) == 8
    assert await rows.value(store, "SELECT count(*) FROM job_groups") == 1
    assert (await create_many(client, alice, 2)).status_code == 202
    assert_refused(await create_many(client, alice, 1), active=10, limit=10)
    assert await active(store, alice) == 10


async def test_more_jobs_than_anybody_may_ask_for_are_too_many_whatever_the_limit(
    client: httpx.AsyncClient, alice: Account
) -> None:
    answer = await create_many(client, alice, 1001)

    assert (answer.status_code, answer.json()["code"]) == (400, "too_many_jobs")


# Room again


async def test_there_is_room_again_once_a_job_has_ended(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create_many(client, alice, 10)
    worker = await jobs.worker(store)

    async def room_after(*ends: Any) -> int:
        """How many more jobs are let in once one job has come to each of these ends."""
        for end in ends:
            await end(store, await jobs.claim(store, worker))
        before = await active(store, alice)
        while (await create(client, alice)).status_code == 202:
            pass
        return await active(store, alice) - before

    async def run_on(_: Database, __: Any) -> None:
        """A running job is as unfinished as a pending one."""

    async def fail_for_good(store: Database, job: Any) -> None:
        await jobs.fail(store, job, is_retryable=False)

    assert await room_after() == 0
    assert await room_after(run_on, jobs.fail, jobs.release) == 0
    assert await room_after(jobs.complete) == 1
    assert await room_after(fail_for_good, jobs.stop) == 2
    assert await active(store, alice) == 10


async def test_a_cancelled_job_makes_room(client: httpx.AsyncClient, alice: Account) -> None:
    created = (await create_many(client, alice, 10)).json()
    assert_refused(await create(client, alice))

    await client.delete(f"/jobs/{created['job_ids'][0]}", headers=alice.headers)

    assert (await create(client, alice)).status_code == 202
    assert_refused(await create(client, alice))


# Whoever asked before


async def test_a_replay_is_answered_when_nothing_more_is_let_in(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    key = {"Idempotency-Key": "order-7"}
    first = await create(client, alice, **key)
    first_group = await create_many(client, alice, 9, **key)
    assert (first.status_code, first_group.status_code) == (202, 202)

    again = await create(client, alice, **key)
    group_again = await create_many(client, alice, 9, **key)

    for replay, original in ((again, first), (group_again, first_group)):
        assert (replay.status_code, replay.json()) == (200, original.json())
        assert replay.headers["idempotent-replayed"] == "true"
    assert await active(store, alice) == 10


async def test_a_key_is_still_held_to_its_request_when_nothing_more_is_let_in(
    client: httpx.AsyncClient, alice: Account
) -> None:
    key = {"Idempotency-Key": "order-7"}
    await create(client, alice, **key)
    await create_many(client, alice, 9, **key)

    other = await client.post(CREATE, json={"texts": ["y"]}, headers={**alice.headers, **key})
    other_group = await create_many(client, alice, 3, **key)

    for answer in (other, other_group):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert_refused(await create(client, alice, **{"Idempotency-Key": "order-8"}))
    assert_refused(await create_many(client, alice, 1, **{"Idempotency-Key": "order-8"}))


async def test_the_last_place_taken_under_one_key_many_times_at_once_is_one_job(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create_many(client, alice, 9)

    answers = await asyncio.gather(
        *(create(client, alice, **{"Idempotency-Key": "the-last"}) for _ in range(12))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [202]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert await active(store, alice) == 10


# Others


async def test_another_user_is_not_affected(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await create_many(client, mallory, 10)
    assert_refused(await create(client, mallory))

    answers = await asyncio.gather(*(create(client, alice) for _ in range(10)))

    assert [answer.status_code for answer in answers] == [202] * 10
    assert await active(store, alice) == await active(store, mallory) == 10


# The price


@asynccontextmanager
async def locked(store: Database, who: Account) -> AsyncIterator[None]:
    """Somebody else holds the lock on the user's row for as long as the body takes."""
    async with rows.transaction(store) as connection:
        await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", who.id)
        yield


async def waits_for_the_lock(store: Database) -> bool:
    """Whether somebody waits to count a user's jobs."""
    return bool(
        await rows.value(
            store,
            """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query LIKE '%FROM users u %FOR NO KEY UPDATE OF u'""",
        )
    )


@pytest.fixture
def remembered(app: FastAPI, store: Database, limit: int) -> None:
    """A count is remembered for as long as any test takes."""
    replace_state(app, quota=Quota(store, limit, count_lifetime_seconds=3600.0))


@pytest.fixture
def forgotten(app: FastAPI, store: Database, limit: int) -> None:
    """No count is remembered."""
    replace_state(app, quota=Quota(store, limit, count_lifetime_seconds=0.0))


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("limit", [FAR_ABOVE])
async def test_far_below_the_limit_nobody_waits_for_a_lock_once_the_jobs_were_counted(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create(client, alice)

    async with locked(store, alice):
        answers = await asyncio.gather(*(create(client, alice) for _ in range(8)))

    assert [answer.status_code for answer in answers] == [202] * 8


@pytest.mark.parametrize("limit", [FAR_ABOVE])
async def test_one_request_counts_again_before_the_count_is_old_and_the_others_go_on(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database, limit: int
) -> None:
    now = 0.0
    replace_state(app, quota=Quota(store, limit, count_lifetime_seconds=10.0, clock=lambda: now))
    await create(client, alice)
    now = 6.0

    async with asyncio.TaskGroup() as group, locked(store, alice):
        counting = group.create_task(create(client, alice))
        await until(lambda: waits_for_the_lock(store))
        answers = await asyncio.gather(*(create(client, alice) for _ in range(8)))

    assert [answer.status_code for answer in answers] == [202] * 8
    assert counting.result().status_code == 202


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("limit", [FAR_ABOVE])
async def test_one_users_count_says_nothing_of_anothers(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await create(client, mallory)

    await assert_waits_its_turn(client, alice, store)


@pytest.mark.parametrize("limit", [FAR_ABOVE])
@pytest.mark.parametrize("uptime_seconds", [0.0, 0.5, 1e9])
async def test_a_user_who_was_never_counted_is_counted_however_long_the_machine_has_been_up(
    app: FastAPI,
    client: httpx.AsyncClient,
    alice: Account,
    store: Database,
    limit: int,
    uptime_seconds: float,
) -> None:
    replace_state(app, quota=Quota(store, limit, clock=lambda: uptime_seconds))

    await assert_waits_its_turn(client, alice, store)


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("limit", [FAR_ABOVE])
async def test_a_count_that_is_old_is_made_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create(client, alice)

    await assert_waits_its_turn(client, alice, store)


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("limit", [10, 10_000])
async def test_near_the_limit_everybody_waits_to_be_counted(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create(client, alice)

    await assert_waits_its_turn(client, alice, store)


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("limit", [FAR_ABOVE])
async def test_many_jobs_at_once_are_always_counted(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await create(client, alice)

    await assert_waits_its_turn(client, alice, store, jobs_at_once=2)


async def assert_waits_its_turn(
    client: httpx.AsyncClient, who: Account, store: Database, *, jobs_at_once: int | None = None
) -> None:
    """A request of this user waits while the user's row is locked, and passes when it is free."""
    before = await active(store, who)
    async with asyncio.TaskGroup() as group, locked(store, who):
        request = create(client, who) if jobs_at_once is None else create_many(client, who, jobs_at_once)
        waiting = group.create_task(request)
        await until(lambda: waits_for_the_lock(store))
        assert await active(store, who) == before
    assert waiting.result().status_code == 202
    assert await active(store, who) == before + (jobs_at_once or 1)


# Trying again


async def failed_jobs(client: httpx.AsyncClient, alice: Account, store: Database, count: int) -> list[str]:
    """So many jobs of hers that failed for good."""
    await create_many(client, alice, count)
    worker = await jobs.worker(store)
    claimed = await jobs.claim_all(store, worker)
    for job in claimed:
        await jobs.fail(store, job, is_retryable=False)
    return [str(job.id) for job in claimed]


async def test_a_job_that_is_tried_again_counts_as_a_new_one(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    [failed] = await failed_jobs(client, alice, store, 1)
    await create_many(client, alice, 10)

    assert_refused(await client.post(f"/jobs/{failed}/retry", headers=alice.headers), active=10, limit=10)
    assert_refused(
        await client.post(f"/dead-letters/{failed}/retry", headers=alice.headers), active=10, limit=10
    )
    assert await active(store, alice) == 10


async def test_dead_letters_are_tried_again_all_of_them_or_none(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await failed_jobs(client, alice, store, 5)
    await create_many(client, alice, 6)

    refused = await client.post("/dead-letters/retry", json={"all": True}, headers=alice.headers)
    assert_refused(refused, active=6, limit=10)
    assert await active(store, alice) == 6

    for job in await jobs.claim_all(store, await jobs.worker(store)):
        await jobs.complete(store, job)
    retried = await client.post("/dead-letters/retry", json={"all": True}, headers=alice.headers)
    assert (retried.status_code, len(retried.json()["job_ids"])) == (202, 5)


async def test_requests_at_the_same_moment_do_not_get_past_the_quota(store: Database) -> None:
    owner_id = await jobs.user(store)
    quota = Quota(store, limit=5)

    async def submit() -> None:
        with suppress(TooManyActiveJobs):
            async with quota.admit(owner_id) as connection:
                await jobs.create(OneConnection(connection), owner_id)

    await asyncio.gather(*(submit() for _ in range(8)))
    await asyncio.gather(*(submit() for _ in range(8)))

    assert await rows.value(store, "SELECT count(*) FROM jobs") == 5
