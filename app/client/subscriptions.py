"""Subscriptions to notifications and their deliveries: creates, changes, tests and replays them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypedDict
from urllib.parse import quote
from uuid import UUID

from app.client.data import instant
from app.client.errors import NotFound
from app.client.exchange import Exchange, json_request, parse_json
from app.client.steps import Flow, Request

TEST_SECONDS: Final = 25.0
"""Read timeout of a test; the server responds within 15 seconds."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription. `secret` verifies its webhooks; only `create_subscription` returns it.

    >>> created = client.create_subscription("CI", ["job.failed"], url="https://ci.example.com/hooks/ml")
    >>> created.status, created.secret
    ('active', 'whsec_…')
    """

    id: str
    name: str
    channel: str
    target: Mapping[str, Any] = field(repr=False)
    events: Sequence[str]
    filter: Mapping[str, Any]
    status: str
    reason: str | None
    """Why it is disabled, as a code."""
    failures: int
    failing_since: datetime | None
    pending: int
    created_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    secret: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Subscription":
        """Parse the JSON document."""
        return cls(
            id=document["subscription_id"],
            name=document["name"],
            channel=document["channel"],
            target=document["target"],
            events=tuple(document["events"]),
            filter=document.get("filter") or {},
            status=document["status"],
            reason=(document.get("reason") or {}).get("code"),
            failures=int(document.get("failures") or 0),
            failing_since=instant(document, "failing_since"),
            pending=int(document.get("pending") or 0),
            created_at=instant(document, "created_at"),
            raw={name: value for name, value in document.items() if name != "secret"},
            secret=document.get("secret"),
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one subscription. `body` and `history` are those of `delivery`, not of lists."""

    id: str
    subscription_id: str
    type: str
    job_id: str | None
    seq: int | None
    status: str
    tries: int
    replay_of: str | None
    created_at: datetime | None
    ended_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    """What a webhook says; None if the job is gone."""
    history: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    """The tries that have ended, oldest first."""

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Delivery":
        """Parse the JSON document."""
        return cls(
            id=document["delivery_id"],
            subscription_id=document["subscription_id"],
            type=document["type"],
            job_id=document.get("job_id"),
            seq=document.get("seq"),
            status=document["status"],
            tries=int(document["tries"]),
            replay_of=document.get("replay_of"),
            created_at=instant(document, "created_at"),
            ended_at=instant(document, "ended_at"),
            raw=document,
            body=document.get("body"),
            history=tuple(document.get("history") or ()),
        )


@dataclass(frozen=True, slots=True)
class PingResult:
    """What came of a test. `status` is `pending` if it has not been sent yet."""

    delivery_id: str
    status: str
    duration_ms: int | None
    response_status: int | None
    error: str | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "PingResult":
        """Parse the JSON document."""
        return cls(
            delivery_id=document["delivery_id"],
            status=document["status"],
            duration_ms=document.get("duration_ms"),
            response_status=document.get("response_status"),
            error=document.get("error"),
        )


@dataclass(frozen=True, slots=True)
class RotatedSecret:
    """The new secret of a subscription, and until when the previous one signs, too."""

    secret: str = field(repr=False)
    previous_expires_at: datetime | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "RotatedSecret":
        """Parse the JSON document."""
        return cls(secret=document["secret"], previous_expires_at=instant(document, "previous_expires_at"))


AnySubscription = str | UUID | Subscription
"""A subscription or its id."""

AnyDelivery = str | UUID | Delivery
"""A delivery or its id."""


class SubscriptionOptions(TypedDict, total=False):
    """Further options of a subscription, as of `POST /subscriptions`."""

    channel: str
    """Default: `webhook`."""
    target: Mapping[str, Any]
    """What the channel takes. Default: the `url`."""
    filter: Mapping[str, Any]
    secret: str


class SubscriptionChanges(TypedDict, total=False):
    """What to change of a subscription, as of `PATCH /subscriptions/{subscription_id}`."""

    name: str
    events: Sequence[str]
    target: Mapping[str, Any]
    filter: Mapping[str, Any] | None
    status: str


