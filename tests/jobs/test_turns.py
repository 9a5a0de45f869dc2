"""Owners take turns: whose job is claimed next, whatever the others have submitted."""

import asyncio
import heapq
from collections import Counter, deque
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.core.config import ClaimOrder, Settings
from app.core.database import Database
from app.jobs import explanations, transitions, turns
from app.jobs.job import Job
from app.jobs.states import Priority
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from tests.support import jobs, rows

FLOOD = 100_000


async def users(database: Database, number: int) -> list[UUID]:
    return [await jobs.user(database) for _ in range(number)]


async def claim_one(database: Database, worker_id: UUID) -> ClaimedJob:
    [claimed] = await jobs.claim_all(database, worker_id, limit=1)
    return claimed


async def age(database: Database, job_id: UUID, hours: float) -> None:
    """The job has been due for so long."""
    await rows.execute(
        database,
        "UPDATE jobs SET run_at = run_at - $2::interval, sort_key = sort_key - $2::interval WHERE id = $1",
        job_id,
        timedelta(hours=hours),
    )


# Between owners


async def test_behind_a_hundred_thousand_jobs_of_another_a_job_is_among_the_next_two(
    database: Database,
) -> None:
    flooder, patient = await users(database, 2)
    await jobs.flood(database, flooder, FLOOD)
    await rows.execute(database, "ANALYZE jobs")
    worker_id = await jobs.worker(database, slots=8)

    for slots in (1, 2, 8):
        job_id = await jobs.create(database, patient)
        claimed: list[ClaimedJob] = []
        while len(claimed) < 2:
            claimed += await jobs.claim_all(database, worker_id, limit=slots)
        assert job_id in [job.id for job in claimed[:2]], slots
        for job in claimed:
            await jobs.stop(database, job)


async def test_ten_owners_take_turns_on_one_slot_however_long_their_jobs_have_been_due(
    database: Database,
) -> None:
    owners = await users(database, 10)
    for hours, owner in enumerate(owners):
        await jobs.flood(database, owner, 30)
        await rows.execute(
            database,
            "UPDATE jobs SET run_at = run_at - $2::interval, sort_key = sort_key - $2::interval"
            " WHERE owner_id = $1",
            owner,
            timedelta(hours=hours),
        )
    worker_id = await jobs.worker(database)

    started = []
    for _ in range(30 * len(owners)):
        job = await claim_one(database, worker_id)
        started.append(job.owner_id)
        await jobs.stop(database, job)

    assert started == owners[::-1] * 30


async def test_slots_that_claim_at_once_are_divided_among_the_owners(database: Database) -> None:
    first, second, third = owners = await users(database, 3)
    for owner in owners:
        await jobs.flood(database, owner, 20)

    claimed = await jobs.claim_all(database, await jobs.worker(database, slots=8), limit=8)

    assert [job.owner_id for job in claimed] == [first, second, third] * 2 + [first, second]


async def test_one_who_has_waited_for_hours_gets_no_more_of_what_is_claimed_at_once(
    database: Database,
) -> None:
    early, late = await users(database, 2)
    for owner, hours in ((early, 5.0), (late, 0.5)):
        for _ in range(4):
            await age(database, await jobs.create(database, owner), hours)

    claimed = await jobs.claim_all(database, await jobs.worker(database, slots=4), limit=4)

    assert [job.owner_id for job in claimed] == [early, late, early, late]


async def test_running_jobs_of_all_queues_count(database: Database) -> None:
    busy, idle = await users(database, 2)
    await jobs.running(database, busy, queue="gpu")
    await age(database, await jobs.create(database, busy), 0.5)
    job_id = await jobs.create(database, idle)

    assert (await jobs.claim(database)).id == job_id


async def test_of_six_slots_one_with_twice_the_share_gets_four(database: Database) -> None:
    double, single = await users(database, 2)
    await rows.execute(database, "UPDATE users SET share = 2 WHERE id = $1", double)
    for owner in (double, single):
        await jobs.flood(database, owner, 150)
    worker_id = await jobs.worker(database, slots=6)

    running: deque[ClaimedJob] = deque()
    started: Counter[UUID] = Counter()
    for _ in range(150):
        if len(running) == 6:
            await jobs.stop(database, running.popleft())
        running.append(await claim_one(database, worker_id))
        started[running[-1].owner_id] += 1

    assert started == {double: 100, single: 50}


