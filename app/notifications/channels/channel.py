"""What a channel is: the contract between the deliverer and each way to reach a receiver.

A plugin adds a channel with the module `channels`; `tests/conformance/test_channels.py` checks the contract.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from app.core.config import Settings
from app.http.body import StrictBody
from app.notifications.bodies import Notice
from app.notifications.states import DisabledReason


@dataclass(frozen=True, kw_only=True)
class Message:
    """One try: what to tell, and whom. Every try of the same notices has the same `id` and the same content.

    Several notices only if the channel gathers. `target` is an object of the channel's class `target`, and
    `secrets` are those that sign, for channels that have them. `now` is the time of this try.
    """

    subscription_id: UUID
    subscription_name: str
    target: Any = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False, default=())
    notices: tuple[Notice, ...]
    now: datetime

    @property
    def id(self) -> UUID:
        """What the receiver recognises a repetition by: the delivery's id, of several the first one's."""
        return self.notices[0].delivery_id


@dataclass(frozen=True)
class Delivered:
    """The receiver has accepted the message. `response` is the beginning of its answer."""

    status: int | None = None
    response: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The receiver has not accepted the message, or could not be reached.

    `error` is a code, such as `timed_out`. `is_final`: no further try can succeed. `retry_after`: how many
    seconds the receiver wants nothing. `disables`: the receiver wants nothing of this subscription any more.
    """

    error: str | None = None
    status: int | None = None
    response: bytes | None = None
    is_final: bool = False
    retry_after: float | None = None
    disables: DisabledReason | None = None


@dataclass(frozen=True)
class Away:
    """The channel itself does not work, such as a mail server: it says nothing about the receiver.

    Nothing is taken for the channel for a minute, and the try does not count.
    """

    error: str


Outcome: TypeAlias = Delivered | Refused | Away


class Channel(Protocol):
    """One way to reach receivers."""

    @property
    def name(self) -> str:
        """The name that subscriptions give."""

    @property
    def target(self) -> type[StrictBody]:
        """What a subscription's `target` holds."""

    @property
    def gather_seconds(self) -> int:
        """How long events are collected into one message; 0 means that each is sent alone, at once."""

    @property
    def needs_confirmation(self) -> bool:
        """Whether a subscription is pending until its receiver confirms it.

        The channel asks for it with the message of the type `subscription.confirm`.
        """

    @property
    def is_signed(self) -> bool:
        """Whether subscriptions have a secret."""

    async def check(self, target: Any) -> None:
        """Refuse a target when it is saved, with an AppError. What counts is the check in `send`."""

    async def send(self, message: Message) -> Outcome:
        """Try once. It has 60 seconds, and is then cancelled.

        The same message may come again, also if it was accepted. An exception counts as a failed try.
        """

    async def aclose(self) -> None:
        """Close what the channel has opened."""


class OpenChannel(Protocol):
    """Creates a channel, which connects only when it sends. Usually the class of the channel.

    Its attributes are those of the channel: what requests may hold is known before anything is opened.
    """

    @property
    def name(self) -> str:
        """As subscriptions name it."""

    @property
    def target(self) -> type[StrictBody]:
        """What a subscription's `target` holds."""

    @property
    def is_signed(self) -> bool:
        """Whether subscriptions have a secret."""

    def __call__(self, settings: Settings, /) -> Channel:
        """Return a channel with these settings."""
