"""Reads of subscriptions and deliveries, each for their owner."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.notifications.bodies import CONTENT, CONTENT_JOINS, Notice
from app.notifications.cursors import Position
from app.notifications.errors import DeliveryNotFound, SubscriptionNotFound
from app.notifications.states import DeliveryStatus, SubscriptionStatus
from app.notifications.values import (
    MAX_COUNTED,
    Delivery,
    DeliveryTry,
    PingOutcome,
    Subscription,
    SubscriptionState,
)

# Subscriptions, with how many deliveries wait and the newest one.
_STATES: Final = f"""
SELECT s.*,
    (SELECT count(*) FROM (
        SELECT FROM deliveries d WHERE d.subscription_id = s.id AND d.status = 'pending' LIMIT {MAX_COUNTED}
    ) waiting) AS pending,
    l.id AS last_id, l.type AS last_type, l.status AS last_status, l.created_at AS last_created_at,
    l.ended_at AS last_ended_at
FROM subscriptions s
LEFT JOIN LATERAL (
    SELECT d.* FROM deliveries d WHERE d.subscription_id = s.id
    ORDER BY d.created_at DESC, d.id DESC LIMIT 1
) l ON true
WHERE s.owner_id = :owner_id"""

# One subscription of this owner, and how its deliveries go.
_STATE: Final = Statement(f"{_STATES} AND s.id = :subscription_id")

# The subscriptions of this owner that match, newest first, from before this one.
_PAGE: Final = Statement(
    paging.bounded(
        f"""{_STATES} AND (:before::uuid IS NULL OR s.id < :before)
            AND (:status::text IS NULL OR s.status = :status)
            AND (:channel::text IS NULL OR s.channel = :channel)
        ORDER BY s.id DESC LIMIT :limit""",
        size="octet_length(name) + octet_length(target::text) + coalesce(octet_length(metadata::text), 0)",
        order="id DESC",
    )
)

# One subscription of this owner.
_SUBSCRIPTION: Final = Statement(
    "SELECT * FROM subscriptions WHERE id = :subscription_id AND owner_id = :owner_id"
)

# One subscription, whoever owns it: for links in messages, which name no owner.
_ANY_SUBSCRIPTION: Final = Statement("SELECT * FROM subscriptions WHERE id = :subscription_id")


def _deliveries(status: DeliveryStatus | None, *, is_of_one: bool) -> Statement:
    """Return the statement for a page of deliveries, of one subscription or of all of an owner.

    A statement for each status: only then does Postgres see that a partial index has all of them. The page
    of each subscription is found in its index, and the newest of all are kept.
    """
    of_status = "" if status is None else f"AND d.status = '{status}'"
    of_one = "AND s.id = :subscription_id" if is_of_one else ""
    return Statement(
        paging.bounded(
            f"""SELECT d.* FROM subscriptions s CROSS JOIN LATERAL (
                SELECT d.* FROM deliveries d
                WHERE d.subscription_id = s.id {of_status}
                    AND (d.created_at, d.id) < (coalesce(:before_at::timestamptz, 'infinity'),
                        coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
                ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
            ) d
            WHERE s.owner_id = :owner_id {of_one}
            ORDER BY d.created_at DESC, d.id DESC LIMIT :limit""",
            size="200 + coalesce(octet_length(data::text), 0)",
            order="created_at DESC, id DESC",
        )
    )


_STATUSES: Final = (None, *DeliveryStatus)
_DELIVERIES: Final = {status: _deliveries(status, is_of_one=False) for status in _STATUSES}
_DELIVERIES_OF_ONE: Final = {status: _deliveries(status, is_of_one=True) for status in _STATUSES}

# One delivery of this owner, with what it says.
_DELIVERY: Final = Statement(f"""
SELECT d.id, d.id AS delivery_id, d.subscription_id, d.status, d.tries, d.next_try_at, d.replay_of,
    d.ended_at, {CONTENT}
FROM deliveries d JOIN subscriptions s ON s.id = d.subscription_id AND s.owner_id = :owner_id
    {CONTENT_JOINS}
WHERE d.id = :delivery_id""")

# The tries of a delivery, oldest first.
_TRIES: Final = Statement("SELECT * FROM delivery_tries WHERE delivery_id = :delivery_id ORDER BY number")

# Is a test of this subscription pending?
_PENDING_TEST: Final = Statement("""
SELECT id FROM deliveries
WHERE subscription_id = :subscription_id AND status = 'pending' AND type = 'ping' LIMIT 1""")

# What has come of this test so far?
_TEST: Final = Statement("""
SELECT d.status, t.duration_ms, t.status AS response_status, t.error
FROM deliveries d LEFT JOIN LATERAL (
    SELECT * FROM delivery_tries t WHERE t.delivery_id = d.id ORDER BY t.number DESC LIMIT 1
) t ON true
WHERE d.id = :delivery_id""")


async def get(connection: asyncpg.Connection, owner_id: UUID, subscription_id: UUID) -> Subscription:
    """Return a subscription of this owner. Raises SubscriptionNotFound."""
    row = await _SUBSCRIPTION.fetchrow(connection, owner_id=owner_id, subscription_id=subscription_id)
    if row is None:
        raise SubscriptionNotFound(subscription_id=str(subscription_id))
    return Subscription.from_row(row)


async def find(connection: asyncpg.Connection, subscription_id: UUID) -> Subscription | None:
    """Return a subscription of any owner."""
    row = await _ANY_SUBSCRIPTION.fetchrow(connection, subscription_id=subscription_id)
    return None if row is None else Subscription.from_row(row)


async def state(connection: asyncpg.Connection, owner_id: UUID, subscription_id: UUID) -> SubscriptionState:
    """Return a subscription of this owner, and how its deliveries go. Raises SubscriptionNotFound."""
    row = await _STATE.fetchrow(connection, owner_id=owner_id, subscription_id=subscription_id)
    if row is None:
        raise SubscriptionNotFound(subscription_id=str(subscription_id))
    return SubscriptionState.from_row(row)


async def page(
    connection: asyncpg.Connection,
    owner_id: UUID,
    *,
    status: SubscriptionStatus | None,
    channel: str | None,
    before: UUID | None,
    limit: int,
) -> Page[SubscriptionState]:
    """Return a page of the owner's subscriptions, newest first, starting after the id `before`."""
    rows = await _PAGE.fetch(
        connection, owner_id=owner_id, status=status, channel=channel, before=before, limit=limit + 1
    )
    return to_page(rows, limit, SubscriptionState.from_row)


async def deliveries(
    connection: asyncpg.Connection,
    owner_id: UUID,
    *,
    status: DeliveryStatus | None,
    before: Position | None,
    limit: int,
) -> Page[Delivery]:
    """Return a page of the deliveries of all the owner's subscriptions, newest first."""
    rows = await _DELIVERIES[status].fetch(
        connection,
        owner_id=owner_id,
        before_at=None if before is None else before.created_at,
        before_id=None if before is None else before.id,
        limit=limit + 1,
    )
    return to_page(rows, limit, Delivery.from_row)


async def deliveries_of(
    connection: asyncpg.Connection,
    owner_id: UUID,
    subscription_id: UUID,
    *,
    status: DeliveryStatus | None,
    before: Position | None,
    limit: int,
) -> Page[Delivery]:
    """Return a page of the deliveries of one subscription, newest first. Raises SubscriptionNotFound."""
    await get(connection, owner_id, subscription_id)
    rows = await _DELIVERIES_OF_ONE[status].fetch(
        connection,
        owner_id=owner_id,
        subscription_id=subscription_id,
        before_at=None if before is None else before.created_at,
        before_id=None if before is None else before.id,
        limit=limit + 1,
    )
    return to_page(rows, limit, Delivery.from_row)


async def delivery(
    connection: asyncpg.Connection, owner_id: UUID, delivery_id: UUID, *, public_url: str | None
) -> tuple[Delivery, Notice | None]:
    """Return a delivery of this owner and what it says, None if its job is gone. Raises DeliveryNotFound."""
    row = await _DELIVERY.fetchrow(connection, owner_id=owner_id, delivery_id=delivery_id)
    if row is None:
        raise DeliveryNotFound(delivery_id=str(delivery_id))
    return Delivery.from_row(row), Notice.from_row(row, public_url=public_url)


async def tries(connection: asyncpg.Connection, delivery_id: UUID) -> list[DeliveryTry]:
    """Return the tries of a delivery, oldest first."""
    return [DeliveryTry.from_row(row) for row in await _TRIES.fetch(connection, delivery_id=delivery_id)]


async def pending_test(connection: asyncpg.Connection, subscription_id: UUID) -> UUID | None:
    """Return a test of the subscription that has not ended."""
    found: UUID | None = await _PENDING_TEST.fetchval(connection, subscription_id=subscription_id)
    return found


async def outcome_of_test(connection: asyncpg.Connection, delivery_id: UUID) -> PingOutcome | None:
    """Return what has come of a test; None if it is gone with its subscription."""
    row = await _TEST.fetchrow(connection, delivery_id=delivery_id)
    return None if row is None else PingOutcome.from_row(row)
