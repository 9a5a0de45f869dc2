"""Webhooks, signed as Standard Webhooks defines it (https://www.standardwebhooks.com)."""

import email.utils
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field

from app.core.config import Settings
from app.core.version import VERSION
from app.http.body import StrictBody
from app.notifications.addresses import MAX_URL_LENGTH, Url
from app.notifications.channels.channel import Delivered, Message, Outcome, Refused
from app.notifications.channels.sender import DEFAULT_NETWORK, NOT_ALLOWED, Answer, Network, NoAnswer, Sender
from app.notifications.errors import UrlNotAllowed
from app.notifications.retries import MAX_RETRY_AFTER_SECONDS
from app.notifications.signatures import sign
from app.notifications.states import DisabledReason

USER_AGENT: Final = f"Headrace/{VERSION}".encode()
GONE: Final = 410
_TRY_LATER: Final = frozenset({429, 503})


class WebhookTarget(StrictBody):
    """Where a webhook goes."""

    url: Annotated[
        str,
        Field(
            max_length=MAX_URL_LENGTH,
            description="An `https` URL on port 443 or 8443.",
            examples=["https://ci.example.com/hooks/ml"],
        ),
    ]


class WebhookChannel:
    """Posts each event to a URL."""

    name = "webhook"
    target = WebhookTarget
    gather_seconds = 0
    needs_confirmation = False
    is_signed = True

    def __init__(self, settings: Settings, network: Network = DEFAULT_NETWORK) -> None:
        self._sender = Sender(settings, network)

    async def check(self, target: WebhookTarget) -> None:
        """Refuse a URL to which nothing may be sent. Raises UrlNotAllowed."""
        self._sender.check(Url.parse(target.url))

    async def send(self, message: Message) -> Outcome:
        """Post one event."""
        [notice] = message.notices
        timestamp = int(message.now.timestamp())
        signature = sign(message.secrets, str(message.id), timestamp, notice.body)
        try:
            url = Url.parse(message.target.url)
        except UrlNotAllowed:
            return Refused(error=NOT_ALLOWED, is_final=True)
        answer = await self._sender.post(
            url,
            [
                (b"webhook-id", str(message.id).encode()),
                (b"webhook-timestamp", str(timestamp).encode()),
                (b"webhook-signature", signature.encode()),
                (b"content-type", b"application/json"),
                (b"user-agent", USER_AGENT),
            ],
            notice.body,
        )
        return outcome_of(answer, message.now)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()


def outcome_of(answer: Answer | NoAnswer, now: datetime) -> Outcome:
    """Return what an answer means: 2xx is success, and everything else a failure that may pass."""
    if isinstance(answer, NoAnswer):
        return Refused(error=answer.error, is_final=answer.error == NOT_ALLOWED)
    if 200 <= answer.status < 300:
        return Delivered(answer.status, answer.response)
    return Refused(
        status=answer.status,
        response=answer.response,
        is_final=answer.status == GONE,
        retry_after=_retry_after(answer, now) if answer.status in _TRY_LATER else None,
        disables=DisabledReason.GONE if answer.status == GONE else None,
    )


def _retry_after(answer: Answer, now: datetime) -> float | None:
    """How many seconds the receiver wants nothing, as its header says, in seconds or as a date."""
    text = answer.headers.get(b"retry-after", b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
