"""How much a user may ask for of one job, and how many run at a time."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.audit.values import COMMAND_LINE
from app.auth.roles import Role
from app.core.config import ClaimOrder, Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import explanations, transitions
from app.jobs.unit_of_work import UnitOfWork
from app.quotas import commands
from app.quotas.values import OwnQuotas
from tests.support import jobs, rows
from tests.support.accounts import Account, set_role
from worker.claimer import Claimer

CREATE = "/jobs/batch-predict"
JOB = {"texts": ["x"]}
ASKED: list[tuple[dict[str, Any], str, Any]] = [
    ({"time_limit_seconds": 101}, "time_limit_seconds", 100),
    ({"max_attempts": 6}, "max_attempts", 5),
    ({"priority": "critical"}, "priority", "high"),
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {"max_job_seconds": 100, "max_job_attempts": 5, "max_job_priority": "high"}
    return settings.model_copy(update=limits)


@pytest.mark.parametrize(("options", "field", "limit"), ASKED)
async def test_a_user_who_asks_for_too_much_is_told_what_the_limit_is(
    client: httpx.AsyncClient,
    store: Database,
    alice: Account,
    options: dict[str, Any],
    field: str,
    limit: Any,
) -> None:
    alone = await client.post(CREATE, json=JOB | options, headers=alice.headers)
    bulk = {"jobs": [{"kind": "batch_predict", **JOB}, {"kind": "batch_predict", **JOB, **options}]}
    together = await client.post("/jobs/bulk", json=bulk, headers=alice.headers)

    for answer in (alone, together):
        assert (answer.status_code, answer.json()["code"]) == (422, "job_limit_exceeded"), answer.text
        assert (answer.json()["field"], answer.json()["limit"]) == (field, limit)
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


async def test_a_user_may_ask_for_as_much_as_the_limits_and_an_administrator_for_more(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await rows.execute(store, "UPDATE users SET role = 'admin' WHERE id = $1", mallory.id)
    most = {"time_limit_seconds": 100, "max_attempts": 5, "priority": "high"}

    assert (await client.post(CREATE, json=JOB | most, headers=alice.headers)).status_code == 202
    for options, _, _ in ASKED:
        answer = await client.post(CREATE, json=JOB | options, headers=mallory.headers)
        assert answer.status_code == 202, answer.text


async def test_an_operator_may_ask_for_more_too(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await set_role(store, mallory.id, Role.OPERATOR)

    for options, _, _ in ASKED:
        answers = [
            await client.post(CREATE, json=JOB | options, headers=who.headers) for who in (mallory, alice)
        ]
        assert [answer.status_code for answer in answers] == [202, 422]


async def test_a_job_that_says_nothing_gets_no_more_than_the_limits(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await client.post(CREATE, json=JOB, headers=alice.headers)

    [job] = await rows.fetch(store, "SELECT * FROM jobs")
    assert (job["time_limit_seconds"], job["soft_limit_seconds"], job["max_attempts"]) == (100, 100, 3)


async def test_an_owner_whose_jobs_run_leaves_the_other_slots_to_others(
    store: Database, alice: Account, mallory: Account
) -> None:
    worker_id = await jobs.worker(store, slots=4)
    of_alice = [await jobs.create(store, alice.id) for _ in range(4)]
    of_mallory = await jobs.create(store, mallory.id)

    async def claim(max_running: int) -> list[Any]:
        async with store.connection() as connection:
            return await transitions.claim(
                UnitOfWork(connection),
                queue="default",
                kinds=[jobs.KIND],
                worker_id=worker_id,
                limit=1,
                max_running=max_running,
            )

    claimed = [job for _ in range(5) for job in await claim(2)]

    assert [job.id for job in claimed] == [of_alice[0], of_mallory, of_alice[1]]
    await jobs.complete(store, claimed[0])
    assert [job.id for job in await claim(2)] == of_alice[2:3]
    assert [job.id for job in await claim(0)] == of_alice[3:]


async def test_the_number_of_running_jobs_that_is_set_for_a_user_applies_to_that_user(
    store: Database, resources: Resources, alice: Account, mallory: Account
) -> None:
    worker_id = await jobs.worker(store, slots=4)
    of_alice = [await jobs.create(store, alice.id) for _ in range(4)]
    of_mallory = [await jobs.create(store, mallory.id) for _ in range(4)]
    await set_running(store, alice.id, 1)

    async def claim(max_running: int, slots: int) -> list[Any]:
        claimer = Claimer(store, resources.hints, worker_id, (jobs.KIND,), max_running=max_running)
        claimed = await asyncio.gather(*(claimer.claim("default") for _ in range(slots)))
        return [job.id for job in claimed if job is not None]

    # Without a limit for all users, in one group; then with one that is lower than what is set.
    assert await claim(0, 3) == [of_alice[0], *of_mallory[:2]]
    await set_running(store, mallory.id, 3)
    assert await claim(1, 4) == [of_mallory[2]]
    await set_running(store, alice.id, 0)
    await set_running(store, mallory.id, None)
    assert await claim(1, 4) == of_alice[1:]


@pytest.mark.parametrize("order", ClaimOrder)
async def test_a_number_that_is_set_applies_to_the_next_claim_of_a_worker_that_knew_of_none(
    store: Database, resources: Resources, alice: Account, mallory: Account, order: ClaimOrder
) -> None:
    worker_id = await jobs.worker(store, slots=4)
    of_alice = [await jobs.create(store, alice.id) for _ in range(3)]
    claimer = Claimer(store, resources.hints, worker_id, (jobs.KIND,), order=order)

    async def claim() -> UUID | None:
        claimed = await claimer.claim("default")
        return None if claimed is None else claimed.id

    assert await claim() == of_alice[0]
    await set_running(store, alice.id, 1)
    assert await claim() is None
    of_mallory = await jobs.create(store, mallory.id)
    assert await claim() == of_mallory
    await set_running(store, alice.id, 2)
    assert await claim() == of_alice[1]
    assert await claim() is None


async def set_running(store: Database, user_id: UUID, count: int | None) -> None:
    async with store.transaction() as connection:
        await commands.set_quotas(connection, user_id, OwnQuotas(max_running_jobs=count), by=COMMAND_LINE)


async def test_a_job_that_waits_for_the_jobs_of_its_owner_says_so(store: Database, alice: Account) -> None:
    await jobs.running(store, alice.id)
    waiting = await jobs.read(store, await jobs.create(store, alice.id))

    async def code(max_running: int) -> str:
        async with store.connection() as connection:
            conditions = replace(jobs.CONDITIONS, max_running=max_running)
            explained = await explanations.explain(connection, waiting, conditions)
        return explained["code"]

    assert await code(1) == "owner_limit"
    assert await code(2) == await code(0) == "next"
