"""A real SMTP server on loopback, with TLS and sign-in, that answers as a test tells it to."""

import asyncio
import email
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from typing import cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.core.config import SmtpSecurity
from app.core.email_addresses import Mailbox
from app.core.mail import MailServer
from tests.support.ports import HOST

USERNAME = "headrace"
PASSWORD = "smtp password 4711"
SENDER = Mailbox("headrace@example.net", "Headrace")
ACCEPTED = "250 OK"


@dataclass(frozen=True)
class Received:
    """A message that the server has accepted, and how it came."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes
    is_encrypted: bool
    is_signed_in: bool

    @property
    def text(self) -> str:
        """The part as plain text."""
        part = self.message.get_body(("plain",))
        assert part is not None
        content: str = part.get_content()
        return content

    @property
    def html(self) -> str:
        """The part as HTML."""
        part = self.message.get_body(("html",))
        assert part is not None
        content: str = part.get_content()
        return content


@dataclass
class PostOffice:
    """What the server has received, and how it answers.

    `replies` are those to RCPT by recipient, the first one first; without any more it accepts.
    `data_replies` are those to the content. `stopped` holds answers to the content until it is set.
    """

    received: list[Received] = field(default_factory=list)
    replies: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    data_replies: list[str] = field(default_factory=list)
    connections: int = 0
    held: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def recipients(self) -> list[str]:
        """The recipient of each message, in the order of arrival."""
        return [recipient for message in self.received for recipient in message.recipients]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.replies[address]:
            reply = self.replies[address].pop(0)
            if not reply.startswith("250"):
                return reply
        envelope.rcpt_tos.append(address)
        return ACCEPTED

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.arrived.set()
        if self.held is not None:
            await self.held.wait()
        if self.data_replies:
            reply = self.data_replies.pop(0)
            if not reply.startswith("250"):
                return reply
        raw = cast(bytes, envelope.content)
        self.received.append(
            Received(
                sender=envelope.mail_from or "",
                recipients=list(envelope.rcpt_tos),
                message=email.message_from_bytes(raw, policy=policy.default),
                raw=raw,
                is_encrypted=_is_encrypted(server),
                is_signed_in=session.authenticated is True,
            )
        )
        return ACCEPTED


def _is_encrypted(server: SMTP) -> bool:
    return server.transport is not None and server.transport.get_extra_info("sslcontext") is not None


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: LoginPassword
) -> AuthResult:
    # `handled=False`, or the client never gets an answer.
    is_right = auth_data.login == USERNAME.encode() and auth_data.password == PASSWORD.encode()
    return AuthResult(success=is_right, handled=False)


class _Connection(SMTP):
    """One connection to the server, which a test ends with the server."""

    async def end(self) -> None:
        """Close the connection, if it is open, and wait for what serves it."""
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.abort()  # type: ignore[attr-defined]  # of a stream socket
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await asyncio.wait((self._handler_coroutine,))


@asynccontextmanager
async def serving(
    office: PostOffice,
    security: SmtpSecurity = SmtpSecurity.NONE,
    tls_context: ssl.SSLContext | None = None,
    *,
    port: int = 0,
    offers_starttls: bool = True,
) -> AsyncIterator[MailServer]:
    """Serve SMTP during the body; yield how to reach it. With STARTTLS, it requires a sign-in."""
    loop = asyncio.get_running_loop()
    is_encrypted = security is not SmtpSecurity.NONE
    starts_tls = security is SmtpSecurity.STARTTLS and offers_starttls
    connections: list[_Connection] = []

    def create() -> _Connection:
        office.connections += 1
        connection = _Connection(
            office,
            hostname="mail.example.net",
            tls_context=tls_context if starts_tls else None,
            require_starttls=starts_tls,
            # It does not know of TLS from the first byte, and would refuse every sign-in there.
            auth_required=starts_tls,
            auth_require_tls=starts_tls,
            authenticator=authenticate,
            loop=loop,
        )
        connections.append(connection)
        return connection

    server = await loop.create_server(
        create,
        HOST,
        port,
        family=socket.AF_INET,
        reuse_port=port != 0,
        ssl=tls_context if security is SmtpSecurity.TLS else None,
    )
    try:
        yield MailServer(
            host=HOST,
            port=server.sockets[0].getsockname()[1],
            security=security,
            sender=SENDER,
            username=USERNAME if is_encrypted else None,
            password=PASSWORD if is_encrypted else None,
        )
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*(connection.end() for connection in connections))
        await asyncio.sleep(0)  # the event loop closes the sockets


def settings_of(server: MailServer, **more: object) -> dict[str, object]:
    """The settings with which Headrace sends through a server."""
    return {
        "smtp_host": server.host,
        "smtp_port": server.port,
        "smtp_security": server.security,
        "smtp_username": server.username,
        "smtp_password": server.password,
        "mail_from": f"{server.sender.name} <{server.sender.address}>",
        "mail_allowed_domains": "example.com",
        **more,
    }


def environment_of(server: MailServer) -> dict[str, str]:
    """The same as environment variables."""
    return {name.upper(): str(value) for name, value in settings_of(server).items() if value is not None}
