"""E-mail about events: asked for, gathered, in two languages, and no header has a user's text."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from app.core.config import Settings, SmtpSecurity
from app.core.database import Database
from app.core.mail import Mailer
from app.core.message_templates import Language
from app.jobs.errors import MailNotConfigured
from app.notifications import mails
from app.notifications.channels.email import EmailChannel, EmailTarget
from app.notifications.deliverer import Deliverer
from app.notifications.links import Links, Purpose, Token
from app.notifications.sealing import Sealing
from app.notifications.states import DeliveryStatus
from tests.notifications import subscribing
from tests.notifications.conftest import PUBLIC_URL, MakeDeliverer
from tests.notifications.test_deliverer import VirtualClock
from tests.support import jobs, mail
from tests.support.mail import PostOffice

ADDRESS = "ada@example.com"
TARGET = {"address": ADDRESS, "language": "en"}
NASTY = "CI\r\nBcc: eve@example.com\r\n\r\n<b>x</b>"
MINUTE = timedelta(minutes=1)


@dataclass
class Post:
    """A deliverer of e-mail, and the server that it sends through."""

    office: PostOffice
    deliverer: Deliverer
    clock: VirtualClock


@pytest.fixture
async def post(settings: Settings, make_deliverer: MakeDeliverer) -> AsyncIterator[Post]:
    office = PostOffice()
    clock = VirtualClock()
    async with mail.serving(office, SmtpSecurity.NONE) as server, Mailer(server) as mailer:
        channel = EmailChannel(settings, mailer)
        yield Post(office, make_deliverer(channels={"email": channel}, clock=clock), clock)


async def subscribe(database: Database, owner_id: UUID, **options: Any) -> UUID:
    chosen = {"channel": "email", "target": TARGET, "gather_seconds": 30, **options}
    return await subscribing.subscribe(database, owner_id, **chosen)


async def end_jobs(database: Database, owner_id: UUID, count: int) -> None:
    for number in range(count):
        job = await jobs.running(database, owner_id, rows=5)
        if number % 3:
            await jobs.complete(database, job)
        else:
            await jobs.fail(database, job, is_retryable=False)


async def test_the_events_of_half_a_minute_come_in_one_message(
    database: Database, post: Post, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id, events=["job.completed", "job.failed"])
    await end_jobs(database, owner_id, 12)
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    [received] = post.office.received
    assert received.recipients == [ADDRESS]
    assert received.message["Subject"] == "[Headrace] 12 job events: 8 completed, 4 failed"
    assert received.text.count(f"{PUBLIC_URL}/jobs/") == 12
    assert received.text.count("boom: It went wrong.") == 4
    assert {found.status for found in await subscribing.deliveries(database, subscription)} == {"delivered"}


async def test_a_single_job_is_told_by_its_kind_its_error_and_how_long_it_took(
    database: Database, post: Post, owner_id: UUID
) -> None:
    await subscribe(database, owner_id, events=["job.failed"])
    await end_jobs(database, owner_id, 1)
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    [received] = post.office.received
    assert received.message["Subject"] == f"[Headrace] Job failed: {jobs.KIND}"
    assert "boom: It went wrong." in received.text
    assert "after it was created" in received.text
    assert "boom: It went wrong." in received.html


async def test_a_message_says_how_to_unsubscribe_with_one_click_and_is_no_reply_to_anybody(
    database: Database, post: Post, sealing: Sealing, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id, events=["job.failed"])
    await end_jobs(database, owner_id, 1)
    post.clock.advance(MINUTE)
    await post.deliverer.deliver_due()
    [delivery] = await subscribing.deliveries(database, subscription)

    [received] = post.office.received

    header = received.message["List-Unsubscribe"]
    url = urlsplit(header.removeprefix("<").removesuffix(">"))
    [text] = parse_qs(url.query)["token"]
    token = Token.parse(text)
    assert header.startswith(f"<{PUBLIC_URL}/email/unsubscribe?token=")
    assert b"List-Unsubscribe: =?" not in received.raw
    assert received.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert received.message["Auto-Submitted"] == "auto-generated"
    assert received.message["Message-ID"] == f"<{delivery.id}@example.net>"
    assert token is not None
    assert token.subscription_id == subscription
    links = Links(sealing, PUBLIC_URL)
    assert links.is_valid(Purpose.UNSUBSCRIBE, token, TARGET, post.clock.now)
    assert f"{PUBLIC_URL}/email/unsubscribe?token={text}" in received.text


async def test_an_address_is_asked_for_its_confirmation_and_gets_nothing_else_before(
    database: Database, post: Post, sealing: Sealing, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id, status="pending")
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 3)
        await subscribing.flood(connection, subscription, 1, type="subscription.confirm")
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    [received] = post.office.received
    [link] = [line for line in received.text.splitlines() if "/email/confirm?token=" in line]
    token = Token.parse(parse_qs(urlsplit(link).query)["token"][0])
    links = Links(sealing, PUBLIC_URL)
    assert received.message["Subject"] == "[Headrace] Confirm your address"
    assert token is not None
    assert links.is_valid(Purpose.CONFIRM, token, TARGET, post.clock.now + timedelta(hours=47))
    assert not links.is_valid(Purpose.CONFIRM, token, TARGET, post.clock.now + timedelta(hours=49))
    assert not links.is_valid(
        Purpose.CONFIRM, token, {**TARGET, "address": "eve@example.com"}, post.clock.now
    )
    assert f'<a href="{link}">' in received.html


async def test_no_header_has_a_users_text_and_html_shows_it_as_text(
    database: Database, post: Post, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id, name=NASTY, events=["job.failed"])
    await jobs.create(database, owner_id, metadata={"note": NASTY})
    await jobs.fail(database, await jobs.claim(database), is_retryable=False)
    await subscribing.ping(database, subscription)
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1, type="subscription.confirm")
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    assert len(post.office.received) == 3
    for received in post.office.received:
        assert received.recipients == [ADDRESS]
        assert received.message["Bcc"] is None
        headers = received.raw.partition(b"\r\n\r\n")[0]
        assert b"eve@" not in headers
        assert "<b>x</b>" not in received.html
        assert "&lt;b&gt;x&lt;/b&gt;" in received.html


async def test_more_events_than_fit_are_counted(database: Database, post: Post, owner_id: UUID) -> None:
    subscription = await subscribe(database, owner_id)
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 130)
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    [received] = post.office.received
    assert received.message["Subject"] == "[Headrace] 130 schedule events: 130 missed"
    assert "… and 30 more" in received.text


async def test_a_subscription_in_chinese_gets_chinese(database: Database, post: Post, owner_id: UUID) -> None:
    await subscribe(
        database, owner_id, events=["job.failed"], target={**TARGET, "language": "zh-CN"}, name="持续集成"
    )
    await end_jobs(database, owner_id, 1)
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    [received] = post.office.received
    assert received.message["Subject"] == f"[Headrace] 任务失败：{jobs.KIND}"
    assert "您收到此邮件，是因为订阅“持续集成”。" in received.text
    assert 'lang="zh-CN"' in received.html


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [("550 no such user", "failed", "recipient_refused"), ("451 later", "pending", "mail_deferred")],
)
async def test_what_the_server_says_about_a_recipient_decides_about_the_next_try(
    database: Database, post: Post, owner_id: UUID, reply: str, status: str, error: str
) -> None:
    post.office.replies[ADDRESS].append(reply)
    subscription = await subscribe(database, owner_id)
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1)
    post.clock.advance(MINUTE)

    await post.deliverer.deliver_due()

    [delivery] = await subscribing.deliveries(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert (delivery.status, attempt.error) == (status, error)
    assert ADDRESS.encode() not in (attempt.response or b"")


async def test_while_the_server_is_away_nothing_fails_and_everything_comes_when_it_is_back(
    database: Database, settings: Settings, make_deliverer: MakeDeliverer, owner_id: UUID
) -> None:
    clock = VirtualClock()
    office = PostOffice()
    subscription = await subscribe(database, owner_id)
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1)
    clock.advance(MINUTE)
    async with mail.serving(office) as server:
        pass
    async with Mailer(server, away_seconds=0.0) as mailer:
        channel = EmailChannel(settings, mailer)
        await make_deliverer(channels={"email": channel}, clock=clock).deliver_due()
        [waiting] = await subscribing.deliveries(database)
        clock.advance(2 * MINUTE)
        async with mail.serving(office, port=server.port):
            await make_deliverer(channels={"email": channel}, clock=clock).deliver_due()

    [delivery] = await subscribing.deliveries(database)
    assert (waiting.status, waiting.tries) == (DeliveryStatus.PENDING, 0)
    assert (delivery.status, delivery.tries) == (DeliveryStatus.DELIVERED, 1)
    assert len(office.received) == 1


async def test_without_a_server_or_a_public_url_no_address_is_accepted(settings: Settings) -> None:
    channel = EmailChannel(settings.model_copy(update={"public_url": None}))

    with pytest.raises(MailNotConfigured):
        await channel.check(EmailTarget(address=ADDRESS))


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("template", mails.TEMPLATES.names)
def test_every_template_takes_the_same_values_in_each_language(template: str, language: Language) -> None:
    in_english = mails.TEMPLATES.placeholders(template, Language.ENGLISH)

    assert mails.TEMPLATES.placeholders(template, language) == in_english
    assert {"name", "unsubscribe"} <= in_english
