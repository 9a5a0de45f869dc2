"""Changes of subscriptions, and new deliveries of what was delivered before.

Each is called in a transaction of its caller.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.errors import Unauthorized
from app.core.sql import Statement
from app.notifications import outbox, queries
from app.notifications.errors import (
    AddressNotConfirmed,
    DeliveryPending,
    SubscriptionDisabled,
    SubscriptionNotFound,
    TooManyConfirmations,
    TooManySubscriptions,
)
from app.notifications.links import fingerprint
from app.notifications.sealing import Sealing, SecretLost
from app.notifications.states import (
    DeliveryStatus,
    DisabledReason,
    NotificationType,
    SubscriptionStatus,
)
from app.notifications.values import (
    LockedSubscription,
    SealedSecret,
    Subscription,
    SubscriptionFilter,
)
from app.quotas import queries as quotas

MAX_CONFIRMATIONS: Final = 3
"""How many messages ask one address for its confirmation within a day, whoever wants them."""

MAX_REPLAYED: Final = 10_000
DELETED_AT_ONCE: Final = 5000

# How many subscriptions does this user have?
_COUNT: Final = Statement("SELECT count(*) FROM subscriptions WHERE owner_id = :owner_id")

# Store a new subscription.
_CREATE: Final = Statement("""
INSERT INTO subscriptions (id, owner_id, name, channel, target, events, kind, queue, model, job_id, group_id,
    schedule_id, metadata, gather_seconds, secrets, sealed_with, status, confirmed_at)
VALUES (:id, :owner_id, :name, :channel, :target, :events, :kind, :queue, :model, :job_id, :group_id,
    :schedule_id, :metadata, :gather_seconds, :secrets, :sealed_with, :status,
    CASE WHEN :is_confirmed::boolean THEN now() END)
RETURNING id""")

# Lock a subscription of this owner, so that its changes happen one after the other. NO KEY: new deliveries,
# which refer to it, do not wait.
_LOCK: Final = Statement("""
SELECT *, now() AS now FROM subscriptions WHERE id = :subscription_id AND owner_id = :owner_id
FOR NO KEY UPDATE""")

# Replace what its owner decides about a subscription.
_CHANGE: Final = Statement("""
UPDATE subscriptions SET name = :name, events = :events, target = :target, kind = :kind, queue = :queue,
    model = :model, job_id = :job_id, group_id = :group_id, schedule_id = :schedule_id, metadata = :metadata,
    status = :status, reason = :reason, confirmed_at = :confirmed_at, failures = :failures,
    failing_since = :failing_since, held_until = :held_until
WHERE id = :id""")

# Drop what a subscription waits for.
_DROP_PENDING: Final = Statement("""
UPDATE deliveries SET status = 'dropped', next_try_at = NULL, ended_at = now()
WHERE subscription_id = :subscription_id AND status = 'pending'""")

# Replace the secrets of a subscription.
_SET_SECRETS: Final = Statement("""
UPDATE subscriptions SET secrets = :secrets, sealed_with = :sealed_with WHERE id = :id""")

# Has this owner confirmed this target for any subscription?
_IS_CONFIRMED: Final = Statement("""
SELECT EXISTS (SELECT FROM subscriptions
    WHERE owner_id = :owner_id AND channel = :channel
        AND target - 'language' = :target::jsonb - 'language' AND confirmed_at IS NOT NULL)""")

# Note that a target is asked for its confirmation, unless it has been asked too often within a day.
_NOTE_CONFIRMATION: Final = Statement("""
INSERT INTO confirmation_requests AS r (target_hash, requested_at) VALUES (:target_hash, ARRAY[now()])
ON CONFLICT (target_hash) DO UPDATE SET requested_at = now() || ARRAY(
    SELECT earlier FROM unnest(r.requested_at) earlier WHERE earlier > now() - interval '1 day')
WHERE (SELECT count(*) FROM unnest(r.requested_at) earlier WHERE earlier > now() - interval '1 day') < :most
RETURNING target_hash""")

# Activate a pending subscription, and those of the same owner that wait for the same target.
_CONFIRM: Final = Statement("""
UPDATE subscriptions s SET status = 'active', confirmed_at = now()
FROM subscriptions confirmed
WHERE confirmed.id = :subscription_id AND confirmed.status = 'pending'
    AND s.owner_id = confirmed.owner_id AND s.channel = confirmed.channel
    AND s.target - 'language' = confirmed.target - 'language'
    AND s.status = 'pending'
