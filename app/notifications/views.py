"""Subscriptions and deliveries as the API shows them."""

import json
from dataclasses import asdict

from app.core import paging
from app.core.paging import Page
from app.notifications.bodies import Notice, example
from app.notifications.cursors import Position
from app.notifications.event_types import DESCRIPTIONS
from app.notifications.schemas import (
    DeliveryDetails,
    DeliveryPage,
    DeliveryView,
    DisabledReasonView,
    EventTypes,
    EventTypeView,
    FilterView,
    LastDelivery,
    SubscriptionCreated,
    SubscriptionPage,
    SubscriptionView,
    TryView,
)
from app.notifications.values import Delivery, DeliveryTry, SubscriptionState


def subscription_view(state: SubscriptionState) -> SubscriptionView:
    """A subscription as its owner sees it."""
    subscription, last = state.subscription, state.last_delivery
    return SubscriptionView(
        subscription_id=subscription.id,
        name=subscription.name,
        channel=subscription.channel,
        target=subscription.target,
        events=list(subscription.events),
        filter=FilterView(**asdict(subscription.filter)),
        status=subscription.status,
        reason=None if subscription.reason is None else DisabledReasonView(code=subscription.reason["code"]),
        created_at=subscription.created_at,
        failures=subscription.failures,
        failing_since=subscription.failing_since,
        held_until=subscription.held_until,
        pending=state.pending,
        last_delivery=None if last is None else LastDelivery.model_validate(last),
    )


def subscription_created(state: SubscriptionState, secret: str | None) -> SubscriptionCreated:
    """A new subscription, with its secret."""
    return SubscriptionCreated(**dict(subscription_view(state)), secret=secret)


def subscription_page(page: Page[SubscriptionState]) -> SubscriptionPage:
    """A page of subscriptions."""
    return SubscriptionPage(
        items=[subscription_view(state) for state in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.subscription.id)),
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    """A delivery as its owner sees it."""
    return DeliveryView(
        delivery_id=delivery.id,
        subscription_id=delivery.subscription_id,
        type=delivery.type,
        job_id=delivery.job_id,
        seq=delivery.seq,
        status=delivery.status,
        tries=delivery.tries,
        # A test is due before everything else: since the epoch.
        next_try_at=None if delivery.next_try_at is None else max(delivery.next_try_at, delivery.created_at),
        replay_of=delivery.replay_of,
        created_at=delivery.created_at,
        ended_at=delivery.ended_at,
    )


def delivery_page(page: Page[Delivery]) -> DeliveryPage:
    """A page of deliveries."""
    return DeliveryPage(
        items=[delivery_view(delivery) for delivery in page.items],
        next_cursor=page.next_cursor(lambda last: Position(last.created_at, last.id).encode()),
    )


def delivery_details(delivery: Delivery, notice: Notice | None, tries: list[DeliveryTry]) -> DeliveryDetails:
    """A delivery, with what it says and all its tries."""
    return DeliveryDetails(
        **dict(delivery_view(delivery)),
        body=None if notice is None else json.loads(notice.body),
        history=[_try_view(tried) for tried in tries],
    )


def event_types() -> EventTypes:
    """All types of events."""
    return EventTypes(
        items=[
            EventTypeView(type=type_, description=description, example=example(type_))
            for type_, description in DESCRIPTIONS.items()
        ]
    )


def _try_view(tried: DeliveryTry) -> TryView:
    return TryView(
        number=tried.number,
        at=tried.at,
        duration_ms=tried.duration_ms,
        response_status=tried.status,
        error=tried.error,
        response=None if tried.response is None else tried.response.decode(errors="replace"),
    )
