"""A webhook is signed as Standard Webhooks says, and says what happened."""

import email.utils
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.core.config import Settings, load_settings
from app.core.database import Database
from app.notifications import resealing
from app.notifications.channels.channel import Channel
from app.notifications.channels.sender import Network
from app.notifications.channels.webhook import WebhookChannel
from app.notifications.deliverer import Deliverer
from app.notifications.sealing import Sealing
from app.notifications.signatures import format_secret
from app.notifications.states import DeliveryStatus
from app.notifications.values import SealedSecret
from tests.notifications import receiver as receivers
from tests.notifications import subscribing
from tests.notifications.conftest import PUBLIC_URL, MakeDeliverer
from tests.notifications.receiver import Received, Receiver
from tests.notifications.subscribing import SECRET
from tests.support import jobs


def verifies(received: Received, secret: bytes) -> bool:
    """Whether the reference implementation accepts the request."""
    try:
        Webhook(format_secret(secret)).verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_a_job_that_ends_is_posted_signed_and_described(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}, events=["job.completed"]
    )
    job_id = await jobs.create(database, owner_id, metadata={"team": "a"})
    await jobs.complete(database, await jobs.claim(database))

    await deliverer.deliver_due()

    [received] = receiver.received
    [delivery] = await subscribing.deliveries(database, subscription)
    assert verifies(received, SECRET)
    assert received.method == "POST"
    assert received.id == str(delivery.id)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Headrace/")
    body = received.json
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "job.completed"
    data = body["data"]
    assert data["job_id"] == str(job_id)
    assert data["seq"] == delivery.seq
    assert (data["kind"], data["status"], data["progress"]) == (jobs.KIND, "completed", 100.0)
    assert data["result"] == jobs.RESULT
    assert data["metadata"] == {"team": "a"}
    assert data["links"]["self"] == f"{PUBLIC_URL}/jobs/{job_id}"
    assert delivery.status is DeliveryStatus.DELIVERED
    [attempt] = await subscribing.tries(database, delivery.id)
    assert (attempt.number, attempt.status, attempt.error, attempt.response) == (1, 200, None, b"ok")


async def test_a_changed_byte_and_an_old_timestamp_do_not_verify(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    received = await deliver_one(database, deliverer, sealing, receiver, owner_id)
    flipped = Received(
        received.method, received.target, received.headers, received.body.replace(b"ping", b"pong")
    )
    old = str(int(received.headers["webhook-timestamp"]) - 3600)
    late = Received(
        received.method, received.target, {**received.headers, "webhook-timestamp": old}, received.body
    )

    assert verifies(received, SECRET)
    assert not verifies(flipped, SECRET)
    assert not verifies(late, SECRET)
    assert not verifies(received, b"another secret of 32 bytes......")


async def test_a_library_of_receivers_raises_a_plain_error_for_a_signature_without_a_comma() -> None:
    # docs/notifications.md tells receivers to catch it too.
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(datetime.now(UTC).timestamp())),
        "webhook-signature": "v1",
    }

    with pytest.raises(ValueError, match="not enough values"):
        Webhook(format_secret(SECRET)).verify(b"{}", headers)


async def test_while_a_rotation_overlaps_both_secrets_verify_and_then_only_the_new_one(
    database: Database, make_deliverer: MakeDeliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    new, old = b"n" * 32, b"o" * 32
    now = datetime.now(UTC)
    subscription = await subscribing.subscribe(
        database,
        owner_id,
        sealing=sealing,
        target={"url": receiver.url},
        secrets=[(new, None), (old, now + timedelta(minutes=2))],
    )

    for moment in (now, now + timedelta(minutes=3)):
        await subscribing.ping(database, subscription)
        await make_deliverer(clock=lambda moment=moment: moment).deliver_due()
    within, after = receiver.received

    assert len(within.headers["webhook-signature"].split(" ")) == 2
    assert (verifies(within, new), verifies(within, old)) == (True, True)
    assert (verifies(after, new), verifies(after, old)) == (True, False)


async def test_after_a_change_of_the_secret_key_deliveries_are_signed_as_before(
    database: Database,
    make_deliverer: MakeDeliverer,
    settings: Settings,
    sealing: Sealing,
    receiver: Receiver,
    owner_id: UUID,
) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}
    )
    changed = rekeyed(settings)
    await subscribing.ping(database, subscription)

    await make_deliverer(sealing=Sealing(changed)).deliver_due()

    [received] = receiver.received
    assert verifies(received, SECRET)


async def test_secrets_are_sealed_anew_with_the_current_key(
    database: Database, settings: Settings, sealing: Sealing, owner_id: UUID
) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    await subscribing.subscribe(
        database, owner_id, sealing=sealing, secrets=[(SECRET, None), (b"o" * 32, until)]
    )
    changed = Sealing(rekeyed(settings))

    async with database.transaction() as connection:
        assert await resealing.reseal(connection, changed) == 1
        assert await resealing.reseal(connection, changed) == 0
        row = await connection.fetchrow("SELECT secrets, sealed_with FROM subscriptions")

    assert row is not None
    assert row["sealed_with"] == changed.key_name != sealing.key_name
    secrets = [SealedSecret.from_json(secret) for secret in row["secrets"]]
    only_new = Sealing(rekeyed(settings, with_previous=False))
    assert [only_new.open(secret.sealed) for secret in secrets] == [SECRET, b"o" * 32]
    assert [secret.expires_at for secret in secrets] == [None, until]