RETURNING s.id""")

# Disable a subscription that its recipient does not want. It has to be confirmed again.
_UNSUBSCRIBE: Final = Statement("""
UPDATE subscriptions
SET status = 'disabled', reason = jsonb_build_object('code', :code::text), confirmed_at = NULL
WHERE id = :subscription_id AND reason IS DISTINCT FROM jsonb_build_object('code', :code::text)
RETURNING id""")

# Disable a subscription that is being deleted: it gets no more deliveries.
_DISABLE: Final = Statement("""
UPDATE subscriptions SET status = 'disabled', reason = jsonb_build_object('code', :code::text)
WHERE id = :subscription_id AND owner_id = :owner_id RETURNING id""")

# Delete deliveries of a subscription, with their tries. The array is made once: a plan that expects few rows
# would compare each delivery with each.
_DELETE_DELIVERIES: Final = Statement("""
DELETE FROM deliveries WHERE id = ANY (ARRAY(
    SELECT id FROM deliveries WHERE subscription_id = :subscription_id LIMIT :limit))
RETURNING id""")

# Delete a subscription, and tell whether there was one.
_DELETE: Final = Statement(
    "DELETE FROM subscriptions WHERE id = :subscription_id AND owner_id = :owner_id RETURNING id"
)

# Deliver again what a delivery says.
_REPLAY: Final = Statement("""
INSERT INTO deliveries (subscription_id, type, job_id, seq, data, next_try_at, replay_of)
SELECT subscription_id, type, job_id, seq, data, now(), id FROM deliveries WHERE id = :delivery_id
RETURNING id""")

# Deliver again what failed or was dropped in a span of time and has not been replayed since, oldest first.
_REPLAY_MANY: Final = """
WITH chosen AS (
    SELECT d.* FROM deliveries d
    WHERE d.subscription_id = :subscription_id AND d.status = '{status}'
        AND d.created_at >= :since AND d.created_at < coalesce(:until::timestamptz, now())
        AND d.type NOT IN ('ping', 'subscription.confirm')
        AND NOT EXISTS (SELECT FROM deliveries replay WHERE replay.replay_of = d.id)
    ORDER BY d.created_at, d.id LIMIT :limit
), numbered AS (
    SELECT chosen.*, row_number() OVER (ORDER BY created_at, id) AS number FROM chosen
), replayed AS (
    INSERT INTO deliveries (subscription_id, type, job_id, seq, data, next_try_at, replay_of)
    SELECT subscription_id, type, job_id, seq, data, now() + number * interval '1 microsecond', id
    FROM numbered
    RETURNING id
)
SELECT count(*) FROM replayed"""

_REPLAY_BY_STATUS: Final = {
    status: Statement(_REPLAY_MANY.format(status=status))
    for status in (DeliveryStatus.FAILED, DeliveryStatus.DROPPED)
}


@dataclass(frozen=True, kw_only=True)
class NewSubscription:
    """What a new subscription is made of. `secret` is None for a channel that signs nothing."""

    name: str
    channel: str
    target: dict[str, Any] = field(repr=False)
    events: tuple[NotificationType, ...]
    filter: SubscriptionFilter
    gather_seconds: int
    needs_confirmation: bool
    secret: bytes | None = field(repr=False)


async def create(
    connection: asyncpg.Connection, sealing: Sealing, owner_id: UUID, new: NewSubscription, *, limit: int
) -> UUID:
    """Create a subscription and return its id. It is pending if its target has to be confirmed.

    `limit` bounds those of an owner for whom no other bound is set; 0 means no limit. Raises
    TooManySubscriptions, TooManyConfirmations, and Unauthorized if there is no such user any more.
    """
    own = await quotas.lock(connection, owner_id)
    if own is None:
        raise Unauthorized
    most = limit if own.max_subscriptions is None else own.max_subscriptions
    count = await _COUNT.fetchval(connection, owner_id=owner_id)
    if most and count >= most:
        raise TooManySubscriptions(subscriptions=count, limit=most)
    subscription_id = ids.new_id()
    is_confirmed = new.needs_confirmation and await _is_confirmed(
        connection, owner_id, new.channel, new.target
    )
    is_pending = new.needs_confirmation and not is_confirmed
    secrets = [] if new.secret is None else [SealedSecret(sealing.seal(new.secret))]
    await _CREATE.fetchval(
        connection,
        id=subscription_id,
        owner_id=owner_id,
        name=new.name,
        channel=new.channel,
        target=new.target,
        events=list(new.events),
        **_columns(new.filter),
        gather_seconds=new.gather_seconds,
        secrets=[secret.to_json() for secret in secrets],
        sealed_with=sealing.key_name if secrets else None,
        status=SubscriptionStatus.PENDING if is_pending else SubscriptionStatus.ACTIVE,
        is_confirmed=is_confirmed,
    )
    if is_pending:
        await _ask_for_confirmation(connection, subscription_id, new.name, new.channel, new.target)
    return subscription_id


async def lock(connection: asyncpg.Connection, owner_id: UUID, subscription_id: UUID) -> LockedSubscription:
    """Lock a subscription of this owner until the commit. Raises SubscriptionNotFound."""
    row = await _LOCK.fetchrow(connection, owner_id=owner_id, subscription_id=subscription_id)
    if row is None:
        raise SubscriptionNotFound(subscription_id=str(subscription_id))
    return LockedSubscription.from_row(row)


async def change(
    connection: asyncpg.Connection,
    before: LockedSubscription,
    after: Subscription,
    *,
    needs_confirmation: bool,
    status: SubscriptionStatus | None,
) -> None:
    """Replace a locked subscription by `after`, which has the new name, target, events and filter.

    A new target is confirmed anew if the channel needs that, and nothing that waits is sent to it. `status`
    activates or disables the subscription. Raises AddressNotConfirmed, TooManyConfirmations.
    """
    changed = after
    if needs_confirmation and fingerprint(after.target) != fingerprint(before.subscription.target):
        changed = await _with_new_target(connection, changed, before.now)
    if status is SubscriptionStatus.DISABLED:
        changed = replace(changed, status=status, reason={"code": DisabledReason.OWNER})
    elif status is SubscriptionStatus.ACTIVE:
        if needs_confirmation and changed.confirmed_at is None:
            raise AddressNotConfirmed
        changed = replace(
            changed, status=status, reason=None, failures=0, failing_since=None, held_until=None
        )
    await _CHANGE.execute(
        connection,
        id=changed.id,
        name=changed.name,
        events=list(changed.events),
        target=changed.target,
        **_columns(changed.filter),
        status=changed.status,
        reason=changed.reason,
        confirmed_at=changed.confirmed_at,
        failures=changed.failures,
        failing_since=changed.failing_since,
        held_until=changed.held_until,
    )


async def rotate_secret(
    connection: asyncpg.Connection,
    sealing: Sealing,
    before: LockedSubscription,
    secret: bytes,
    *,
    overlap: timedelta,
) -> datetime | None:
    """Give a locked subscription a new secret. Return until when the previous one signs, too.

    None if it no longer does: there is no overlap, or no key opens it.
    """
    expires_at = before.now + overlap
    previous = _resealed(sealing, before.secrets, expires_at) if overlap else None
    secrets = [*([] if previous is None else [previous]), SealedSecret(sealing.seal(secret))]
    await _SET_SECRETS.execute(
        connection,
        id=before.subscription.id,
        secrets=[one.to_json() for one in secrets],
        sealed_with=sealing.key_name,
    )
    return None if previous is None else expires_at


async def confirm(connection: asyncpg.Connection, subscription_id: UUID) -> list[UUID]:
    """Activate a pending subscription, and those of its owner that wait for the same target. Return them."""
    rows = await _CONFIRM.fetch(connection, subscription_id=subscription_id)
    return [row["id"] for row in rows]


async def unsubscribe(connection: asyncpg.Connection, subscription_id: UUID) -> bool:
    """Disable a subscription that its recipient does not want. Return whether that changed anything."""
    found = await _UNSUBSCRIBE.fetchval(
        connection, subscription_id=subscription_id, code=DisabledReason.UNSUBSCRIBED
    )
    return found is not None


async def disable_for_good(connection: asyncpg.Connection, owner_id: UUID, subscription_id: UUID) -> None:
    """Begin to delete a subscription: it gets no more deliveries. Raises SubscriptionNotFound."""
    found = await _DISABLE.fetchval(
        connection, owner_id=owner_id, subscription_id=subscription_id, code=DisabledReason.OWNER
    )
    if found is None:
        raise SubscriptionNotFound(subscription_id=str(subscription_id))


async def delete_deliveries(
    connection: asyncpg.Connection, subscription_id: UUID, *, limit: int = DELETED_AT_ONCE
) -> int:
    """Delete at most `limit` deliveries of a subscription. Return how many."""
    return len(await _DELETE_DELIVERIES.fetch(connection, subscription_id=subscription_id, limit=limit))


async def delete(connection: asyncpg.Connection, owner_id: UUID, subscription_id: UUID) -> None:
    """Delete a subscription, with the deliveries that are left. Raises SubscriptionNotFound."""
    found = await _DELETE.fetchval(connection, owner_id=owner_id, subscription_id=subscription_id)
    if found is None:
        raise SubscriptionNotFound(subscription_id=str(subscription_id))


async def write_test(connection: asyncpg.Connection, owner_id: UUID, subscription_id: UUID) -> UUID:
    """Write a test, unless one is pending. Return its id.

    Raises SubscriptionNotFound, SubscriptionDisabled, AddressNotConfirmed.
    """
    subscription = (await lock(connection, owner_id, subscription_id)).subscription
    _ensure_active(subscription)
    pending = await queries.pending_test(connection, subscription_id)
    if pending is not None:
        return pending
    data = {"subscription_id": str(subscription_id), "name": subscription.name}
    written = await outbox.add_for_one(connection, subscription_id, type=NotificationType.PING, data=data)
    assert written is not None  # noqa: S101  # it is locked
    return written


async def replay(connection: asyncpg.Connection, owner_id: UUID, delivery_id: UUID) -> UUID:
    """Deliver again what an ended delivery says. Return the new delivery.

    Raises DeliveryNotFound, DeliveryPending, SubscriptionDisabled, AddressNotConfirmed.
    """
    delivery, _ = await queries.delivery(connection, owner_id, delivery_id, public_url=None)
    _ensure_active(await queries.get(connection, owner_id, delivery.subscription_id))
    if delivery.status is DeliveryStatus.PENDING:
        raise DeliveryPending
    written: UUID = await _REPLAY.fetchval(connection, delivery_id=delivery_id)
    return written


async def replay_many(
    connection: asyncpg.Connection,
    owner_id: UUID,
    subscription_id: UUID,
    *,
    status: DeliveryStatus,
    since: datetime,
    until: datetime | None,
    limit: int = MAX_REPLAYED,
) -> int:
    """Deliver again what failed or was dropped, at most `limit` deliveries. Return how many.

    Raises SubscriptionNotFound, SubscriptionDisabled, AddressNotConfirmed.
    """
    # Locked, so that of two requests at once the second one sees what the first one has replayed.
    _ensure_active((await lock(connection, owner_id, subscription_id)).subscription)
    count: int = await _REPLAY_BY_STATUS[status].fetchval(
        connection, subscription_id=subscription_id, since=since, until=until, limit=limit
    )
    return count


async def _with_new_target(
    connection: asyncpg.Connection, changed: Subscription, now: datetime
) -> Subscription:
    """Return a subscription as its new target leaves it: confirmed before, or pending."""
    await _DROP_PENDING.execute(connection, subscription_id=changed.id)
    if await _is_confirmed(connection, changed.owner_id, changed.channel, changed.target):
        return replace(changed, confirmed_at=now)
    await _ask_for_confirmation(connection, changed.id, changed.name, changed.channel, changed.target)
    return replace(changed, status=SubscriptionStatus.PENDING, reason=None, confirmed_at=None)


async def _ask_for_confirmation(
    connection: asyncpg.Connection, subscription_id: UUID, name: str, channel: str, target: dict[str, Any]
) -> None:
    """Write the message that asks a target for its confirmation. Raises TooManyConfirmations."""
    noted = await _NOTE_CONFIRMATION.fetchval(
        connection, target_hash=fingerprint({**target, "channel": channel}), most=MAX_CONFIRMATIONS
    )
    if noted is None:
        raise TooManyConfirmations(limit=MAX_CONFIRMATIONS)
    await outbox.add_for_one(
        connection,
        subscription_id,
        type=NotificationType.SUBSCRIPTION_CONFIRM,
        data={"subscription_id": str(subscription_id), "name": name},
    )


async def _is_confirmed(
    connection: asyncpg.Connection, owner_id: UUID, channel: str, target: dict[str, Any]
) -> bool:
    is_confirmed: bool = await _IS_CONFIRMED.fetchval(
        connection, owner_id=owner_id, channel=channel, target=target
    )
    return is_confirmed


def _resealed(
    sealing: Sealing, secrets: Collection[SealedSecret], expires_at: datetime
) -> SealedSecret | None:
    """Return the secret that has signed so far, under the current key and with an end; None if it is lost."""
    for secret in secrets:
        if secret.expires_at is None:
            try:
                return SealedSecret(sealing.seal(sealing.open(secret.sealed)), expires_at)
            except SecretLost:
                return None
    return None


def _columns(subscription_filter: SubscriptionFilter) -> dict[str, Any]:
    return {
        "kind": subscription_filter.kind,
        "queue": subscription_filter.queue,
        "model": subscription_filter.model,
        "job_id": subscription_filter.job_id,
        "group_id": subscription_filter.group_id,
        "schedule_id": subscription_filter.schedule_id,
        "metadata": subscription_filter.metadata,
    }


def _ensure_active(subscription: Subscription) -> None:
    if subscription.status is SubscriptionStatus.DISABLED:
        raise SubscriptionDisabled
    if subscription.status is SubscriptionStatus.PENDING:
        raise AddressNotConfirmed
