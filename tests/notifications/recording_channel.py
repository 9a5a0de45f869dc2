"""A channel for tests of the deliverer: it keeps what it is given, and answers as the test says."""

import asyncio
from collections.abc import Awaitable, Callable

from app.http.body import StrictBody
from app.notifications.channels.channel import Delivered, Message, Outcome

Answer = Callable[[Message], Awaitable[Outcome]]


def always(outcome: Outcome) -> Answer:
    """Answer everything alike."""

    async def answer(_message: Message) -> Outcome:
        return outcome

    return answer


async def silent(_message: Message) -> Outcome:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


class NamedTarget(StrictBody):
    """A target with a name, by which a test tells receivers apart."""

    to: str = "someone"


class RecordingChannel:
    """Keeps the messages. `answers` are by the name of the target; without one, everything is delivered."""

    target = NamedTarget
    needs_confirmation = False
    is_signed = False

    def __init__(self, name: str = "recording", *, gather_seconds: int = 0) -> None:
        self.name = name
        self.gather_seconds = gather_seconds
        self.messages: list[Message] = []
        self.in_flight: dict[str, int] = {}
        self.most_in_flight: dict[str, int] = {}
        self.answers: dict[str, Answer] = {}

    def of(self, to: str) -> list[Message]:
        """The messages to one receiver."""
        return [message for message in self.messages if message.target.to == to]

    async def check(self, _target: NamedTarget) -> None:
        """Accept every target."""

    async def send(self, message: Message) -> Outcome:
        """Keep the message and answer."""
        to = message.target.to
        self.messages.append(message)
        self.in_flight[to] = self.in_flight.get(to, 0) + 1
        self.most_in_flight[to] = max(self.most_in_flight.get(to, 0), self.in_flight[to])
        try:
            return await self.answers.get(to, always(Delivered()))(message)
        finally:
            self.in_flight[to] -= 1

    async def aclose(self) -> None:
        """Close nothing."""
