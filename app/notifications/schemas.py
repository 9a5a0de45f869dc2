"""Requests and responses of the routes of notifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol, Self, Union
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo

from app.http.body import CleanObject, CleanSecret, CleanStr, StrictBody, at_most
from app.http.instants import Instant
from app.jobs.kinds.kind import Kind
from app.jobs.requests import MAX_METADATA_PAIRS, MetadataKey, MetadataValue, QueueName
from app.models.names import ModelName
from app.notifications import signatures
from app.notifications.channels.channel import OpenChannel
from app.notifications.states import (
    SUBSCRIBABLE,
    DeliveryStatus,
    DisabledReason,
    NotificationType,
    SubscriptionStatus,
)
from app.notifications.values import MAX_COUNTED

MAX_NAME_LENGTH: Final = 100
MAX_EVENTS: Final = 20
MAX_OVERLAP_HOURS: Final = 168
MAX_SECRET_CHARACTERS: Final = 128


def _ensure_legible(name: str) -> str:
    if not name.isprintable() or name.isspace():
        raise ValueError("a name has visible characters, and no control characters")
    return name


def _ensure_secret(secret: SecretStr) -> SecretStr:
    signatures.parse_secret(secret.get_secret_value())
    return secret


def _without_repetitions(events: list[str]) -> list[str]:
    return list(dict.fromkeys(events))


SubscriptionName = Annotated[
    CleanStr,
    AfterValidator(_ensure_legible),
    Field(min_length=1, max_length=MAX_NAME_LENGTH, description="What it is for.", examples=["CI"]),
]

# Built at run time from the enumeration, which has further members.
_Subscribable: Any = Literal[tuple(str(member) for member in SUBSCRIBABLE)]

Events = Annotated[
    list[_Subscribable],
    at_most(MAX_EVENTS),
    AfterValidator(_without_repetitions),
    Field(
        min_length=1,
        description="Types of events to be told of: `GET /event-types` lists them.",
        examples=[["job.completed", "job.failed"]],
        json_schema_extra={"maxItems": MAX_EVENTS},
    ),
]

Secret = Annotated[
    CleanSecret,
    AfterValidator(_ensure_secret),
    Field(
        max_length=MAX_SECRET_CHARACTERS,
        description="Your own secret: `whsec_` and base64 of 24 to 64 bytes. Default: a random one, which the"
        " response has.",
    ),
]


class FilterBody(StrictBody):
    """Which jobs the subscription is about: those that match every given member."""

    queue: QueueName | None = None
    model: ModelName | None = Field(
        None, description="Name of the model with which the job predicts, or which it trains."
    )
    job_id: UUID | None = None
    group_id: UUID | None = None
    schedule_id: UUID | None = Field(
        None, description="Jobs that the schedule creates, and events of the schedule itself."
    )
    metadata: Annotated[dict[MetadataKey, MetadataValue], at_most(MAX_METADATA_PAIRS)] | None = Field(
        None,
        description="Jobs whose metadata has all these pairs.",
        json_schema_extra={"maxProperties": MAX_METADATA_PAIRS},
    )


class SubscriptionFields(StrictBody):
    """What subscriptions of all channels have."""

    name: SubscriptionName
    events: Events
    filter: Any = None


class SubscriptionBody(Protocol):
    """A request for a subscription, of any channel."""

    name: str
    channel: str
    target: StrictBody
    events: list[str]
    filter: Any
    secret: SecretStr | None


class SubscriptionChange(StrictBody):
    """What to change of a subscription. Fields that are left out stay as they are."""

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one field to change")
        return self


@dataclass(frozen=True)
class SubscriptionBodies:
    """The bodies of `POST /subscriptions` and `PATCH /subscriptions/{subscription_id}`.

    They depend on the channels and kinds, which plugins add to.
    """

    request: Any
    change: type[SubscriptionChange]


def subscription_bodies(kinds: Mapping[str, Kind], channels: Mapping[str, OpenChannel]) -> SubscriptionBodies:
    """Return the bodies for these kinds of jobs and these channels."""
    kind: Any = Literal[tuple(kinds)] | None
    filter_fields: dict[str, Any] = {"kind": (kind, None)}
    subscription_filter: Any = create_model(
        "SubscriptionFilter", __base__=FilterBody, __doc__=FilterBody.__doc__, **filter_fields
    )
    requests = tuple(_request(channel, subscription_filter) for channel in channels.values())
    request: Any = requests[0]
    if len(requests) > 1:
        request = Annotated[Union[requests], Field(discriminator="channel")]  # noqa: UP007  # a tuple
    fields: dict[str, Any] = {
        name: _left_out(field) for name, field in SubscriptionFields.model_fields.items() if name != "filter"
    }
    fields["filter"] = (
        subscription_filter | None,
        Field(default_factory=_nothing, description="The whole filter; null removes it."),
    )
    fields["target"] = (
        CleanObject,
        Field(default_factory=_nothing, description="A target of the subscription's channel."),
    )
    fields["status"] = (
        Literal["active", "disabled"],
        Field(
            default_factory=_nothing,
            description="`disabled` stops deliveries and drops those that wait; `active` starts anew.",
        ),
    )
    change = create_model(
        "SubscriptionChange", __base__=SubscriptionChange, __doc__=SubscriptionChange.__doc__, **fields
    )
    return SubscriptionBodies(request, change)


def _request(channel: OpenChannel, subscription_filter: Any) -> type[BaseModel]:
    title = "".join(part.capitalize() for part in channel.name.split("_"))
    fields: dict[str, Any] = {
        "channel": (Literal[channel.name], ...),
        "target": (channel.target, ...),
        "filter": (subscription_filter | None, Field(None, description="Default: all jobs.")),
    }
    if channel.is_signed:
        fields["secret"] = (Secret | None, None)
    return create_model(
        f"{title}Subscription",
        __base__=SubscriptionFields,
        __doc__=f"A subscription by the channel `{channel.name}`.",
        **fields,
    )


def _left_out(field: FieldInfo) -> tuple[Any, Any]:
    """Return a field that may be left out. A factory, since a default would be documented as one."""
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return annotation, Field(
        default_factory=_nothing,
        description=field.description,
        examples=field.examples,
        json_schema_extra=field.json_schema_extra,
    )


def _nothing() -> None:
    """Return what stands for a field that is left out; it is never read."""


class RotationRequest(StrictBody):
    """Options of a rotation."""

    overlap_hours: int = Field(
        24, ge=0, le=MAX_OVERLAP_HOURS, description="How long the previous secret still signs, too."
    )


class ReplayRequest(StrictBody):
    """Which deliveries to send again: those of this status that were created from `from` until `to`."""

    since: Instant = Field(alias="from")
    until: Instant | None = Field(None, alias="to", description="Not included. Default: now.")
    status: Literal["failed", "dropped"] = "failed"


class FilterView(BaseModel):
    """Which jobs a subscription is about: those that match every member that is not null."""

    model_config = ConfigDict(from_attributes=True)

    kind: str | None
    queue: str | None
    model: str | None
    job_id: UUID | None
    group_id: UUID | None
    schedule_id: UUID | None
    metadata: dict[str, str] | None


class DisabledReasonView(BaseModel):
    """Why a subscription is disabled."""

    code: DisabledReason = Field(
        description="`owner`: you disabled it. `gone`: the receiver answered 410. `failing`: every try of"
        " five days failed. `secret_lost`: its secret can no longer be read; rotate it. `unsubscribed`: the"
        " recipient used the link in an e-mail."
    )


class LastDelivery(BaseModel):
    """The newest delivery of a subscription."""

    model_config = ConfigDict(from_attributes=True)

    delivery_id: UUID = Field(validation_alias="id")
    type: NotificationType
    status: DeliveryStatus
    created_at: datetime
    ended_at: datetime | None


class SubscriptionView(BaseModel):
    """A subscription, without its secret."""

    subscription_id: UUID
    name: str
    channel: str
    target: dict[str, Any]
    events: list[NotificationType]
    filter: FilterView
    status: SubscriptionStatus = Field(
        description="`pending`: its address has to be confirmed first. `disabled`: see `reason`."
    )
    reason: DisabledReasonView | None
    created_at: datetime
    failures: int = Field(description="Failed tries since the last one that succeeded.")
    failing_since: datetime | None
    held_until: datetime | None = Field(description="Until then, nothing but tests is delivered.")
    pending: int = Field(
        description="Deliveries that wait or are being tried, counted up to 1000.", ge=0, le=MAX_COUNTED
    )
    last_delivery: LastDelivery | None


class SubscriptionCreated(SubscriptionView):
    """A new subscription, with its secret: the only response that has it."""

    secret: str | None = Field(
        repr=False, description="Verify signatures with it. Null for channels that sign nothing."
    )


class SubscriptionPage(BaseModel):
    """One page of subscriptions, newest first; `next_cursor` is null on the last page."""

    items: list[SubscriptionView]
    next_cursor: str | None


class SecretRotated(BaseModel):
    """The new secret: no other response has it."""

    secret: str = Field(repr=False, examples=[f"whsec_{'x' * 43}="])
    previous_expires_at: datetime | None = Field(
        description="Until then the previous secret signs, too. Null if it no longer does."
    )


class PingResult(BaseModel):
    """What came of a test. `status` is `pending` if it has not been sent yet."""

    delivery_id: UUID
    status: DeliveryStatus
    duration_ms: int | None
    response_status: int | None
    error: str | None = Field(description="Why there was no answer, as a code.", examples=["timed_out"])


class DeliveryView(BaseModel):
    """One event for one subscription."""

    delivery_id: UUID = Field(description="The header `webhook-id`.")
    subscription_id: UUID
    type: NotificationType
    job_id: UUID | None
    seq: int | None = Field(description="The number of the job's event.")
    status: DeliveryStatus
    tries: int
    next_try_at: datetime | None
    replay_of: UUID | None
    created_at: datetime
    ended_at: datetime | None


class TryView(BaseModel):
    """One attempt to deliver, and how it ended."""

    number: int
    at: datetime
    duration_ms: int
    response_status: int | None
    error: str | None = Field(description="Why there was no answer, as a code.")
    response: str | None = Field(description="The first KiB of the answer.")


class DeliveryDetails(DeliveryView):
    """A delivery, with what it says and all its tries."""

    body: dict[str, Any] | None = Field(description="Null if the job has been deleted.")
    history: list[TryView] = Field(description="The tries that have ended, oldest first.")


class DeliveryPage(BaseModel):
    """One page of deliveries, newest first; `next_cursor` is null on the last page."""

    items: list[DeliveryView]
    next_cursor: str | None


class DeliveryReplayed(BaseModel):
    """The new delivery, which has an id of its own."""

    delivery_id: UUID


class DeliveriesReplayed(BaseModel):
    """How many deliveries are sent again, at most 10 000; repeat the request for further ones."""

    count: int


class EventTypeView(BaseModel):
    """A type of event, with an example of what is delivered."""

    type: NotificationType
    description: str
    example: dict[str, Any]


class EventTypes(BaseModel):
    """All types of events."""

    items: list[EventTypeView]
