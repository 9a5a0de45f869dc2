"""E-mail over SMTP, on a real server with TLS and sign-in: each message has exactly one outcome."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core import metrics
from app.core.config import Settings, SmtpSecurity, load_settings
from app.core.mail import Away, Delivered, Email, Mailer, MailServer, Refused
from tests.support import mail, ports
from tests.support.certificates import Authority
from tests.support.clocks import Clock
from tests.support.mail import PASSWORD, SENDER, PostOffice

TO = "ada@example.com"
HELLO = Email(id="0001", to=TO, subject="Hello", text="How are you?\n")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "certificates")


@pytest.fixture
def office() -> PostOffice:
    return PostOffice()


@asynccontextmanager
async def plain_mailer(office: PostOffice, *, away_seconds: float = 0.0) -> AsyncIterator[Mailer]:
    """A mailer of a server without TLS."""
    async with mail.serving(office) as server, Mailer(server, away_seconds=away_seconds) as mailer:
        yield mailer


@pytest.mark.parametrize("security", [SmtpSecurity.STARTTLS, SmtpSecurity.TLS])
async def test_a_message_is_sent_encrypted_and_signed_in(
    office: PostOffice, authority: Authority, security: SmtpSecurity
) -> None:
    async with (
        mail.serving(office, security, authority.server_context("127.0.0.1")) as server,
        Mailer(server, tls_context=authority.client_context()) as mailer,
    ):
        outcome = await mailer.send(HELLO)

    [received] = office.received
    assert outcome == Delivered("<0001@example.net>")
    assert received.is_encrypted
    assert received.is_signed_in
    assert received.sender == SENDER.address
    assert received.recipients == [TO]


async def test_the_message_is_what_was_given_with_the_headers_of_an_automatic_one(office: PostOffice) -> None:
    text = "你好！\n.\n..a line that begins with dots\n" + "long " * 400 + "\nbare\rreturn\n"
    email = Email(
        id="0002",
        to=TO,
        subject="报告 — ready " + "again " * 20,
        text=text,
        html="<p>你好！ &amp; <b>bye</b></p>",
        reply_to="help@example.com",
        headers={"List-Unsubscribe": "<https://example.net/email/unsubscribe?token=x>"},
    )
    async with plain_mailer(office) as mailer:
        assert isinstance(await mailer.send(email), Delivered)

    [received] = office.received
    message = received.message
    assert message["Subject"] == email.subject
    assert message["From"] == "Headrace <headrace@example.net>"
    assert message["To"] == TO
    assert message["Reply-To"] == "help@example.com"
    assert message["Message-ID"] == "<0002@example.net>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime is not None
    assert message["List-Unsubscribe"] == email.headers["List-Unsubscribe"]
    assert received.text.replace("\r\n", "\n") == text.replace("\r", "\n")
    assert received.html.strip() == email.html
    assert received.raw.isascii()
    assert max(len(line) for line in received.raw.split(b"\r\n")) <= 998


async def test_a_url_in_a_header_is_sent_as_it_is_however_long(office: PostOffice) -> None:
    link = f"<https://example.net/email/unsubscribe?token={'x' * 200}>"
    email = Email(id="1", to=TO, subject="Hi", text="x", headers={"List-Unsubscribe": link})
    async with plain_mailer(office) as mailer:
        await mailer.send(email)

    [received] = office.received
    assert f"List-Unsubscribe: {link}\r\n".encode() in received.raw


async def test_each_message_has_one_recipient_who_is_asked_alone(office: PostOffice) -> None:
    recipients = [f"user{number}@example.com" for number in range(5)]
    async with plain_mailer(office) as mailer:
        outcomes = await asyncio.gather(
            *(mailer.send(Email(id=to[:5], to=to, subject="Hi", text="Hi")) for to in recipients)
        )

    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert sorted(office.recipients) == recipients
    assert all(len(received.recipients) == 1 for received in office.received)


async def test_connections_are_kept_and_few(office: PostOffice) -> None:
    async with plain_mailer(office) as mailer:
        for number in range(3):
            await mailer.send(Email(id=str(number), to=TO, subject="Hi", text="Hi"))
        assert office.connections == 1

        await asyncio.gather(
            *(mailer.send(Email(id=str(number), to=TO, subject="Hi", text="Hi")) for number in range(20))
        )

    assert len(office.received) == 23
    assert office.connections <= 2


async def test_an_idle_connection_that_the_server_has_closed_loses_no_message(office: PostOffice) -> None:
    with ports.reserved() as port:
        async with Mailer(MailServer(ports.HOST, port, SmtpSecurity.NONE, SENDER)) as mailer:
            for _ in range(2):  # the connections of the first server end with it
                async with mail.serving(office, port=port):
                    assert isinstance(await mailer.send(HELLO), Delivered)

    assert len(office.received) == 2
    assert office.connections == 2


@pytest.mark.parametrize(
    ("to_recipient", "to_content", "is_final"),
    [
        ("550 5.1.1 <ada@example.com>: no such user", None, True),
        ("451 4.7.1 Greylisted, try again", None, False),
        (None, "554 5.7.1 Looks like spam", True),
        (None, "452 4.3.1 Insufficient system storage", False),
    ],
)
async def test_a_refusal_is_final_or_for_now_as_its_code_says(
    office: PostOffice, to_recipient: str | None, to_content: str | None, is_final: bool
) -> None:
    office.replies[TO] += [to_recipient] if to_recipient else []
    office.data_replies += [to_content] if to_content else []
    async with plain_mailer(office) as mailer:
        refused = await mailer.send(HELLO)
        again = await mailer.send(HELLO)

    assert isinstance(refused, Refused)
    assert refused.is_final is is_final
    assert refused.reply.startswith((to_recipient or to_content or "")[:9])
    assert TO not in refused.reply
    assert isinstance(again, Delivered)
    assert office.connections == 1


async def test_a_hostile_reply_becomes_one_short_line(office: PostOffice) -> None:
    office.data_replies.append("554 " + "\x1b[31m\x07 bad \t" * 60)
    async with plain_mailer(office) as mailer:
        refused = await mailer.send(HELLO)

    assert isinstance(refused, Refused)
    assert refused.reply.isprintable()
    assert len(refused.reply) <= 300


async def test_a_wrong_password_is_the_servers_matter_and_not_the_messages(
    office: PostOffice, authority: Authority
) -> None:
    async with mail.serving(office, SmtpSecurity.STARTTLS, authority.server_context("127.0.0.1")) as server:
        wrong = MailServer(server.host, server.port, server.security, SENDER, "headrace", "not the password")
        async with Mailer(wrong, tls_context=authority.client_context()) as mailer:
            outcome = await mailer.send(HELLO)

    assert isinstance(outcome, Away)
    assert "535" in outcome.reason
    assert office.received == []


async def test_nothing_is_sent_in_the_clear_if_the_server_offers_no_starttls(
    office: PostOffice, authority: Authority
) -> None:
    async with (
        mail.serving(office, SmtpSecurity.STARTTLS, offers_starttls=False) as server,
        Mailer(server, tls_context=authority.client_context()) as mailer,
    ):
        outcome = await mailer.send(HELLO)

    assert isinstance(outcome, Away)
    assert "STARTTLS" in outcome.reason
    assert office.received == []


@pytest.mark.parametrize("security", [SmtpSecurity.STARTTLS, SmtpSecurity.TLS])
async def test_a_certificate_with_another_name_or_of_another_authority_is_refused(
    office: PostOffice, authority: Authority, tmp_path: Path, security: SmtpSecurity
) -> None:
    other = Authority.create(tmp_path / "other")
    for context in (authority.server_context("mail.example.org"), other.server_context("127.0.0.1")):
        async with (
            mail.serving(office, security, context) as server,
            Mailer(server, tls_context=authority.client_context()) as mailer,
        ):
            outcome = await mailer.send(HELLO)

        assert isinstance(outcome, Away)
        assert re.search("(?i)certificate", outcome.reason)
    assert office.received == []


async def test_a_server_that_is_closing_has_decided_nothing(office: PostOffice) -> None:
    office.replies[TO].append("421 4.3.2 Shutting down")
    async with plain_mailer(office) as mailer:
        assert isinstance(await mailer.send(HELLO), Away)
        assert isinstance(await mailer.send(HELLO), Delivered)


async def test_a_server_that_wants_a_sign_in_has_decided_nothing(office: PostOffice) -> None:
    office.replies[TO].append("530 5.7.0 Authentication required")
    async with plain_mailer(office) as mailer:
        assert isinstance(await mailer.send(HELLO), Away)


async def test_a_server_that_never_answers_is_away_and_is_not_tried_by_all() -> None:
    tried: list[asyncio.Task[None] | None] = []

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.append(asyncio.current_task())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    clock = Clock(0.0)
    black_hole = await asyncio.start_server(say_nothing, ports.HOST, 0)
    async with black_hole:
        port = black_hole.sockets[0].getsockname()[1]
        server = MailServer(ports.HOST, port, SmtpSecurity.NONE, SENDER)
        async with Mailer(server, step_seconds=0.1, away_seconds=30.0, clock=clock) as mailer:
            outcomes = await asyncio.gather(*(mailer.send(HELLO) for _ in range(20)))
            assert all(isinstance(outcome, Away) for outcome in outcomes)
            # Two connections were open when the first message found it out.
            assert len(tried) <= 2

            clock.now = 30.0
            assert isinstance(await mailer.send(HELLO), Away)
            assert len(tried) <= 3
        await asyncio.gather(*(serving for serving in tried if serving is not None))


async def test_a_message_that_takes_too_long_as_a_whole_is_given_up(office: PostOffice) -> None:
    office.held = asyncio.Event()
    async with mail.serving(office) as server, Mailer(server, message_seconds=0.2) as mailer:
        outcome = await mailer.send(HELLO)
        office.held.set()

    assert outcome == Away("the server did not answer in time")


async def test_away_and_back(office: PostOffice) -> None:
    clock = Clock(0.0)
    with ports.reserved() as port:
        server = MailServer(ports.HOST, port, SmtpSecurity.NONE, SENDER)
        async with Mailer(server, away_seconds=30.0, clock=clock) as mailer:
            assert isinstance(await mailer.send(HELLO), Away)
            assert metrics.MAIL_UP._value.get() == 0
            async with mail.serving(office, port=port):
                clock.now = 29.0
                assert isinstance(await mailer.send(HELLO), Away)
                assert office.connections == 0

                clock.now = 30.0
                assert isinstance(await mailer.send(HELLO), Delivered)
                assert metrics.MAIL_UP._value.get() == 1
                assert isinstance(await mailer.send(HELLO), Delivered)


async def test_a_cancelled_message_leaves_no_connection_that_the_next_one_could_meet(
    office: PostOffice,
) -> None:
    office.held = asyncio.Event()
    async with plain_mailer(office) as mailer:
        sending = asyncio.create_task(mailer.send(HELLO))
        async with asyncio.timeout(30):
            await office.arrived.wait()
        sending.cancel()
        await asyncio.wait((sending,))
        office.held.set()
        outcome = await mailer.send(Email(id="0003", to="grace@example.com", subject="Hi", text="Hi"))

    assert outcome == Delivered("<0003@example.net>")
    assert office.connections == 2


@pytest.mark.parametrize(
    "email",
    [
        Email(id="1", to=f"{TO}\r\nBcc: eve@example.com", subject="Hi", text="x"),
        Email(id="1", to=f"{TO}, eve@example.com", subject="Hi", text="x"),
        Email(id="1", to=TO, subject="Hi\r\nBcc: eve@example.com", text="x"),
        Email(id="1", to=TO, subject="Hi\nBcc: eve@example.com", text="x"),
        Email(id="1", to=TO, subject="Hi\u2028Bcc: eve@example.com", text="x"),
        Email(id="1", to=TO, subject="Hi\x0b", text="x"),
        Email(id="1\r\nBcc: eve@example.com", to=TO, subject="Hi", text="x"),
        Email(id="1", to=TO, subject="Hi", text="x", reply_to="a@example.com\r\nBcc: eve@example.com"),
        Email(id="1", to=TO, subject="Hi", text="x", headers={"X-Job": "1\r\nBcc: eve@example.com"}),
        Email(id="1", to=TO, subject="Hi", text="x", headers={"X-Job\r\nBcc": "eve@example.com"}),
    ],
)
async def test_no_value_can_add_a_header_or_a_recipient(office: PostOffice, email: Email) -> None:
    async with plain_mailer(office) as mailer:
        with pytest.raises(ValueError, match=r"\w"):
            await mailer.send(email)

    assert office.connections == 0


async def test_no_text_can_end_the_message_and_begin_another(office: PostOffice) -> None:
    smuggled = "\r\n.\r\nMAIL FROM:<eve@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nx\r\n.\r\n"
    for text in (smuggled, smuggled.replace("\r\n", "\n"), smuggled.replace("\r\n", "\r")):
        async with plain_mailer(office) as mailer:
            assert isinstance(
                await mailer.send(Email(id="1", to=TO, subject="Hi", text=f"a{text}b")), Delivered
            )

    assert office.recipients == [TO, TO, TO]


async def test_the_name_of_the_sender_can_hold_anything_printable(office: PostOffice) -> None:
    async with mail.serving(office) as server:
        settings = of(mail_from='"赫 <ML>, \\"quoted\\"" <headrace@example.net>', smtp_port=server.port)
        async with Mailer(MailServer.from_settings(settings)) as mailer:
            assert isinstance(await mailer.send(HELLO), Delivered)

    [address] = office.received[0].message["From"].addresses
    assert address.display_name == '赫 <ML>, "quoted"'
    assert address.addr_spec == "headrace@example.net"


def of(**more: object) -> Settings:
    """Settings with a server on this machine."""
    return load_settings(
        _env_file=None,
        database_url="postgresql://h@127.0.0.1/h",
        redis_url="redis://127.0.0.1:1",
        **{"smtp_host": "127.0.0.1", "smtp_security": "none", "mail_from": "h@example.net", **more},
    )


def test_the_password_is_in_no_representation(authority: Authority) -> None:
    server = MailServer.from_settings(of(smtp_username="me", smtp_password=PASSWORD))

    assert server.password == PASSWORD
    assert PASSWORD not in repr(server)


def test_without_a_host_there_is_no_server() -> None:
    with pytest.raises(ValueError, match="SMTP_HOST"):
        MailServer.from_settings(of(smtp_host=None))


async def test_a_host_without_a_server_is_away() -> None:
    with socket.socket() as closed:
        closed.bind((ports.HOST, 0))
        server = MailServer(ports.HOST, closed.getsockname()[1], SmtpSecurity.TLS, SENDER)
        async with Mailer(server, tls_context=ssl.create_default_context()) as mailer:
            assert isinstance(await mailer.send(HELLO), Away)
