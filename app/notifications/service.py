"""What the routes of notifications do."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Actor, Entry
from app.core.database import Database
from app.http.body import StrictBody
from app.notifications import commands, queries, signatures
from app.notifications.channels.channel import Channel
from app.notifications.commands import NewSubscription
from app.notifications.errors import NoSecret
from app.notifications.links import Links, Purpose, Token
from app.notifications.sealing import Sealing
from app.notifications.states import DeliveryStatus, NotificationType, SubscriptionStatus
from app.notifications.values import PingOutcome, Subscription, SubscriptionFilter, SubscriptionState

POLL_SECONDS: Final = 0.1
"""How often a request that waits for a test looks at it: another process may deliver it."""


async def create(
    connection: asyncpg.Connection,
    sealing: Sealing,
    channel: Channel,
    owner_id: UUID,
    body: Any,
    *,
    limit: int,
    by: Actor,
) -> tuple[SubscriptionState, str | None]:
    """Create a subscription of a checked request. Return it, and its secret if it has one."""
    given: SecretStr | None = getattr(body, "secret", None)
    secret = _secret(given) if channel.is_signed else None
    subscription_id = await commands.create(
        connection,
        sealing,
        owner_id,
        NewSubscription(
            name=body.name,
            channel=channel.name,
            target=target_of(body.target),
            events=tuple(NotificationType(event) for event in body.events),
            filter=filter_of(body.filter),
            gather_seconds=channel.gather_seconds,
            needs_confirmation=channel.needs_confirmation,
            secret=secret,
        ),
        limit=limit,
    )
    details = {"name": body.name, "channel": channel.name, "events": list(map(str, body.events))}
    await _record(connection, by, Action.SUBSCRIPTION_CREATED, subscription_id, details)
    created = await queries.state(connection, owner_id, subscription_id)
    return created, None if secret is None else signatures.format_secret(secret)


async def change(
    connection: asyncpg.Connection,
    channel: Channel | None,
    owner_id: UUID,
    subscription_id: UUID,
    body: Any,
    target: StrictBody | None,
    *,
    by: Actor,
) -> SubscriptionState:
    """Change what a request names. `target` is the checked one; `channel` is None if no plugin has it."""
    before = await commands.lock(connection, owner_id, subscription_id)
    given: frozenset[str] = frozenset(body.model_fields_set)
    after = before.subscription
    if "name" in given:
        after = replace(after, name=body.name)
    if "events" in given:
        after = replace(after, events=tuple(NotificationType(event) for event in body.events))
    if "filter" in given:
        after = replace(after, filter=filter_of(body.filter))
    if target is not None:
        after = replace(after, target=target_of(target))
    await commands.change(
        connection,
        before,
        after,
        needs_confirmation=channel is not None and channel.needs_confirmation,
        status=SubscriptionStatus(body.status) if "status" in given else None,
    )
    # The names of the fields only: a URL may be a secret.
    await _record(connection, by, Action.SUBSCRIPTION_CHANGED, subscription_id, {"changed": sorted(given)})
    return await queries.state(connection, owner_id, subscription_id)


async def rotate_secret(
    connection: asyncpg.Connection,
    sealing: Sealing,
    channels: Mapping[str, Channel],
    owner_id: UUID,
    subscription_id: UUID,
    *,
    overlap_hours: int,
    by: Actor,
) -> tuple[str, datetime | None]:
    """Give a subscription a new secret. Return it, and until when the previous one signs, too.

    Raises SubscriptionNotFound and NoSecret.
    """
    before = await commands.lock(connection, owner_id, subscription_id)
    channel = channels.get(before.subscription.channel)
    if channel is None or not channel.is_signed:
        raise NoSecret(channel=before.subscription.channel)
    secret = signatures.new_secret()
    previous_expires_at = await commands.rotate_secret(
        connection, sealing, before, secret, overlap=timedelta(hours=overlap_hours)
    )
    details = {"overlap_hours": overlap_hours}
    await _record(connection, by, Action.SUBSCRIPTION_SECRET_ROTATED, subscription_id, details)
    return signatures.format_secret(secret), previous_expires_at


async def delete(database: Database, owner_id: UUID, subscription_id: UUID, *, by: Actor) -> None:
    """Delete a subscription with all deliveries, which may be many. Raises SubscriptionNotFound."""
    async with database.transaction() as connection:
        await commands.disable_for_good(connection, owner_id, subscription_id)
        await _record(connection, by, Action.SUBSCRIPTION_DELETED, subscription_id, {})
    # In transactions of their own, so that none is long. A request that is cut off can be repeated.
    while True:
        async with database.connection() as connection:
            if await commands.delete_deliveries(connection, subscription_id) < commands.DELETED_AT_ONCE:
                break
    async with database.connection() as connection:
        await commands.delete(connection, owner_id, subscription_id)


async def wait_for_test(
    database: Database,
    delivery_id: UUID,
    *,
    seconds: float,
    is_stopping: Callable[[], bool],
    poll_seconds: float = POLL_SECONDS,
) -> PingOutcome | None:
    """Return what has come of a test once it has ended, or after so many seconds."""
    deadline = monotonic() + seconds
    while True:
        async with database.connection() as connection:
            outcome = await queries.outcome_of_test(connection, delivery_id)
        has_ended = outcome is None or outcome.status is not DeliveryStatus.PENDING
        if has_ended or is_stopping() or monotonic() >= deadline:
            return outcome
        await asyncio.sleep(poll_seconds)


async def find_linked(
    connection: asyncpg.Connection, links: Links, purpose: Purpose, text: str
) -> Subscription | None:
    """Return the subscription of a link; None if the link is not valid, or no longer."""
    token = Token.parse(text)
    if token is None:
        return None
    subscription = await queries.find(connection, token.subscription_id)
    if subscription is None or not links.is_valid(purpose, token, subscription.target, datetime.now(UTC)):
        return None
    return subscription


async def confirm(connection: asyncpg.Connection, subscription: Subscription, *, by: Actor) -> bool:
    """Confirm the target of a subscription. Return whether it is confirmed now."""
    for confirmed in await commands.confirm(connection, subscription.id):
        await _record(connection, by, Action.SUBSCRIPTION_CONFIRMED, confirmed, {})
    found = await queries.find(connection, subscription.id)
    return found is not None and found.confirmed_at is not None


async def unsubscribe(connection: asyncpg.Connection, subscription: Subscription, *, by: Actor) -> None:
    """Disable a subscription for its recipient."""
    if await commands.unsubscribe(connection, subscription.id):
        await _record(connection, by, Action.SUBSCRIPTION_UNSUBSCRIBED, subscription.id, {})


def target_of(target: StrictBody) -> dict[str, Any]:
    """Return a target as it is stored."""
    return target.model_dump(mode="json")


def filter_of(body: Any) -> SubscriptionFilter:
    """Return a filter as it is stored; an empty one matches all jobs."""
    if body is None:
        return SubscriptionFilter()
    members = body.model_dump()
    return SubscriptionFilter(**{**members, "metadata": members["metadata"] or None})


def _secret(given: SecretStr | None) -> bytes:
    return signatures.new_secret() if given is None else signatures.parse_secret(given.get_secret_value())


async def _record(
    connection: asyncpg.Connection, by: Actor, action: Action, subscription_id: UUID, details: dict[str, Any]
) -> None:
    entry = Entry(action, ObjectType.SUBSCRIPTION, str(subscription_id), details=details)
    await audit.record(connection, by, entry)