async def test_a_process_without_the_key_leaves_the_delivery_to_another(
    database: Database,
    make_deliverer: MakeDeliverer,
    settings: Settings,
    sealing: Sealing,
    receiver: Receiver,
    owner_id: UUID,
) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=Sealing(rekeyed(settings)), target={"url": receiver.url}
    )
    await subscribing.ping(database, subscription)

    await make_deliverer(sealing=sealing).deliver_due()
    [waiting] = await subscribing.deliveries(database, subscription)
    async with database.connection() as connection:
        assert await resealing.disable_lost(connection, sealing) == 0
    await make_deliverer(sealing=Sealing(rekeyed(settings))).deliver_due()

    assert (waiting.status, waiting.tries) == (DeliveryStatus.PENDING, 0)
    assert len(receiver.received) == 1


async def test_a_secret_that_no_process_can_open_disables_the_subscription(
    database: Database, settings: Settings, sealing: Sealing, owner_id: UUID
) -> None:
    subscription = await subscribing.subscribe(database, owner_id, sealing=Sealing(rekeyed(settings)))
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1)
        await connection.execute(
            "UPDATE deliveries SET next_try_at = now() - interval '61 minutes',"
            " created_at = now() - interval '61 minutes'"
        )

        assert await resealing.disable_lost(connection, sealing) == 1

    found = await subscribing.read(database, subscription)
    assert found.reason == {"code": "secret_lost"}


async def test_a_sealed_secret_that_was_changed_disables_the_subscription_at_its_next_delivery(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}
    )
    async with database.connection() as connection:
        await connection.execute(
            """UPDATE subscriptions SET secrets = '[{"sealed": "x", "expires_at": null}]'"""
        )
    await subscribing.ping(database, subscription)

    await deliverer.deliver_due()

    found = await subscribing.read(database, subscription)
    [delivery] = await subscribing.deliveries(database, subscription)
    assert found.reason == {"code": "secret_lost"}
    assert delivery.status is DeliveryStatus.FAILED
    assert receiver.received == []


async def test_every_try_has_the_same_bytes_and_the_same_id(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    receiver.script = [receivers.answer(500), receivers.answer(200)]
    await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}, events=["job.failed"]
    )
    await jobs.fail(database, await jobs.running(database, owner_id), is_retryable=False)
    await deliverer.deliver_due()
    await subscribing.make_due(database)

    await deliverer.deliver_due()

    first, second = receiver.received
    assert first.body == second.body
    assert first.id == second.id
    assert verifies(first, SECRET)
    assert verifies(second, SECRET)


async def test_a_large_result_is_left_out_of_the_body(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}, events=["job.completed"]
    )
    job = await jobs.running(database, owner_id, rows=5)
    report = jobs.report(job, is_final=True)
    large = replace(report, result=b'{"text": "%s"}' % (b"x" * 20_000))
    await jobs.advance(database, large)

    await deliverer.deliver_due()

    [received] = receiver.received
    data = received.json["data"]
    assert (data["result"], data["result_truncated"]) == (None, True)
    assert len(received.body) < 5000


