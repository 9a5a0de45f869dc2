"""Sends e-mail by SMTP: one message, one recipient, one outcome. Knows no domain.

    mailer = Mailer(MailServer.from_settings(settings))
    match await mailer.send(Email(id="…", to="ada@example.org", subject="Hello", text="…")):
        case Delivered(): ...

A message has one recipient, because with several an SMTP client reports success even if the server refused
one of them.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email import policy, utils
from email.headerregistry import Address
from email.message import EmailMessage
from time import monotonic
from types import TracebackType
from typing import Final, Self

import aiosmtplib
import structlog

from app.core import email_addresses, metrics, text
from app.core.config import Settings, SmtpSecurity
from app.core.email_addresses import Mailbox

MAX_REPLY_CHARACTERS: Final = 300

OF_THE_SERVER: Final = frozenset({421, 530, 534, 535, 538})
"""Replies about the connection or the sign-in, to whatever command: they say nothing about the message."""

# No line of the content is longer than SMTP allows, and none needs a server that supports 8BITMIME.
_POLICY: Final = policy.SMTP.clone(cte_type="7bit")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Email:
    """A message to one recipient. `id` becomes its Message-ID: pass the same one on every attempt.

    `headers` are further ones, such as `List-Unsubscribe`.
    """

    id: str
    to: str
    subject: str
    text: str
    html: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivered:
    """The server has accepted the message."""

    message_id: str


@dataclass(frozen=True)
class Refused:
    """The server has refused the message, finally or (`is_final` false) for now. `reply` says why.

    The recipient's address in the reply is masked.
    """

    reply: str
    is_final: bool


@dataclass(frozen=True)
class Away:
    """The server is unreachable or unusable. It has not decided about the message."""

    reason: str


MailOutcome = Delivered | Refused | Away


@dataclass(frozen=True)
class MailServer:
    """An SMTP server, how to use it, and the sender of all messages."""

    host: str
    port: int
    security: SmtpSecurity
    sender: Mailbox
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the server of the settings. Raises ValueError if none is set."""
        if settings.smtp_host is None or settings.mail_from is None:
            raise ValueError("SMTP_HOST is not set")
        username, password = settings.smtp_username, settings.smtp_password
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            sender=email_addresses.parse_mailbox(settings.mail_from),
            username=None if username is None else username.get_secret_value(),
            password=None if password is None else password.get_secret_value(),
        )


