"""Routes of subscriptions and deliveries. Those of another user do not exist for the caller."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT

from app.auth.actors import actor_of
from app.auth.deps import NotificationsReader, NotificationsWriter
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.body import CleanStr, StrictBody
from app.http.deps import DatabaseDep, SettingsDep
from app.http.links import link
from app.http.middleware import exclude_from_timing
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute
from app.jobs.deps import WatcherDep
from app.jobs.errors import MailNotConfigured
from app.jobs.kinds.kind import Kind
from app.notifications import commands, queries, service, views
from app.notifications.channels.channel import Channel, OpenChannel
from app.notifications.cursors import Position
from app.notifications.deps import ChannelsDep, DelivererDep, SealingDep
from app.notifications.errors import (
    AddressNotConfirmed,
    DeliveryNotFound,
    DeliveryPending,
    NoSecret,
    SubscriptionDisabled,
    SubscriptionNotFound,
    TooManyConfirmations,
    TooManySubscriptions,
    UrlNotAllowed,
)
from app.notifications.schemas import (
    DeliveriesReplayed,
    DeliveryDetails,
    DeliveryPage,
    DeliveryReplayed,
    EventTypes,
    PingResult,
    ReplayRequest,
    RotationRequest,
    SecretRotated,
    SubscriptionCreated,
    SubscriptionPage,
    SubscriptionView,
    subscription_bodies,
)
from app.notifications.states import DeliveryStatus, SubscriptionStatus

MAX_TEST_SECONDS: Final = 15

_UNKNOWN: Final = SubscriptionNotFound(subscription_id="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")
_UNKNOWN_DELIVERY: Final = DeliveryNotFound(delivery_id="5d2c9a3e-4b1f-4c6d-9e8a-7f0b1c2d3e4f")
_URL_NOT_ALLOWED: Final = UrlNotAllowed(reason="its port is neither 443 nor 8443")
_TOO_MANY_CONFIRMATIONS: Final = TooManyConfirmations(limit=commands.MAX_CONFIRMATIONS)
_EXAMPLE: Final = {
    "name": "CI",
    "channel": "webhook",
    "target": {"url": "https://ci.example.com/hooks/ml"},
    "events": ["job.completed", "job.failed"],
    "filter": {"kind": "train_model", "metadata": {"team": "a"}},
}

OfStatus = Annotated[DeliveryStatus | None, Query(alias="status", description="Only these deliveries.")]

router = APIRouter(route_class=BoundedRoute, tags=["notifications"])


def subscriptions_router(kinds: Mapping[str, Kind], channels: Mapping[str, OpenChannel]) -> APIRouter:
    """Return the routes that create and change subscriptions: their bodies depend on kinds and channels."""
    bodies = subscription_bodies(kinds, channels)
    changing = APIRouter(route_class=BoundedRoute, tags=["notifications"])

    async def create_subscription(
        body: Any,
        request: Request,
        user: NotificationsWriter,
        settings: SettingsDep,
        database: DatabaseDep,
        sealing: SealingDep,
        opened: ChannelsDep,
        response: Response,
    ) -> SubscriptionCreated:
        """Creates a subscription. From now on, each event that matches is delivered at least once.

        The response is the only one that has the `secret`.
        """
        channel = opened[body.channel]
        await channel.check(body.target)
        async with database.transaction() as connection:
            state, secret = await service.create(
                connection,
                sealing,
                channel,
                user.id,
                body,
                limit=settings.max_subscriptions,
                by=actor_of(request, user),
            )
        response.headers["Cache-Control"] = "no-store"
        response.headers["Location"] = link(f"/subscriptions/{state.subscription.id}")
        return views.subscription_created(state, secret)

    async def change_subscription(
        subscription_id: UUID,
        body: Any,
        request: Request,
        user: NotificationsWriter,
        database: DatabaseDep,
        opened: ChannelsDep,
    ) -> SubscriptionView:
        """Changes what the body names. A new URL or address is checked or confirmed anew."""
        async with database.connection() as connection:
            found = await queries.get(connection, user.id, subscription_id)
        channel = opened.get(found.channel)
        target = None
        if "target" in body.model_fields_set:
            target = await _checked_target(channel, body.target)
        async with database.transaction() as connection:
            state = await service.change(
                connection, channel, user.id, subscription_id, body, target, by=actor_of(request, user)
            )
        return views.subscription_view(state)

    # FastAPI reads the types of the bodies from the annotations.
    create_subscription.__annotations__["body"] = bodies.request
    change_subscription.__annotations__["body"] = bodies.change
    changing.add_api_route(
        "/subscriptions",
        create_subscription,
        methods=["POST"],
        operation_id="createSubscription",
        summary="Create a subscription",
        status_code=HTTP_201_CREATED,
        response_description="The subscription, with its secret",
        responses={
            201: {"headers": {"Location": {"description": "Path to it", "schema": {"type": "string"}}}},
            **problems.responses(
                TooManySubscriptions(subscriptions=20, limit=20),
                _URL_NOT_ALLOWED,
                _TOO_MANY_CONFIRMATIONS,
                MailNotConfigured,
            ),
        },
        openapi_extra={
            "requestBody": {"content": {"application/json": {"examples": {"webhook": {"value": _EXAMPLE}}}}}
        },
    )
    changing.add_api_route(
        "/subscriptions/{subscription_id}",
        change_subscription,
        methods=["PATCH"],
        operation_id="changeSubscription",
        summary="Change, disable or enable a subscription",
        response_description="The subscription",
        responses=problems.responses(
            _UNKNOWN, AddressNotConfirmed, _URL_NOT_ALLOWED, _TOO_MANY_CONFIRMATIONS, MailNotConfigured
        ),
    )
    return changing


@router.get(
    "/subscriptions",
    operation_id="listSubscriptions",
    summary="List your subscriptions, newest first",
    response_description="One page of subscriptions",
    responses=problems.responses(InvalidCursor),
)
async def list_subscriptions(
    user: NotificationsReader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    status: Annotated[SubscriptionStatus | None, Query(description="Only these subscriptions.")] = None,
    channel: Annotated[CleanStr | None, Query(max_length=64, description="Only those of a channel.")] = None,
) -> SubscriptionPage:
    """Returns your subscriptions, without their secrets."""
    async with database.connection() as connection:
        page = await queries.page(
            connection, user.id, status=status, channel=channel, before=wanted.before, limit=wanted.limit
        )
    return views.subscription_page(page)


@router.get(
    "/subscriptions/{subscription_id}",
    operation_id="getSubscription",
    summary="Get a subscription",
    response_description="The subscription",
    responses=problems.responses(_UNKNOWN),
)
async def get_subscription(
    subscription_id: UUID, user: NotificationsReader, database: DatabaseDep
) -> SubscriptionView:
    """Returns a subscription, and how its deliveries go."""
    async with database.connection() as connection:
        return views.subscription_view(await queries.state(connection, user.id, subscription_id))


@router.delete(
    "/subscriptions/{subscription_id}",
    operation_id="deleteSubscription",
    summary="Delete a subscription",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN),
)
async def delete_subscription(
    subscription_id: UUID, request: Request, user: NotificationsWriter, database: DatabaseDep
) -> None:
    """Deletes a subscription with all its deliveries, also those that wait."""
    await service.delete(database, user.id, subscription_id, by=actor_of(request, user))


@router.post(
    "/subscriptions/{subscription_id}/rotate-secret",
    operation_id="rotateSubscriptionSecret",
    summary="Give a subscription a new secret",
    response_description="The new secret",
    responses=problems.responses(_UNKNOWN, NoSecret(channel="chat")),
)
async def rotate_secret(
    subscription_id: UUID,
    request: Request,
    user: NotificationsWriter,
    database: DatabaseDep,
    sealing: SealingDep,
    channels: ChannelsDep,
    response: Response,
    body: RotationRequest | None = None,
) -> SecretRotated:
    """Returns a new secret. Until `previous_expires_at`, deliveries have a signature with each of the two."""
    async with database.transaction() as connection:
        secret, previous_expires_at = await service.rotate_secret(
            connection,
            sealing,
            channels,
            user.id,
            subscription_id,
            overlap_hours=(body or RotationRequest()).overlap_hours,
            by=actor_of(request, user),
        )
    response.headers["Cache-Control"] = "no-store"
    return SecretRotated(secret=secret, previous_expires_at=previous_expires_at)


@router.post(
    "/subscriptions/{subscription_id}/test",
    operation_id="testSubscription",
    summary="Send a test",
    response_description="How the test ended",
    responses={
        202: {"model": PingResult, "description": "The test has not been sent yet"},
        **problems.responses(_UNKNOWN, SubscriptionDisabled, AddressNotConfirmed),
    },
)
async def send_test(
    subscription_id: UUID,
    request: Request,
    user: NotificationsWriter,
    database: DatabaseDep,
    deliverer: DelivererDep,
    watcher: WatcherDep,
    response: Response,
    wait: Annotated[
        float, Query(ge=0, le=MAX_TEST_SECONDS, description="Seconds to wait for its end.")
    ] = MAX_TEST_SECONDS,
) -> PingResult:
    """Delivers an event of the type `ping`, tries it once, and waits for the end.

    It overtakes what waits, and does not count as a failure. If a test is pending, this one is it.
    """
    async with database.transaction() as connection:
        delivery_id = await commands.write_test(connection, user.id, subscription_id)
    deliverer.wake()
    exclude_from_timing(request.scope)
    outcome = await service.wait_for_test(
        database, delivery_id, seconds=wait, is_stopping=lambda: watcher.is_closed
    )
    if outcome is None:
        raise SubscriptionNotFound(subscription_id=str(subscription_id))
    is_pending = outcome.status is DeliveryStatus.PENDING
    response.status_code = HTTP_202_ACCEPTED if is_pending else HTTP_200_OK
    return PingResult(
        delivery_id=delivery_id,
        status=outcome.status,
        duration_ms=outcome.duration_ms,
        response_status=outcome.response_status,
        error=outcome.error,
    )


@router.get(
    "/subscriptions/{subscription_id}/deliveries",
    operation_id="listSubscriptionDeliveries",
    summary="List the deliveries of a subscription, newest first",
    response_description="One page of deliveries",
    responses=problems.responses(_UNKNOWN, InvalidCursor),
)
async def list_subscription_deliveries(
    subscription_id: UUID,
    user: NotificationsReader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    status: OfStatus = None,
) -> DeliveryPage:
    """Returns the deliveries of a subscription. Ended ones are kept as long as jobs are."""
    before = None if wanted.cursor is None else Position.decode(wanted.cursor)
    async with database.connection() as connection:
        page = await queries.deliveries_of(
            connection, user.id, subscription_id, status=status, before=before, limit=wanted.limit
        )
    return views.delivery_page(page)


@router.post(
    "/subscriptions/{subscription_id}/replay",
    operation_id="replaySubscriptionDeliveries",
    summary="Deliver again what failed",
    status_code=HTTP_202_ACCEPTED,
    response_description="How many deliveries are sent again",
    responses=problems.responses(_UNKNOWN, SubscriptionDisabled, AddressNotConfirmed),
)
async def replay_subscription_deliveries(
    subscription_id: UUID,
    body: ReplayRequest,
    user: NotificationsWriter,
    database: DatabaseDep,
    deliverer: DelivererDep,
) -> DeliveriesReplayed:
    """Delivers again what failed or was dropped in a span of time and has not been replayed since."""
    async with database.transaction() as connection:
        count = await commands.replay_many(
            connection,
            user.id,
            subscription_id,
            status=DeliveryStatus(body.status),
            since=body.since,
            until=body.until,
        )
    deliverer.wake()
    return DeliveriesReplayed(count=count)


@router.get(
    "/deliveries",
    operation_id="listDeliveries",
    summary="List all your deliveries, newest first",
    response_description="One page of deliveries",
    responses=problems.responses(InvalidCursor),
)
async def list_deliveries(
    user: NotificationsReader, database: DatabaseDep, wanted: PageQueryDep, status: OfStatus = None
) -> DeliveryPage:
    """Returns the deliveries of all your subscriptions."""
    before = None if wanted.cursor is None else Position.decode(wanted.cursor)
    async with database.connection() as connection:
        page = await queries.deliveries(connection, user.id, status=status, before=before, limit=wanted.limit)
    return views.delivery_page(page)


@router.get(
    "/deliveries/{delivery_id}",
    operation_id="getDelivery",
    summary="Get a delivery with its body and its tries",
    response_description="The delivery",
    responses=problems.responses(_UNKNOWN_DELIVERY),
)
async def get_delivery(
    delivery_id: UUID, user: NotificationsReader, settings: SettingsDep, database: DatabaseDep
) -> DeliveryDetails:
    """Returns a delivery with what it says, and for each try the status and the first KiB of the answer."""
    async with database.connection() as connection:
        delivery, notice = await queries.delivery(
            connection, user.id, delivery_id, public_url=settings.public_url
        )
        tries = await queries.tries(connection, delivery_id)
    return views.delivery_details(delivery, notice, tries)


@router.post(
    "/deliveries/{delivery_id}/replay",
    operation_id="replayDelivery",
    summary="Deliver again what a delivery says",
    status_code=HTTP_202_ACCEPTED,
    response_description="The new delivery",
    responses=problems.responses(
        _UNKNOWN_DELIVERY, DeliveryPending, SubscriptionDisabled, AddressNotConfirmed
    ),
)
async def replay_delivery(
    delivery_id: UUID, user: NotificationsWriter, database: DatabaseDep, deliverer: DelivererDep
) -> DeliveryReplayed:
    """Creates a new delivery of the same event, with an id of its own."""
    async with database.transaction() as connection:
        replayed = await commands.replay(connection, user.id, delivery_id)
    deliverer.wake()
    return DeliveryReplayed(delivery_id=replayed)


@router.get(
    "/event-types",
    operation_id="listEventTypes",
    summary="List the types of events",
    response_description="All types of events",
)
async def list_event_types(_user: NotificationsReader) -> EventTypes:
    """Returns all types of events, each with an example of the body of a webhook."""
    return views.event_types()


async def _checked_target(channel: Channel | None, given: dict[str, Any]) -> StrictBody:
    """Return a target that the channel takes. Raises RequestValidationError, and what the channel raises."""
    if channel is None:
        fault = {"type": "unknown_channel", "loc": ("body", "target"), "msg": "The channel does not exist"}
        raise RequestValidationError([fault])
    try:
        target = channel.target.model_validate(given)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", "target", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None
    await channel.check(target)
    return target