@pytest.mark.parametrize(
    ("respond", "status", "error"),
    [
        (receivers.answer(302, location="http://169.254.169.254/"), 302, None),
        (receivers.answer(404), 404, None),
        (receivers.answer(500), 500, None),
        (receivers.cut, None, "bad_response"),
        (receivers.raw(b"garbage\r\n\r\n"), None, "bad_response"),
        (receivers.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort"), None, "bad_response"),
        (receivers.raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n"), None, "bad_response"),
        (receivers.never, None, "timed_out"),
        (receivers.dripping, None, "timed_out"),
    ],
    ids=("redirect", "404", "500", "cut", "garbage", "short", "long headers", "silent", "dripping"),
)
async def test_everything_but_a_complete_2xx_is_a_failure_that_is_tried_again(
    database: Database,
    settings: Settings,
    make_deliverer: MakeDeliverer,
    sealing: Sealing,
    receiver: Receiver,
    owner_id: UUID,
    respond: receivers.Respond,
    status: int | None,
    error: str | None,
) -> None:
    receiver.respond = respond
    async with webhooks(settings, total_seconds=2.0) as channels:
        deliverer = make_deliverer(channels=channels)
        await deliver_one(database, deliverer, sealing, receiver, owner_id, type="schedule.missed")

    [delivery] = await subscribing.deliveries(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert len(receiver.received) == 1
    assert delivery.status is DeliveryStatus.PENDING
    assert (attempt.status, attempt.error) == (status, error)


async def test_an_endpoint_where_nothing_listens_is_tried_again(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    async with receivers.receiving() as gone:
        url = gone.url
    subscription = await subscribing.subscribe(database, owner_id, sealing=sealing, target={"url": url})
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1)

    await deliverer.deliver_due()

    [delivery] = await subscribing.deliveries(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert (delivery.status, attempt.error) == (DeliveryStatus.PENDING, "not_reached")


@pytest.mark.parametrize(
    ("respond", "kept"),
    [
        (receivers.answer(200, b"x" * 3_000_000), b"x" * 1024),
        (receivers.answer(200, gzip.compress(bytes(50_000_000)), content_encoding="gzip"), None),
        (receivers.answer(201, b""), b""),
        (receivers.endless, b"z" * 1024),
    ],
    ids=("3 MB", "gzip bomb", "empty", "endless"),
)
async def test_an_answer_is_read_to_a_limit_and_not_decoded(
    database: Database,
    deliverer: Deliverer,
    sealing: Sealing,
    receiver: Receiver,
    owner_id: UUID,
    respond: receivers.Respond,
    kept: bytes | None,
) -> None:
    receiver.respond = respond
    await deliver_one(database, deliverer, sealing, receiver, owner_id)

    [delivery] = await subscribing.deliveries(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert attempt.response is not None
    if kept is None:
        assert attempt.response.startswith(b"\x1f\x8b")
        assert len(attempt.response) == 1024
    else:
        assert attempt.response == kept


async def test_410_disables_the_subscription_and_drops_what_it_waits_for(
    database: Database, deliverer: Deliverer, sealing: Sealing, receiver: Receiver, owner_id: UUID
) -> None:
    receiver.respond = receivers.answer(410)
    announced = await subscribing.subscribe(
        database, owner_id, events=["subscription.disabled"], status="active", channel="elsewhere"
    )
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}
    )
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 3)

    await deliverer.deliver_due()

    found = await subscribing.read(database, subscription)
    statuses = [delivery.status for delivery in await subscribing.deliveries(database, subscription)]
    [told] = await subscribing.deliveries(database, announced)
    assert found.reason == {"code": "gone"}
    assert sorted(statuses) == ["dropped", "dropped", "failed"]
    assert len(receiver.received) == 1
    assert told.data is not None
    assert told.data["subscription_id"] == str(subscription)
    assert told.data["reason"] == {"code": "gone"}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "nonsense", "years", "past"])
async def test_retry_after_holds_the_whole_subscription(
    database: Database,
    make_deliverer: MakeDeliverer,
    sealing: Sealing,
    receiver: Receiver,
    owner_id: UUID,
    status: int,
    form: str,
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    text, seconds = {
        "seconds": ("7", 7.0),
        "date": (email.utils.format_datetime(now + timedelta(hours=2), usegmt=True), 7200.0),
        "nonsense": ("soon", None),
        "years": ("99999999999999999999", 86_400.0),
        "past": (email.utils.format_datetime(now - timedelta(days=1), usegmt=True), 0.0),
    }[form]
    receiver.respond = receivers.answer(status, retry_after=text)
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}
    )
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 2)
        await connection.execute("UPDATE deliveries SET next_try_at = $1", now)

    deliverer = make_deliverer(clock=lambda: now)
    assert await deliverer.look() == 1
    await deliverer.settle()

    found = await subscribing.read(database, subscription)
    if seconds is None:
        assert found.held_until is None
    else:
        assert found.held_until == now + timedelta(seconds=seconds)
        retried = max(
            delivery.next_try_at
            for delivery in await subscribing.deliveries(database, subscription)
            if delivery.tries and delivery.next_try_at is not None
        )
        assert retried >= found.held_until


async def deliver_one(
    database: Database,
    deliverer: Deliverer,
    sealing: Sealing,
    receiver: Receiver,
    owner_id: UUID,
    *,
    type: str = "ping",
) -> Received:
    """Deliver one event to the receiver, and return the request."""
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=sealing, target={"url": receiver.url}
    )
    if type == "ping":
        await subscribing.ping(database, subscription)
    else:
        async with database.connection() as connection:
            await subscribing.flood(connection, subscription, 1, type=type)
    await deliverer.deliver_due()
    return receiver.received[-1]


NEW_KEY = "a new secret of more than thirty-two bytes"


def rekeyed(settings: Settings, *, with_previous: bool = True) -> Settings:
    """The settings after a change of SECRET_KEY."""
    previous = settings.secret_key.get_secret_value() if with_previous else None
    return load_settings(
        _env_file=None,
        database_url=settings.database_url,
        redis_url=settings.redis_url,
        secret_key=NEW_KEY,
        previous_secret_key=previous,
    )


@asynccontextmanager
async def webhooks(settings: Settings, **options: Any) -> AsyncIterator[dict[str, Channel]]:
    """The channel of webhooks alone, with another network."""
    channel = WebhookChannel(settings, Network(**options))
    try:
        yield {channel.name: channel}
    finally:
        await channel.aclose()
