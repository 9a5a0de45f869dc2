"""Messages to a chat room, by its incoming webhook: one line for each event.

Slack's form, which Mattermost, Rocket.Chat and Google Chat take too, or an adaptive card for Teams.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field

from app.core.config import Settings
from app.http.body import StrictBody
from app.notifications.addresses import MAX_URL_LENGTH, Url
from app.notifications.bodies import Notice
from app.notifications.channels.channel import Message, Outcome, Refused
from app.notifications.channels.sender import DEFAULT_NETWORK, NOT_ALLOWED, Network, Sender
from app.notifications.channels.webhook import USER_AGENT, outcome_of
from app.notifications.errors import UrlNotAllowed

MAX_TEXT_CHARACTERS: Final = 500
_CARD_SCHEMA: Final = "http://adaptivecards.io/schemas/adaptive-card.json"


class ChatFormat(StrEnum):
    """What the room's webhook takes."""

    SLACK = "slack"
    TEAMS = "teams"


class ChatTarget(StrictBody):
    """The incoming webhook of a chat room. Its URL is a secret: who knows it can write to the room."""

    url: Annotated[
        str,
        Field(
            max_length=MAX_URL_LENGTH,
            description="The URL that the chat service shows for the room.",
            examples=["https://hooks.slack.com/services/T0/B0/X"],
        ),
    ]
    format: Annotated[ChatFormat, Field(description="`teams` sends an adaptive card.")] = ChatFormat.SLACK


class ChatChannel:
    """Posts each event as a message to a chat room."""

    name = "chat"
    target = ChatTarget
    gather_seconds = 0
    needs_confirmation = False
    is_signed = False

    def __init__(self, settings: Settings, network: Network = DEFAULT_NETWORK) -> None:
        self._sender = Sender(settings, network)

    async def check(self, target: ChatTarget) -> None:
        """Refuse a URL to which nothing may be sent. Raises UrlNotAllowed."""
        self._sender.check(Url.parse(target.url))

    async def send(self, message: Message) -> Outcome:
        """Post one event."""
        [notice] = message.notices
        try:
            url = Url.parse(message.target.url)
        except UrlNotAllowed:
            return Refused(error=NOT_ALLOWED, is_final=True)
        answer = await self._sender.post(
            url,
            [(b"content-type", b"application/json"), (b"user-agent", USER_AGENT)],
            msgspec.json.encode(_body(notice, message.target.format)),
        )
        return outcome_of(answer, message.now)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()


def _body(notice: Notice, chat_format: ChatFormat) -> dict[str, Any]:
    headline, facts = notice.headline, [*notice.facts]
    if chat_format is ChatFormat.SLACK:
        text = [f"*{_escaped(headline)}*", *(f"{name}: {_escaped(value)}" for name, value in facts)]
        return {"text": "\n".join(text)}
    lines = [_line(_short(headline), weight="Bolder")]
    lines += [_line(f"{name}: {_short(value)}", weight="Default") for name, value in facts]
    card = {"$schema": _CARD_SCHEMA, "type": "AdaptiveCard", "version": "1.4", "body": lines}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _line(text: str, *, weight: str) -> dict[str, Any]:
    """Return a line of a card. A run is plain text: what a user wrote is never read as Markdown."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, "weight": weight}]}


def _escaped(text: str) -> str:
    """Return text that Slack shows as it is: without mentions, links and formatting of a user."""
    text = _short(text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    # A zero-width space after what would start formatting.
    return "".join(f"{character}\u200b" if character in "*_~`" else character for character in text)


def _short(text: str) -> str:
    """Return one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[: MAX_TEXT_CHARACTERS - 1]}…"
