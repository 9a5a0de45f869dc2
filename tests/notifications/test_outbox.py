"""A delivery exists exactly when its event does, for exactly the subscriptions that match."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import pytest

from app.core import ids
from app.core.database import Database
from app.jobs import transitions
from app.jobs.unit_of_work import UnitOfWork
from app.notifications import outbox
from app.notifications.outbox import Event
from app.notifications.states import DeliveryStatus, NotificationType
from tests.notifications import subscribing
from tests.notifications.subscribing import ALL_OF_JOBS
from tests.support import jobs

QUEUE = "told"
METADATA = {"team": "a", "stage": "test"}


async def group(database: Database, owner_id: UUID) -> UUID:
    group_id = ids.new_id()
    async with database.connection() as connection:
        await connection.execute("INSERT INTO job_groups (id, owner_id) VALUES ($1, $2)", group_id, owner_id)
    return group_id


async def create(
    database: Database, owner_id: UUID, group_id: UUID | None = None, schedule_id: UUID | None = None
) -> UUID:
    job_id = await jobs.create(database, owner_id, queue=QUEUE, metadata=METADATA, rows=5)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE jobs SET group_id = $2, schedule_id = $3 WHERE id = $1", job_id, group_id, schedule_id
        )
    return job_id


async def start(database: Database, _job_id: UUID) -> None:
    await jobs.claim(database, queue=QUEUE)


async def retry(database: Database, _job_id: UUID) -> None:
    await jobs.fail(database, await jobs.claim(database, queue=QUEUE), delay_seconds=3600)


async def complete(database: Database, _job_id: UUID) -> None:
    await jobs.complete(database, await jobs.claim(database, queue=QUEUE))


async def fail(database: Database, _job_id: UUID) -> None:
    await jobs.fail(database, await jobs.claim(database, queue=QUEUE), is_retryable=False)


async def cancel(database: Database, job_id: UUID) -> None:
    await jobs.cancel(database, job_id)


# What happens to a job, and which notifications that makes.
STORIES: Mapping[str, tuple[Callable[[Database, UUID], Awaitable[None]], list[str]]] = {
    "started": (start, ["job.started"]),
    "retrying": (retry, ["job.started", "job.retrying"]),
    "completed": (complete, ["job.started", "job.completed"]),
    "failed": (fail, ["job.started", "job.failed"]),
    "cancelled": (cancel, ["job.cancelled"]),
}


def filters(job_id: UUID, group_id: UUID, schedule_id: UUID) -> dict[str, tuple[Any, Any]]:
    """For each filter a value that matches the job, and one that does not."""
    return {
        "kind": (jobs.KIND, "train_model"),
        "queue": (QUEUE, "default"),
        "model": ("sentiment", "churn"),
        "job_id": (job_id, ids.new_id()),
        "group_id": (group_id, ids.new_id()),
        "schedule_id": (schedule_id, ids.new_id()),
        "metadata": ({"team": "a"}, {"team": "b"}),
    }


async def written(database: Database, subscription_id: UUID) -> list[str]:
    return [delivery.type for delivery in await subscribing.deliveries(database, subscription_id)]


@pytest.mark.parametrize("story", STORIES)
async def test_each_filter_lets_through_what_matches_and_nothing_else(
    database: Database, owner_id: UUID, story: str
) -> None:
    group_id = await group(database, owner_id)
    schedule_id = ids.new_id()
    job_id = await create(database, owner_id, group_id, schedule_id)
    matching, other = {}, {}
    for name, (match, mismatch) in filters(job_id, group_id, schedule_id).items():
        matching[name] = await subscribing.subscribe(database, owner_id, **{name: match})
        other[name] = await subscribing.subscribe(database, owner_id, **{name: mismatch})
    happen, expected = STORIES[story]

    await happen(database, job_id)

    assert {name: await written(database, one) for name, one in matching.items()} == dict.fromkeys(
        matching, expected
    )
    assert [await written(database, one) for one in other.values()] == [[]] * len(other)


@pytest.mark.parametrize("story", STORIES)
async def test_a_subscription_gets_the_types_that_it_names(
    database: Database, owner_id: UUID, story: str
) -> None:
    of_one = {type_: await subscribing.subscribe(database, owner_id, events=[type_]) for type_ in ALL_OF_JOBS}
    job_id = await create(database, owner_id)
    happen, expected = STORIES[story]

    await happen(database, job_id)

    for type_, subscription in of_one.items():
        assert await written(database, subscription) == [one for one in expected if one == type_]


async def test_only_active_subscriptions_of_the_owner_get_anything(
    database: Database, owner_id: UUID
) -> None:
    other = await jobs.user(database)
    silent = [
        await subscribing.subscribe(database, owner_id, status="pending"),
        await subscribing.subscribe(database, owner_id, status="disabled"),
        await subscribing.subscribe(database, other),
    ]
    job_id = await create(database, owner_id)

    await complete(database, job_id)

    assert [await written(database, one) for one in silent] == [[], [], []]


async def test_all_filters_must_match(database: Database, owner_id: UUID) -> None:
    both = await subscribing.subscribe(database, owner_id, kind=jobs.KIND, queue=QUEUE)
    one = await subscribing.subscribe(database, owner_id, kind=jobs.KIND, queue="default")
    job_id = await create(database, owner_id)

    await cancel(database, job_id)

    assert (await written(database, both), await written(database, one)) == (["job.cancelled"], [])


async def test_a_training_matches_by_the_name_of_the_model_that_it_makes(
    database: Database, owner_id: UUID
) -> None:
    subscription = await subscribing.subscribe(database, owner_id, model="churn")
    job_id = await create(database, owner_id)
    async with database.connection() as connection:
        await connection.execute("UPDATE jobs SET params = $2 WHERE id = $1", job_id, {"model": "churn"})

    await cancel(database, job_id)

    assert await written(database, subscription) == ["job.cancelled"]


async def test_a_delivery_refers_to_the_event_and_is_due_now(database: Database, owner_id: UUID) -> None:
    subscription = await subscribing.subscribe(database, owner_id, events=["job.completed"])
    later = await subscribing.subscribe(database, owner_id, events=["job.completed"], gather_seconds=30)
    job_id = await create(database, owner_id)

    await complete(database, job_id)

    [delivery] = await subscribing.deliveries(database, subscription)
    [gathered] = await subscribing.deliveries(database, later)
    job = await jobs.read(database, job_id)
    assert (delivery.job_id, delivery.seq, delivery.data) == (job_id, job.last_seq, None)
    assert (delivery.status, delivery.tries) == (DeliveryStatus.PENDING, 0)
    assert delivery.next_try_at == delivery.created_at
    assert gathered.next_try_at is not None
    assert (gathered.next_try_at - gathered.created_at).total_seconds() == 30


async def test_a_settle_that_is_rolled_back_leaves_none(database: Database, owner_id: UUID) -> None:
    subscription = await subscribing.subscribe(database, owner_id, events=["job.completed"])
    await create(database, owner_id)
    claimed = await jobs.claim(database, queue=QUEUE)
    report = jobs.report(claimed, count=1, is_final=True)

    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        settled = await transitions.advance(UnitOfWork(connection), worker_id=ids.new_id(), reports=[report])
        await transaction.rollback()

    assert settled
    assert await written(database, subscription) == []


async def test_a_settle_that_the_fence_refuses_leaves_none(database: Database, owner_id: UUID) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, events=["job.completed", "job.failed", "job.retrying"]
    )
    await create(database, owner_id)
    claimed = await jobs.claim(database, queue=QUEUE)

    stale = jobs.report(claimed, count=1, is_final=True, attempt=claimed.attempt + 1)

    assert await jobs.advance(database, stale) == {}
    assert await written(database, subscription) == []


async def test_progress_and_creation_are_not_told(database: Database, owner_id: UUID) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, events=[*ALL_OF_JOBS, "job.progress", "job.created"]
    )
    await jobs.create(database, owner_id, queue=QUEUE, rows=25)
    claimed = await jobs.claim(database, queue=QUEUE)

    await jobs.commit(database, claimed)

    assert await written(database, subscription) == ["job.started"]


async def test_events_that_are_no_jobs_are_written_for_the_subscriptions_of_their_owners(
    database: Database, owner_id: UUID
) -> None:
    other = await jobs.user(database)
    schedule, neighbour = ids.new_id(), ids.new_id()
    named = await subscribing.subscribe(database, owner_id, events=["schedule.missed", "schedule.paused"])
    of_it = await subscribing.subscribe(
        database, owner_id, events=["schedule.missed"], schedule_id=schedule, kind="train_model"
    )
    of_other = await subscribing.subscribe(database, other, events=["schedule.missed"])
    silent = [
        await subscribing.subscribe(database, owner_id, events=["job.failed"]),
        await subscribing.subscribe(database, owner_id, events=["schedule.missed"], schedule_id=ids.new_id()),
        await subscribing.subscribe(database, owner_id, events=["schedule.missed"], status="disabled"),
    ]

    def event(of: UUID, owner: UUID, type_: NotificationType = NotificationType.SCHEDULE_MISSED) -> Event:
        return Event(owner_id=owner, type=type_, data={"schedule_id": of}, schedule_id=of)

    async with database.transaction() as connection:
        count = await outbox.add(
            connection,
            [
                event(schedule, owner_id),
                event(neighbour, owner_id),
                event(schedule, owner_id, NotificationType.SCHEDULE_PAUSED),
                event(ids.new_id(), other),
            ],
        )

    async def of_type(subscription: UUID) -> list[tuple[str, str]]:
        found = await subscribing.deliveries(database, subscription)
        ordered = sorted(found, key=lambda delivery: delivery.next_try_at or delivery.created_at)
        return [(one.type, (one.data or {})["schedule_id"]) for one in ordered]

    assert count == 5
    assert await of_type(named) == [
        ("schedule.missed", str(schedule)),
        ("schedule.missed", str(neighbour)),
        ("schedule.paused", str(schedule)),
    ]
    assert await of_type(of_it) == [("schedule.missed", str(schedule))]
    assert len(await of_type(of_other)) == 1
    assert [await of_type(one) for one in silent] == [[], [], []]


async def test_an_event_is_due_when_its_subscription_has_gathered(database: Database, owner_id: UUID) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, events=["schedule.missed"], gather_seconds=30
    )
    async with database.transaction() as connection:
        await outbox.add(
            connection, [Event(owner_id=owner_id, type=NotificationType.SCHEDULE_MISSED, data={})]
        )

    [delivery] = await subscribing.deliveries(database, subscription)
    assert delivery.next_try_at is not None
    assert (delivery.next_try_at - delivery.created_at).total_seconds() == 30


async def test_no_events_cost_no_statement() -> None:
    class Untouched:
        """A connection of which any use fails."""

    assert await outbox.add(Untouched(), []) == 0  # type: ignore[arg-type]  # on purpose