class Mailer:
    """Sends messages over a few connections, which it keeps open for a while. An async context manager.

    `step_seconds` limits each step of the protocol, `message_seconds` a message as a whole. Once the server
    was found to be away, no message tries it for `away_seconds`, so that a dead server does not hold up all
    that wait.
    """

    def __init__(
        self,
        server: MailServer,
        *,
        tls_context: ssl.SSLContext | None = None,
        connections: int = 2,
        idle_seconds: float = 30.0,
        step_seconds: float = 10.0,
        message_seconds: float = 45.0,
        away_seconds: float = 30.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._server = server
        self._tls_context = tls_context
        self._idle_seconds = idle_seconds
        self._step_seconds = step_seconds
        self._message_seconds = message_seconds
        self._away_seconds = away_seconds
        self._clock = clock
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._away: tuple[float, Away] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))

    async def send(self, email: Email) -> MailOutcome:
        """Send a message and return what became of it.

        Raises ValueError, and sends nothing, if an address is invalid or a header has control characters.
        """
        message, message_id = _compose(email, self._server.sender)
        content = _further_headers(email) + message.as_bytes()
        async with self._slots:
            if (away := self._known_away()) is not None:
                return away
            outcome = await self._try(email.to, content, message_id)
        self._note(outcome)
        return outcome

    def _known_away(self) -> Away | None:
        if self._away is None:
            return None
        until, away = self._away
        return away if self._clock() < until else None

    def _note(self, outcome: MailOutcome) -> None:
        was_away = self._away is not None
        metrics.MAIL_UP.set(0 if isinstance(outcome, Away) else 1)
        if isinstance(outcome, Away):
            self._away = self._clock() + self._away_seconds, outcome
            if not was_away:
                log.warning("mail_server_away", reason=outcome.reason)
        elif was_away:
            self._away = None
            log.info("mail_server_back")

    async def _try(self, recipient: str, content: bytes, message_id: str) -> MailOutcome:
        try:
            async with asyncio.timeout(self._message_seconds):
                return await self._transmit(recipient, content, message_id)
        except TimeoutError:  # also a step of the protocol
            return Away("the server did not answer in time")
        except (aiosmtplib.SMTPException, OSError) as error:
            return Away(_describe(error))

    async def _transmit(self, recipient: str, content: bytes, message_id: str) -> MailOutcome:
        connection = await self._connect()
        try:
            outcome: MailOutcome = Delivered(message_id)
            try:
                await connection.transmit(self._server.sender.address, recipient, content)
            except (
                aiosmtplib.SMTPSenderRefused,
                aiosmtplib.SMTPRecipientRefused,
                aiosmtplib.SMTPDataError,
            ) as refusal:
                if refusal.code in OF_THE_SERVER:
                    raise
                reply = f"{refusal.code} {refusal.message}".replace(recipient, "<recipient>")
                outcome = Refused(_printable(reply), is_final=refusal.code >= 500)
        except BaseException:
            connection.close()  # the server may still answer the command that was given up
            raise
        self._keep(connection)
        return outcome

    async def _connect(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if await connection.is_usable():
                return connection
        if self._tls_context is None and self._server.security is not SmtpSecurity.NONE:
            self._tls_context = await asyncio.to_thread(ssl.create_default_context)
        connection = _Connection(self._server, self._tls_context, self._step_seconds)
        await connection.open()
        return connection

    def _keep(self, connection: "_Connection") -> None:
        self._idle.append(connection)
        asyncio.get_running_loop().call_later(self._idle_seconds, self._close_if_idle, connection)

    def _close_if_idle(self, connection: "_Connection") -> None:
        if connection in self._idle and connection.idle_seconds >= self._idle_seconds:
            self._idle.remove(connection)
            connection.close()


class _Connection:
    """One connection to the server, signed in."""

    def __init__(self, server: MailServer, tls_context: ssl.SSLContext | None, step_seconds: float) -> None:
        is_encrypted = server.security is not SmtpSecurity.NONE
        self._smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            # The default asks the resolver, which may take seconds.
            local_hostname=server.sender.domain,
            timeout=step_seconds,
            use_tls=server.security is SmtpSecurity.TLS,
            # Not None: with that, the client continues unencrypted if the server offers no STARTTLS.
            start_tls=server.security is SmtpSecurity.STARTTLS,
            tls_context=tls_context if is_encrypted else None,
        )
        self._used_at = 0.0

    @property
    def idle_seconds(self) -> float:
        """The time since the last message."""
        return asyncio.get_running_loop().time() - self._used_at

    async def open(self) -> None:
        """Connect, encrypt and sign in. Raises SMTPException, OSError."""
        await self._smtp.connect()

    async def is_usable(self) -> bool:
        """Whether the server still answers on this connection, whose transaction is reset. Else close it."""
        try:
            await self._smtp.rset()
        except (aiosmtplib.SMTPException, OSError):
            self.close()
            return False
        return True

    async def transmit(self, sender: str, recipient: str, content: bytes) -> None:
        """Send a message. Raises SMTPException, OSError."""
        size = [f"size={len(content)}"] if self._smtp.supports_extension("size") else []
        await self._smtp.mail(sender, options=size)
        await self._smtp.rcpt(recipient)
        await self._smtp.data(content)
        self._used_at = asyncio.get_running_loop().time()

    def close(self) -> None:
        """Close the connection at once."""
        self._smtp.close()

    async def quit(self) -> None:
        """Say goodbye and close the connection."""
        with suppress(aiosmtplib.SMTPException, OSError):
            await self._smtp.quit()
        self.close()


def _compose(email: Email, sender: Mailbox) -> tuple[EmailMessage, str]:
    """Return the message and its Message-ID. Raises ValueError."""
    message_id = f"<{email.id}@{sender.domain}>"
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(_header(sender.name), addr_spec=sender.address)
    message["To"] = Address(addr_spec=email_addresses.parse(email.to))
    if email.reply_to is not None:
        message["Reply-To"] = Address(addr_spec=email_addresses.parse(email.reply_to))
    message["Subject"] = _header(email.subject)
    message["Date"] = utils.localtime()
    message["Message-ID"] = _header(message_id)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's out-of-office reply answers it
    message.set_content(email.text, charset="utf-8")
    if email.html is not None:
        message.add_alternative(email.html, subtype="html", charset="utf-8")
    return message, message_id


def _further_headers(email: Email) -> bytes:
    """Return the further headers, each on one line. Raises ValueError.

    `EmailMessage` encodes a URL that is longer than a line, and no mail program reads it then.
    """
    return b"".join(
        f"{_header(name)}: {_header(value)}\r\n".encode("ascii") for name, value in email.headers.items()
    )


def _header(value: str) -> str:
    """Return the value of a header. Raises ValueError if it could end the header or hide a part of it."""
    if not text.is_one_line(value):
        raise ValueError("a header must not have control characters")
    return value


def _describe(error: BaseException) -> str:
    """Return what went wrong: an error of the connection is the cause of the one that the client raises."""
    if isinstance(error, aiosmtplib.SMTPConnectError) and error.__cause__ is not None:
        error = error.__cause__
    return _printable(str(error)) or type(error).__name__


def _printable(reply: str) -> str:
    """Return what a server says as one line of printable characters."""
    cleaned = "".join(character if character.isprintable() else " " for character in reply)
    return " ".join(cleaned.split())[:MAX_REPLY_CHARACTERS]
