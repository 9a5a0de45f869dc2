"""Creates subscriptions and reads deliveries, past the routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.database import Database
from app.notifications import outbox
from app.notifications.sealing import Sealing
from app.notifications.states import NotificationType
from app.notifications.values import Delivery, DeliveryTry, SealedSecret, Subscription

SECRET = b"0123456789abcdef0123456789abcdef"
ALL_OF_JOBS = ("job.started", "job.retrying", "job.completed", "job.failed", "job.cancelled")


async def subscribe(
    database: Database,
    owner_id: UUID,
    *,
    events: Sequence[str] = ALL_OF_JOBS,
    channel: str = "webhook",
    target: dict[str, Any] | None = None,
    sealing: Sealing | None = None,
    secrets: Sequence[tuple[bytes, datetime | None]] = ((SECRET, None),),
    gather_seconds: int = 0,
    status: str = "active",
    **filters: Any,
) -> UUID:
    """Insert a subscription and return its id. It has secrets only if `sealing` is given."""
    sealed = [] if sealing is None else [SealedSecret(sealing.seal(one), until) for one, until in secrets]
    values = {
        "id": ids.new_id(),
        "owner_id": owner_id,
        "name": "CI",
        "channel": channel,
        "target": target or {"url": "https://hooks.example.com/ml"},
        "events": list(events),
        "gather_seconds": gather_seconds,
        "secrets": [secret.to_json() for secret in sealed],
        "sealed_with": sealing.key_name if sealing is not None else None,
        "status": status,
        "reason": {"code": "owner"} if status == "disabled" else None,
        **filters,
    }
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    async with database.connection() as connection:
        await connection.execute(
            f"INSERT INTO subscriptions ({', '.join(values)}) VALUES ({places})", *values.values()
        )
    subscription_id: UUID = values["id"]
    return subscription_id


async def read(database: Database, subscription_id: UUID) -> Subscription:
    """The subscription as it is now."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM subscriptions WHERE id = $1", subscription_id)
    assert row is not None
    return Subscription.from_row(row)


async def deliveries(database: Database, subscription_id: UUID | None = None) -> list[Delivery]:
    """The deliveries, in the order of their creation."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM deliveries WHERE $1::uuid IS NULL OR subscription_id = $1"
            " ORDER BY created_at, job_id, seq",
            subscription_id,
        )
    return [Delivery.from_row(row) for row in rows]


async def tries(database: Database, delivery_id: UUID) -> list[DeliveryTry]:
    """The tries of a delivery."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM delivery_tries WHERE delivery_id = $1 ORDER BY number", delivery_id
        )
    return [DeliveryTry.from_row(row) for row in rows]


async def flood(
    connection: asyncpg.Connection, subscription_id: UUID, count: int, *, type: str = "schedule.missed"
) -> None:
    """Write so many due deliveries at once."""
    await connection.execute(
        "INSERT INTO deliveries (subscription_id, type, data, next_try_at)"
        " SELECT $1, $2, jsonb_build_object('schedule_id', gen_random_uuid(), 'name', 'nightly',"
        " 'group', null, 'kind', 'batch_predict', 'fire_at', null, 'through_at', null, 'count', n,"
        " 'reason', null), now()"
        " FROM generate_series(1, $3::int) n",
        subscription_id,
        type,
        count,
    )


async def ping(database: Database, subscription_id: UUID) -> UUID:
    """Write a test for a subscription."""
    async with database.connection() as connection:
        delivery_id = await outbox.add_for_one(
            connection, subscription_id, type=NotificationType.PING, data={"name": "CI"}
        )
    assert delivery_id is not None
    return delivery_id


async def make_due(database: Database) -> None:
    """Let the next try of every pending delivery be due, and no subscription be held."""
    async with database.connection() as connection:
        await connection.execute("UPDATE deliveries SET next_try_at = now() WHERE status = 'pending'")
        await connection.execute("UPDATE subscriptions SET held_until = NULL")