async def test_short_and_long_jobs_hold_the_slots_equally_long(database: Database) -> None:
    short, long = await users(database, 2)
    seconds = {short: 1, long: 20}
    for owner in seconds:
        await jobs.flood(database, owner, 700)
    worker_id = await jobs.worker(database, slots=8)

    held: Counter[UUID] = Counter()
    number = count()
    running: list[tuple[int, int, ClaimedJob]] = []
    now = 0
    while now < 100:
        job = await claim_one(database, worker_id)
        heapq.heappush(running, (now + seconds[job.owner_id], next(number), job))
        if len(running) == 8:
            now, _, ended = heapq.heappop(running)
            held[ended.owner_id] += seconds[ended.owner_id]
            await jobs.stop(database, ended)

    assert 0.45 <= held[short] / held.total() <= 0.55, held


# Within an owner


@pytest.mark.parametrize("order", ClaimOrder)
async def test_within_an_owner_jobs_start_by_priority_and_due_time(
    database: Database, order: ClaimOrder
) -> None:
    owner = await jobs.user(database)
    for hours in (0, 3, 8, 30):
        for priority in Priority:
            await age(database, await jobs.create(database, owner, priority=priority), hours)
    await jobs.create(database, owner, priority=Priority.CRITICAL, delay=timedelta(hours=1))
    expected = await rows.fetch(
        database, "SELECT id FROM jobs WHERE run_at <= now() ORDER BY sort_key, id LIMIT 16"
    )

    worker_id = await jobs.worker(database)
    claimed = await jobs.claim_all(database, worker_id, limit=8, order=order)
    claimed += await jobs.claim_all(database, worker_id, limit=8, order=order)

    assert [job.id for job in claimed] == [row["id"] for row in expected]


async def test_priority_counts_between_owners_only_if_that_is_set(database: Database) -> None:
    normal = await jobs.create(database)
    urgent = await jobs.create(database, priority=Priority.CRITICAL)
    worker_id = await jobs.worker(database)

    async def first(order: ClaimOrder) -> UUID:
        [job] = await jobs.claim_all(database, worker_id, limit=1, order=order)
        await jobs.release(database, job)
        return job.id

    assert await first(ClaimOrder.TURNS) == normal
    assert await first(ClaimOrder.PRIORITY) == urgent


async def test_a_delayed_job_at_the_head_does_not_put_off_the_other_jobs_of_its_owner(
    database: Database,
) -> None:
    planner, other = await users(database, 2)
    delayed = await jobs.create(database, planner, priority=Priority.CRITICAL, delay=timedelta(hours=1))
    for owner in (planner, other):
        await jobs.flood(database, owner, 3)

    claimed = await jobs.claim_all(database, await jobs.worker(database, slots=8), limit=8)

    assert [job.owner_id for job in claimed] == [planner, other] * 3
    assert (await rows.job(database, delayed))["attempt"] == 0


async def test_a_kind_that_the_worker_does_not_know_does_not_block_its_owner(database: Database) -> None:
    inventor, other = await users(database, 2)
    unknown = [await jobs.create(database, inventor, kind="from_the_future") for _ in range(20)]
    known = [await jobs.create(database, owner) for owner in (inventor, other)]
    worker_id = await jobs.worker(database, slots=8)

    assert [job.id for job in await jobs.claim_all(database, worker_id, limit=8)] == known
    assert not await jobs.claim_all(database, worker_id, limit=8)
    assert len(await jobs.claim_all(database, worker_id, kinds=["from_the_future"])) == len(unknown)


# Many at once


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_pool_size": 16})


async def test_twelve_workers_that_claim_at_once_get_different_jobs_and_none_goes_without(
    database: Database,
) -> None:
    for owner in await users(database, 3):
        await jobs.flood(database, owner, 120)
    workers = [await jobs.worker(database, slots=8) for _ in range(12)]

    claimed: list[UUID] = []
    for _ in range(3):
        answers = await asyncio.gather(*(jobs.claim_all(database, one, limit=8) for one in workers))
        assert [len(answer) for answer in answers] == [8] * 12
        claimed += [job.id for answer in answers for job in answer]

    assert len(set(claimed)) == len(claimed) == 288


async def test_a_slot_does_not_stay_idle_while_another_claim_locks_the_candidates(
    database: Database,
) -> None:
    owner = await jobs.user(database)
    await jobs.flood(database, owner, turns.CANDIDATES + 1)
    worker_id = await jobs.worker(database)
    async with rows.transaction(database) as connection:
        locked = await connection.fetch(
            "SELECT id FROM jobs ORDER BY sort_key, id LIMIT $1 FOR UPDATE", turns.CANDIDATES
        )
        [claimed] = await jobs.claim_all(database, worker_id, limit=1)

    assert len(locked) == turns.CANDIDATES
    assert claimed.id not in [row["id"] for row in locked]


