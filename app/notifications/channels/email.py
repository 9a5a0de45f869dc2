"""E-mail by SMTP, to addresses that have confirmed that they want it."""

from typing import Annotated, Final

from pydantic import Field

from app.core import mail
from app.core.config import Settings
from app.core.mail import Email, Mailer, MailServer
from app.core.message_templates import Language, Rendered
from app.http.body import StrictBody
from app.http.email_addresses import EmailAddress
from app.jobs.errors import MailNotConfigured
from app.notifications import mails
from app.notifications.channels.channel import Away, Delivered, Message, Outcome, Refused
from app.notifications.links import Links
from app.notifications.sealing import Sealing
from app.notifications.states import NotificationType

GATHER_SECONDS: Final = 30
MAX_REPLY_BYTES: Final = 1024


class EmailTarget(StrictBody):
    """Where e-mail goes. The address is asked for its confirmation first."""

    address: Annotated[EmailAddress, Field(examples=["ada@example.com"])]
    language: Annotated[Language, Field(description="Of the texts around the events.")] = Language.ENGLISH


class EmailChannel:
    """Sends the events of 30 seconds in one message."""

    name = "email"
    target = EmailTarget
    gather_seconds = GATHER_SECONDS
    needs_confirmation = True
    is_signed = False

    def __init__(self, settings: Settings, mailer: Mailer | None = None) -> None:
        is_configured = settings.sends_mail and settings.public_url is not None
        if mailer is None and is_configured:
            mailer = Mailer(MailServer.from_settings(settings))
        self._mailer = mailer
        self._links = Links(Sealing(settings), settings.public_url)

    async def check(self, _target: EmailTarget) -> None:
        """Refuse every target if no e-mail can be sent. Raises MailNotConfigured."""
        if self._mailer is None:
            raise MailNotConfigured

    async def send(self, message: Message) -> Outcome:
        """Send one message, or the request for the confirmation of the address."""
        if self._mailer is None:
            return Away("not_configured")
        target: EmailTarget = message.target
        unsubscribe = self._links.unsubscribe(message.subscription_id, target.model_dump(mode="json"))
        content = self._content(message, target, unsubscribe)
        email = Email(
            id=str(message.id),
            to=target.address,
            subject=content.subject,
            text=content.text,
            html=content.html,
            # RFC 8058: the mail program unsubscribes with one POST.
            headers={
                "List-Unsubscribe": f"<{unsubscribe}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )
        match await self._mailer.send(email):
            case mail.Delivered(message_id):
                return Delivered(response=message_id.encode())
            case mail.Refused(reply, is_final):
                code = "recipient_refused" if is_final else "mail_deferred"
                return Refused(error=code, response=reply.encode()[:MAX_REPLY_BYTES], is_final=is_final)
            case mail.Away(reason):
                return Away(reason)

    async def aclose(self) -> None:
        """Close the connections to the server."""
        if self._mailer is not None:
            await self._mailer.__aexit__(None, None, None)

    def _content(self, message: Message, target: EmailTarget, unsubscribe: str) -> Rendered:
        name, language = message.subscription_name, target.language
        match message.notices[0].type:
            case NotificationType.SUBSCRIPTION_CONFIRM:
                link = self._links.confirm(
                    message.subscription_id, target.model_dump(mode="json"), sent_at=message.now
                )
                return mails.confirm(name, link, unsubscribe, language)
            case NotificationType.PING:
                return mails.test(name, unsubscribe, language)
            case _:
                return mails.events(message.notices, name, unsubscribe, language)
