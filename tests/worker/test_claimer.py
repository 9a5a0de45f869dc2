"""The claimer: slots that ask together share one statement, and each hears what came of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from app.core import metrics
from app.core.config import ClaimOrder, Settings
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.core.resources import Resources, open_resources
from app.jobs.states import Priority, Status
from tests.support import jobs, rows
from worker.claimer import Claimer
from worker.lease import Lease

QUEUE = "default"


async def test_slots_that_ask_together_get_a_job_each_and_the_others_nothing(
    database: Database, claimer: Claimer, lease: Lease
) -> None:
    created = {await jobs.create(database) for _ in range(3)}

    answers = await asyncio.gather(*(claimer.claim(QUEUE) for _ in range(5)))

    claimed = [answer for answer in answers if answer is not None]
    assert {job.id for job in claimed} == created
    assert len(claimed) == 3
    for job in claimed:
        row = await rows.job(database, job.id)
        assert (row["status"], row["worker_id"]) == (Status.RUNNING, lease.worker.id)


async def test_more_slots_than_one_statement_serves_get_a_job_each(
    database: Database, claimer: Claimer
) -> None:
    owner_id = await jobs.user(database)
    await jobs.flood(database, owner_id, 20)

    answers = await asyncio.gather(*(claimer.claim(QUEUE) for _ in range(20)))

    assert len({answer.id for answer in answers if answer is not None}) == 20


async def test_a_worker_claims_in_the_order_that_is_set(
    resources: Resources, database: Database, lease: Lease
) -> None:
    patient = [await jobs.create(database) for _ in range(2)]
    urgent = await jobs.create(database, priority=Priority.CRITICAL)

    async def first(order: ClaimOrder) -> UUID | None:
        claimer = Claimer(database, resources.hints, lease.worker.id, (jobs.KIND,), order=order)
        claimed = await claimer.claim(QUEUE)
        return None if claimed is None else claimed.id

    assert await first(ClaimOrder.TURNS) == patient[0]
    assert await first(ClaimOrder.PRIORITY) == urgent
    assert await first(ClaimOrder.TURNS) == patient[1]


async def test_each_claim_of_a_slot_is_counted_by_its_result(database: Database, claimer: Claimer) -> None:
    counters = [metrics.CLAIMS.labels(result) for result in ("job", "empty")]
    before = [counter._value.get() for counter in counters]
    for _ in range(3):
        await jobs.create(database)

    await asyncio.gather(*(claimer.claim(QUEUE) for _ in range(5)))

    assert [counter._value.get() for counter in counters] == [before[0] + 3, before[1] + 2]


class Counted(Database):
    """A database that counts how often a connection is taken."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.connections = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        self.connections += 1
        async with self._database.connection() as connection:
            yield connection


async def test_slots_that_ask_while_a_claim_is_on_its_way_share_the_next_statement(
    resources: Resources, database: Database, lease: Lease
) -> None:
    counted = Counted(database)
    claimer = Claimer(counted, resources.hints, lease.worker.id, (jobs.KIND,))
    async with rows.transaction(database) as connection:
        # The first statement waits here, so that all the others come while it does.
        await connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        asking = [asyncio.create_task(claimer.claim(QUEUE)) for _ in range(8)]
        await rows.wait_until_blocked(database)

    assert await asyncio.gather(*asking) == [None] * 8
    assert counted.connections == 2


async def test_a_job_of_another_queue_is_left_alone(database: Database, claimer: Claimer) -> None:
    await jobs.create(database)

    assert await claimer.claim("another") is None


async def test_every_slot_hears_that_postgres_is_away_and_can_ask_again(
    settings: Settings, lease: Lease
) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://nobody@/nothing?host=/nowhere"})
    async with open_resources(away) as nothing:
        claimer = Claimer(nothing.database, nothing.hints, lease.worker.id, (jobs.KIND,))
        for _ in range(2):
            answers = await asyncio.gather(*(claimer.claim(QUEUE) for _ in range(4)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 4


async def test_a_slot_that_is_cancelled_while_it_waits_takes_nothing_from_the_others(
    database: Database, claimer: Claimer
) -> None:
    async with rows.transaction(database) as connection:
        await connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        first, second = (asyncio.create_task(claimer.claim(QUEUE)) for _ in range(2))
        await rows.wait_until_blocked(database)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
    assert await first is None
    job_id = await jobs.create(database)
    claimed = await claimer.claim(QUEUE)

    assert claimed is not None
    assert claimed.id == job_id


async def test_a_closed_claimer_claims_nothing_not_even_for_a_slot_that_waits(
    database: Database, claimer: Claimer
) -> None:
    job_id = await jobs.create(database)
    async with rows.transaction(database) as connection:
        await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", job_id)
        await connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        first, second = (asyncio.create_task(claimer.claim(QUEUE)) for _ in range(2))
        await rows.wait_until_blocked(database)
        third = asyncio.create_task(claimer.claim(QUEUE))
        await asyncio.sleep(0)
        claimer.close()
    answers = await asyncio.gather(first, second, third)

    # The statement that was under way has claimed the job; the others found nothing to do.
    assert [answer and answer.id for answer in answers] == [job_id, None, None]
    await jobs.create(database)
    assert await claimer.claim(QUEUE) is None
    assert await claimer.count_due([QUEUE], 10) == 0