async def test_a_job_that_was_claimed_between_choosing_and_locking_is_not_claimed_again(
    database: Database,
) -> None:
    owner = await jobs.user(database)
    first, second = [await jobs.create(database, owner) for _ in range(2)]
    workers = [await jobs.worker(database) for _ in range(2)]
    # A statement that reads shares waits for this lock while it runs.
    for statement in (
        "ALTER TABLE users RENAME TO accounts",
        """CREATE FUNCTION held_share() RETURNS double precision VOLATILE LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock(1); RETURN 1; END $$""",
        "CREATE VIEW users AS SELECT id, held_share() AS share FROM accounts",
    ):
        await rows.execute(database, statement)
    async with rows.transaction(database) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(1)")
        in_the_middle = asyncio.create_task(jobs.claim_all(database, workers[0], limit=2))
        await rows.wait_until_blocked(database)
        [faster] = await jobs.claim_all(database, workers[1], limit=1, order=ClaimOrder.PRIORITY)

    assert faster.id == first
    assert [(job.id, job.attempt) for job in await in_the_middle] == [(second, 1)]


@pytest.mark.parametrize(
    ("pending", "limit", "statements"),
    [
        (0, 2, 2),
        (1, 1, 1),
        (1, 2, 1),
        (3, 8, 1),
        (turns.CANDIDATES - 1, turns.CANDIDATES, 1),
        (turns.CANDIDATES, turns.CANDIDATES, 1),
        (turns.CANDIDATES, turns.CANDIDATES + 4, 2),
        (turns.CANDIDATES + 9, turns.CANDIDATES + 4, 2),
    ],
)
async def test_the_rest_is_looked_for_only_where_there_may_be_one(
    database: Database, pending: int, limit: int, statements: int
) -> None:
    """Of three owners, the first of whom has half of the jobs."""
    owners = await users(database, 3)
    for number in range(pending):
        await jobs.create(database, owners[0 if number % 2 else number % 3])

    claimed, sent = await claim_and_count(database, limit)

    assert len(set(claimed)) == min(pending, limit)
    assert sent == statements


async def test_a_job_that_another_claim_has_locked_is_looked_for_again(database: Database) -> None:
    """The other claim may have failed meanwhile."""
    owner = await jobs.user(database)
    first, second = [await jobs.create(database, owner) for _ in range(2)]
    async with rows.transaction(database) as connection:
        await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", first)
        claimed, sent = await claim_and_count(database, 2)

    assert (claimed, sent) == ([second], 2)


async def claim_and_count(database: Database, limit: int) -> tuple[list[UUID], int]:
    """Claim jobs; return their ids, and how many statements it took."""
    worker_id = await jobs.worker(database)
    sent: list[str] = []

    def note(query: Any) -> None:
        if "attempt = j.attempt + 1" in query.query:
            sent.append(query.query)

    async with database.connection() as connection:
        with connection.query_logger(note):
            claimed = await transitions.claim(
                UnitOfWork(connection), queue="default", kinds=[jobs.KIND], worker_id=worker_id, limit=limit
            )
            await asyncio.sleep(0)  # asyncpg calls the logger at the loop's next turn
    return [job.id for job in claimed], len(sent)


async def test_more_owners_than_can_take_turns_are_served_in_order(database: Database) -> None:
    many = turns.MAX_OWNERS + 1
    await rows.execute(
        database,
        """INSERT INTO users (id, username, username_key, password_hash)
        SELECT gen_random_uuid(), 'user ' || n, 'user ' || n, 'none' FROM generate_series(1, $1) n""",
        many,
    )
    owners = [row["id"] for row in await rows.fetch(database, "SELECT id FROM users")]
    for owner in owners:
        await jobs.flood(database, owner, 1, priority=Priority.LOW)
    by_age = [row["id"] for row in await rows.fetch(database, "SELECT id FROM jobs ORDER BY run_at")]
    oldest, newest = by_age[0], by_age[-1]
    await rows.execute(
        database, "UPDATE jobs SET sort_key = sort_key - interval '1 day' WHERE id = $1", newest
    )
    worker_id = await jobs.worker(database)

    claimed = [await claim_one(database, worker_id) for _ in range(2)]
    claimed += await jobs.claim_all(database, worker_id)

    # Now the most urgent one is first; then, with one owner less, the turns count.
    assert [job.id for job in claimed[:2]] == [newest, oldest]
    assert len({job.owner_id for job in claimed}) == many


# With limits on running jobs