class Subscriptions:
    """The methods of the clients for subscriptions, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def create(
        self, name: str, events: Sequence[str], url: str | None, options: SubscriptionOptions
    ) -> Flow[Subscription]:
        """Create a subscription, without retries: each request creates one."""
        if isinstance(events, str):
            raise TypeError("events must be a list of types, not a string")
        if (url is None) == ("target" not in options):
            raise TypeError("give one of url and target")
        body = {"channel": "webhook", "target": {"url": url}, **options, "name": name, "events": list(events)}
        response = yield from self._exchange.once(json_request("POST", "/subscriptions", body, {}))
        return parse_json(Subscription.parse, response)

    def get(self, subscription: AnySubscription) -> Flow[Subscription]:
        """Fetch a subscription."""
        return self._exchange.read(Subscription.parse, Request("GET", _path(subscription)))

    def list(self, status: str | None, channel: str | None, page_size: int) -> Flow[None]:
        """Emit subscriptions, newest first."""
        filters = {"status": status, "channel": channel}
        given = {name: value for name, value in filters.items() if value is not None}
        return self._exchange.pages("/subscriptions", Subscription.parse, page_size, given)

    def change(self, subscription: AnySubscription, changes: SubscriptionChanges) -> Flow[Subscription]:
        """Change a subscription."""
        if isinstance(changes.get("events"), str):
            raise TypeError("events must be a list of types, not a string")
        return self._exchange.read(
            Subscription.parse, json_request("PATCH", _path(subscription), changes, {})
        )

    def delete(self, subscription: AnySubscription) -> Flow[None]:
        """Delete a subscription. It is no error if an attempt whose response was lost has deleted it."""
        retry_state = self._exchange.retry_state()
        try:
            yield from self._exchange.ask(Request("DELETE", _path(subscription)), retry_state)
        except NotFound:
            if not retry_state.failures:
                raise

    def rotate(self, subscription: AnySubscription, overlap_hours: int | None) -> Flow[RotatedSecret]:
        """Give a subscription a new secret, without retries: each request makes one."""
        body = {} if overlap_hours is None else {"overlap_hours": overlap_hours}
        request = json_request("POST", f"{_path(subscription)}/rotate-secret", body, {})
        response = yield from self._exchange.once(request)
        return parse_json(RotatedSecret.parse, response)

    def test(self, subscription: AnySubscription) -> Flow[PingResult]:
        """Send a test, without retries."""
        request = Request("POST", f"{_path(subscription)}/test", read_seconds=TEST_SECONDS)
        response = yield from self._exchange.once(request)
        return parse_json(PingResult.parse, response)

    def deliveries(
        self, subscription: AnySubscription | None, status: str | None, page_size: int
    ) -> Flow[None]:
        """Emit deliveries of one subscription or of all, newest first."""
        path = "/deliveries" if subscription is None else f"{_path(subscription)}/deliveries"
        filters = {} if status is None else {"status": status}
        return self._exchange.pages(path, Delivery.parse, page_size, filters)

    def delivery(self, delivery: AnyDelivery) -> Flow[Delivery]:
        """Fetch a delivery, with its body and its tries."""
        return self._exchange.read(Delivery.parse, Request("GET", _path_of_delivery(delivery)))

    def replay(self, delivery: AnyDelivery) -> Flow[str]:
        """Deliver again what a delivery says, without retries: each request makes a delivery."""
        response = yield from self._exchange.once(Request("POST", f"{_path_of_delivery(delivery)}/replay"))
        return parse_json(lambda document: str(document["delivery_id"]), response)

    def replay_many(
        self, subscription: AnySubscription, since: datetime, until: datetime | None, status: str
    ) -> Flow[int]:
        """Deliver again what failed; what a lost response has replayed is not replayed twice."""
        body = {"from": _format(since), "status": status}
        if until is not None:
            body["to"] = _format(until)
        return self._exchange.read(
            lambda document: int(document["count"]),
            json_request("POST", f"{_path(subscription)}/replay", body, {}),
        )


def _path(subscription: AnySubscription) -> str:
    found = subscription.id if isinstance(subscription, Subscription) else str(subscription)
    return f"/subscriptions/{quote(found, safe='')}"


def _path_of_delivery(delivery: AnyDelivery) -> str:
    found = delivery.id if isinstance(delivery, Delivery) else str(delivery)
    return f"/deliveries/{quote(found, safe='')}"


def _format(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a datetime needs a time zone: datetime.now(UTC)")
    return moment.isoformat()
