"""Deliveries are deleted once they were kept long enough, or with their user; the metrics count the rest."""

from datetime import timedelta
from uuid import UUID

from app.core.database import Database
from app.core.resources import Resources
from app.maintenance.prune import Prune
from app.maintenance.user_removal import UserRemoval
from app.notifications import measuring, pruning
from app.notifications.measuring import SubscriptionCount
from app.notifications.states import SubscriptionStatus
from tests.notifications import subscribing
from tests.support import jobs

MONTH = timedelta(days=30)


async def flood(database: Database, subscription: UUID, count: int) -> None:
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, count)


async def end_all(database: Database, subscription: UUID, *, days_ago: int) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET status = 'delivered', next_try_at = NULL,"
            " ended_at = now() - make_interval(days => $2) WHERE subscription_id = $1",
            subscription,
            days_ago,
        )
        await connection.execute(
            "INSERT INTO delivery_tries (delivery_id, number, at, duration_ms)"
            " SELECT id, 1, now(), 5 FROM deliveries WHERE subscription_id = $1",
            subscription,
        )


async def test_what_ended_long_ago_is_pruned_with_its_tries_and_nothing_else(
    database: Database, resources: Resources, owner_id: UUID
) -> None:
    old = await subscribing.subscribe(database, owner_id)
    recent = await subscribing.subscribe(database, owner_id)
    waiting = await subscribing.subscribe(database, owner_id)
    for subscription in (old, recent, waiting):
        await flood(database, subscription, 3)
    await end_all(database, old, days_ago=31)
    await end_all(database, recent, days_ago=29)

    async with database.transaction() as connection:
        await Prune(resources.settings, resources.storage)(connection)

    counts = [len(await subscribing.deliveries(database, one)) for one in (old, recent, waiting)]
    async with database.connection() as connection:
        tries = await connection.fetchval("SELECT count(*) FROM delivery_tries")
    assert counts == [0, 3, 3]
    assert tries == 3


async def test_a_round_prunes_a_bounded_number(database: Database, owner_id: UUID) -> None:
    subscription = await subscribing.subscribe(database, owner_id)
    await flood(database, subscription, 5)
    await end_all(database, subscription, days_ago=31)

    async with database.connection() as connection:
        pruned = [await pruning.prune(connection, MONTH, limit=2) for _ in range(4)]

    assert pruned == [2, 2, 1, 0]


async def test_a_deleted_user_is_removed_with_subscriptions_and_deliveries_a_few_at_a_time(
    database: Database, resources: Resources, owner_id: UUID
) -> None:
    other = await jobs.user(database)
    await flood(database, await subscribing.subscribe(database, owner_id), 30)
    kept = await subscribing.subscribe(database, other)
    await flood(database, kept, 3)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE users SET deleted_at = now() - interval '1 hour', is_active = false WHERE id = $1",
            owner_id,
        )
        await pruning.delete_of_owner(connection, owner_id, limit=10)
        left = await connection.fetchval(
            "SELECT count(*) FROM deliveries d JOIN subscriptions s ON s.id = d.subscription_id"
            " WHERE s.owner_id = $1",
            owner_id,
        )
    removal = UserRemoval(resources.storage, resources.hints)
    async with database.transaction() as connection:
        await removal(connection)

    async with database.connection() as connection:
        users = await connection.fetch("SELECT id FROM users")
        subscriptions = await connection.fetch("SELECT id FROM subscriptions")
    assert left == 20
    assert [row["id"] for row in users] == [other]
    assert [row["id"] for row in subscriptions] == [kept]
    assert len(await subscribing.deliveries(database, kept)) == 3


async def test_a_deleted_user_keeps_subscriptions_until_no_job_runs(
    database: Database, resources: Resources, owner_id: UUID
) -> None:
    """The statement that ends a job writes deliveries: it must not meet a subscription that goes away."""
    subscription = await subscribing.subscribe(database, owner_id)
    running = await jobs.running(database, owner_id, rows=5)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE users SET deleted_at = now() - interval '1 hour', is_active = false WHERE id = $1",
            owner_id,
        )
    removal = UserRemoval(resources.storage, resources.hints)

    async def subscriptions_after_a_round() -> list[UUID]:
        async with database.transaction() as connection:
            after_commit = await removal(connection)
        await after_commit()
        async with database.connection() as connection:
            return [row["id"] for row in await connection.fetch("SELECT id FROM subscriptions")]

    while_it_runs = await subscriptions_after_a_round()
    await jobs.stop(database, running)

    assert while_it_runs == [subscription]
    assert await subscriptions_after_a_round() == []


async def test_subscriptions_are_counted_and_the_oldest_delivery_that_is_not_held_back_is_found(
    database: Database, owner_id: UUID
) -> None:
    late = await subscribing.subscribe(database, owner_id)
    held = await subscribing.subscribe(database, owner_id, channel="chat")
    await subscribing.subscribe(database, owner_id, channel="email", status="pending")
    for subscription in (late, held):
        await flood(database, subscription, 2)
    async with database.connection() as connection:
        await connection.execute("UPDATE deliveries SET next_try_at = now() - interval '100 s'")
        await connection.execute(
            "UPDATE subscriptions SET held_until = now() + interval '1 hour' WHERE id = $1", held
        )
        oldest = await measuring.oldest(connection)
        counts = await measuring.count(connection)

    [found] = oldest
    assert found.channel == "webhook"
    assert 100 <= found.seconds < 3600
    assert sorted(counts, key=lambda of: of.channel) == [
        SubscriptionCount("chat", SubscriptionStatus.ACTIVE, 1),
        SubscriptionCount("email", SubscriptionStatus.PENDING, 1),
        SubscriptionCount("webhook", SubscriptionStatus.ACTIVE, 1),
    ]


async def test_a_delivery_that_waits_for_an_earlier_one_of_its_job_is_not_late(
    database: Database, owner_id: UUID
) -> None:
    await subscribing.subscribe(database, owner_id)
    await jobs.complete(database, await jobs.running(database, owner_id, rows=5))
    async with database.connection() as connection:
        await connection.execute("UPDATE deliveries SET next_try_at = now() - interval '100 s'")
        await connection.execute(
            "UPDATE deliveries SET next_try_at = now() + interval '1 hour' WHERE type = 'job.started'"
        )

        assert await measuring.oldest(connection) == []