@pytest.mark.parametrize("order", ClaimOrder)
async def test_owners_at_their_limit_have_no_turn_however_many_they_are(
    database: Database, order: ClaimOrder
) -> None:
    worker_id = await jobs.worker(database, slots=50)
    full = await users(database, turns.CANDIDATES + 2)
    for owner in full:
        for _ in range(2):
            await jobs.create(database, owner)
    for _ in full:
        await jobs.claim_all(database, worker_id, max_running=1, order=order)
    first, second = await users(database, 2)
    for owner in (first, first, second, second):
        await jobs.create(database, owner)

    claimed = [
        job for _ in range(5) for job in await jobs.claim_all(database, worker_id, max_running=1, order=order)
    ]

    assert [job.owner_id for job in claimed] == [first, second]


async def test_owners_below_their_limit_take_turns(database: Database) -> None:
    first, second = owners = await users(database, 2)
    for owner in owners:
        await jobs.flood(database, owner, 4)
    worker_id = await jobs.worker(database, slots=8)

    claimed = [job for _ in range(8) for job in await jobs.claim_all(database, worker_id, max_running=3)]

    assert [job.owner_id for job in claimed] == [first, second] * 3


# What is told about it


async def explained(connection: asyncpg.Connection, job: Job) -> int:
    told = await explanations.explain(connection, job, jobs.CONDITIONS)
    assert told["position"] is not None
    return told["position"]


async def test_the_positions_are_the_order_in_which_jobs_start(database: Database) -> None:
    due: list[Job] = []
    for number, priority in ((1, Priority.LOW), (4, Priority.HIGH), (2, Priority.NORMAL), (7, Priority.LOW)):
        owner = await jobs.user(database)
        for place in range(number):
            job_id = await jobs.create(database, owner, priority=priority)
            await age(database, job_id, hours=2.5 * (place % 3))
            due.append(await jobs.read(database, job_id))
        await jobs.create(database, owner, priority=Priority.CRITICAL, delay=timedelta(hours=1))
    worker_id = await jobs.worker(database)
    async with database.connection() as connection:
        positions = {job.id: await explained(connection, job) for job in due}

    started = []
    for _ in due:
        job = await claim_one(database, worker_id)
        started.append(job.id)
        await jobs.stop(database, job)

    assert sorted(positions, key=positions.__getitem__) == started
    assert sorted(positions.values()) == list(range(1, len(due) + 1))


async def test_the_positions_are_the_order_in_which_slots_are_filled(database: Database) -> None:
    """With shares, and jobs that already run; none of them ends meanwhile."""
    shares = {await jobs.user(database): share for share in (1.0, 2.0, 0.5)}
    for owner, share in shares.items():
        await rows.execute(database, "UPDATE users SET share = $2 WHERE id = $1", owner, share)
    worker_id = await jobs.worker(database, slots=50)
    busy = next(iter(shares))
    for _ in range(3):
        await jobs.create(database, busy)
        await claim_one(database, worker_id)
    due = [
        await jobs.read(database, await jobs.create(database, owner)) for owner in shares for _ in range(6)
    ]
    async with database.connection() as connection:
        positions = {job.id: await explained(connection, job) for job in due}

    started = [(await claim_one(database, worker_id)).id for _ in due]

    assert sorted(positions, key=positions.__getitem__) == started
    assert sorted(positions.values()) == list(range(1, len(due) + 1))


async def test_a_position_passes_over_owners_at_their_limit(database: Database) -> None:
    full, other = await users(database, 2)
    await jobs.running(database, full)
    await jobs.flood(database, full, 5)
    _, second = [await jobs.create(database, other) for _ in range(2)]
    job = await jobs.read(database, second)

    async with database.connection() as connection:
        limited, unlimited = [
            await explanations.explain(connection, job, replace(jobs.CONDITIONS, max_running_of_others=limit))
            for limit in (1, 0)
        ]

    assert (limited["position"], unlimited["position"]) == (2, 3)
    assert limited["facts"]["other_owners"] == unlimited["facts"]["other_owners"] == 1


async def test_where_too_many_owners_wait_the_position_is_that_of_the_queue(database: Database) -> None:
    await rows.execute(
        database,
        """INSERT INTO users (id, username, username_key, password_hash)
        SELECT gen_random_uuid(), 'user ' || n, 'user ' || n, 'none' FROM generate_series(1, $1) n""",
        turns.MAX_OWNERS,
    )
    for row in await rows.fetch(database, "SELECT id FROM users"):
        await jobs.flood(database, row["id"], 2)
    job = await jobs.read(database, await jobs.create(database))
    await jobs.worker(database)

    async with database.connection() as connection:
        told = await explanations.explain(connection, job, jobs.CONDITIONS)

    assert told["position"] == 2 * turns.MAX_OWNERS + 1
    assert told["sentence"] == f"{2 * turns.MAX_OWNERS} jobs are ahead of it."
