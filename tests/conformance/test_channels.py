"""The conformance suite of channels: each does what the deliverer relies on, whatever its receiver does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.core import ids
from app.core.config import Settings
from app.core.mail import Mailer
from app.notifications.bodies import Notice, example
from app.notifications.channels.channel import Away, Channel, Delivered, Message, Outcome, Refused
from app.notifications.channels.chat import ChatChannel
from app.notifications.channels.email import EmailChannel
from app.notifications.channels.registry import BUILT_IN, open_channels
from app.notifications.channels.sender import Network
from app.notifications.channels.webhook import WebhookChannel
from app.notifications.states import SUBSCRIBABLE, NotificationType
from tests.conformance.cases import PLUGINS, ChannelCase, ChannelReceiver, ReceiverState, of_plugins
from tests.notifications import receiver as receivers
from tests.notifications.receiver import Receiver
from tests.support import mail
from tests.support.mail import PostOffice

SILENCE_SECONDS = 0.5
"""How long the channels of this suite wait for a receiver that is silent."""

RESPONSES = {
    ReceiverState.ACCEPTING: receivers.answer(200),
    ReceiverState.REFUSING_FOR_GOOD: receivers.answer(410),
    ReceiverState.REFUSING_FOR_NOW: receivers.answer(503),
    ReceiverState.SILENT: receivers.never,
    ReceiverState.CUTTING: receivers.cut,
}


class HttpReceiver:
    """A channel that posts to URLs, and a receiver on loopback."""

    def __init__(self, channel: Channel, receiver: Receiver) -> None:
        self.channel = channel
        self.target = {"url": receiver.url}
        self._receiver = receiver
        self._accepted: list[str] = []

    def become(self, state: ReceiverState) -> bool:
        respond = RESPONSES.get(state)
        if respond is None:
            return False
        is_accepting = state is ReceiverState.ACCEPTING

        async def keep_and_respond(received: receivers.Received, writer: asyncio.StreamWriter) -> None:
            if is_accepting:
                # A chat service gets no id: there, the text tells the job.
                self._accepted.append(received.headers.get("webhook-id", received.body.decode()))
            await respond(received, writer)

        self._receiver.respond = keep_and_respond
        return True

    def accepted(self) -> list[str]:
        return self._accepted


def case_of(open_channel: Any) -> ChannelCase:
    @asynccontextmanager
    async def open_receiver(settings: Settings, _folder: Path) -> AsyncIterator[ChannelReceiver]:
        allowed = settings.model_copy(update={"webhook_allowed_networks": ("127.0.0.0/8",)})
        async with receivers.receiving() as receiver:
            yield HttpReceiver(open_channel(allowed, Network(total_seconds=SILENCE_SECONDS)), receiver)

    return ChannelCase(open_receiver)


class EmailReceiver:
    """The channel of e-mail, and a mail server on loopback."""

    def __init__(self, channel: EmailChannel, office: PostOffice) -> None:
        self.channel = channel
        self.target = {"address": "ada@example.com"}
        self._office = office
        self._reply = ""

    def become(self, state: ReceiverState) -> bool:
        replies = {
            ReceiverState.ACCEPTING: "",
            ReceiverState.REFUSING_FOR_GOOD: "554 no",
            ReceiverState.REFUSING_FOR_NOW: "451 later",
            ReceiverState.AWAY: "421 shutting down",
        }
        if state not in replies:
            return False  # a server that is silent or cuts connections is away
        self._office.data_replies = [replies[state]] if replies[state] else []
        return True

    def accepted(self) -> list[str]:
        return [received.message["Message-ID"] for received in self._office.received]


@asynccontextmanager
async def open_mail(settings: Settings, _folder: Path) -> AsyncIterator[ChannelReceiver]:
    office = PostOffice()
    public = settings.model_copy(update={"public_url": "https://ml.example.com"})
    async with mail.serving(office) as server:
        yield EmailReceiver(EmailChannel(public, Mailer(server, away_seconds=0.0)), office)


CASES: dict[str, ChannelCase] = {
    "chat": case_of(ChatChannel),
    "email": ChannelCase(open_mail),
    "webhook": case_of(WebhookChannel),
    **dict(of_plugins("CHANNEL_CASES")),
}


@pytest.fixture(params=CASES)
async def receiver(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> AsyncIterator[ChannelReceiver]:
    async with CASES[request.param].open(settings, tmp_path) as opened:
        assert opened.become(ReceiverState.ACCEPTING)
        yield opened
        await opened.channel.aclose()


def message(
    receiver: ChannelReceiver, notification: NotificationType = NotificationType.JOB_FAILED
) -> Message:
    notice = Notice(
        delivery_id=ids.new_id(),
        type=notification,
        at=datetime.now(UTC),
        data=example(notification)["data"],
    )
    return Message(
        subscription_id=ids.new_id(),
        subscription_name="CI",
        target=receiver.channel.target.model_validate(receiver.target),
        secrets=(b"s" * 32,) if receiver.channel.is_signed else (),
        notices=(notice,),
        now=datetime.now(UTC),
    )


def become(receiver: ChannelReceiver, state: ReceiverState) -> None:
    if not receiver.become(state):
        pytest.skip(f"receivers of this channel are never {state}")


async def test_every_channel_has_a_case(settings: Settings) -> None:
    async with open_channels(settings.model_copy(update={"plugins": PLUGINS})) as channels:
        assert set(channels) == set(CASES)


async def test_each_channel_is_listed_under_its_name_and_describes_its_target(settings: Settings) -> None:
    async with open_channels(settings.model_copy(update={"plugins": PLUGINS})) as channels:
        for name, channel in channels.items():
            assert channel.name == name
            schema = channel.target.model_json_schema()
            assert schema["additionalProperties"] is False
            assert schema["properties"]
            assert channel.gather_seconds >= 0


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_built_in_channel_is_documented(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs/notifications.md").read_text()

    assert f'"channel": "{name}"' in text


async def test_a_valid_target_is_accepted(receiver: ChannelReceiver) -> None:
    await receiver.channel.check(receiver.channel.target.model_validate(receiver.target))


@pytest.mark.parametrize("notification", [*SUBSCRIBABLE, NotificationType.PING])
async def test_an_event_of_each_type_is_delivered(
    receiver: ChannelReceiver, notification: NotificationType
) -> None:
    outcome = await receiver.channel.send(message(receiver, notification))

    assert isinstance(outcome, Delivered)
    assert len(receiver.accepted()) == 1


async def test_a_message_that_comes_again_is_recognised_by_its_receiver(receiver: ChannelReceiver) -> None:
    sent = message(receiver)

    outcomes = [await receiver.channel.send(sent) for _ in range(2)]

    assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
    assert len(set(receiver.accepted())) == 1


@pytest.mark.parametrize(
    ("state", "is_final"),
    [(ReceiverState.REFUSING_FOR_GOOD, True), (ReceiverState.REFUSING_FOR_NOW, False)],
)
async def test_a_refusal_says_whether_a_later_try_may_succeed(
    receiver: ChannelReceiver, state: ReceiverState, is_final: bool
) -> None:
    become(receiver, state)

    outcome = await receiver.channel.send(message(receiver))

    assert isinstance(outcome, Refused)
    assert outcome.is_final is is_final
    assert receiver.accepted() == []


@pytest.mark.parametrize("state", [ReceiverState.SILENT, ReceiverState.CUTTING])
async def test_a_receiver_that_does_not_answer_is_a_failure_that_may_pass(
    receiver: ChannelReceiver, state: ReceiverState
) -> None:
    become(receiver, state)
    refused = await receiver.channel.send(message(receiver))
    receiver.become(ReceiverState.ACCEPTING)

    outcome = await receiver.channel.send(message(receiver))

    assert isinstance(refused, Refused)
    assert not refused.is_final
    assert refused.error
    assert isinstance(outcome, Delivered)


async def test_a_channel_that_is_away_says_so_and_works_again_when_it_is_back(
    receiver: ChannelReceiver,
) -> None:
    become(receiver, ReceiverState.AWAY)
    outcomes: list[Outcome] = [await receiver.channel.send(message(receiver))]
    receiver.become(ReceiverState.ACCEPTING)
    outcomes.append(await receiver.channel.send(message(receiver)))

    assert [type(outcome) for outcome in outcomes] == [Away, Delivered]
    assert len(receiver.accepted()) == 1


async def test_a_try_can_be_cancelled_and_the_next_one_succeeds(receiver: ChannelReceiver) -> None:
    become(receiver, ReceiverState.SILENT)
    task = asyncio.create_task(receiver.channel.send(message(receiver)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    receiver.become(ReceiverState.ACCEPTING)

    assert isinstance(await receiver.channel.send(message(receiver)), Delivered)
