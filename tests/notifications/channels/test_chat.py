"""A message to a chat room says what happened in one line each, and shows a user's text as it is."""

import json
from uuid import UUID

import pytest

from app.core.database import Database
from app.notifications.deliverer import Deliverer
from app.notifications.states import DeliveryStatus
from tests.notifications import receiver as receivers
from tests.notifications import subscribing
from tests.notifications.conftest import PUBLIC_URL
from tests.notifications.receiver import Receiver
from tests.support import jobs

NASTY = "<!channel> <https://evil.example|click> *bold* & more"


async def deliver(
    database: Database, deliverer: Deliverer, receiver: Receiver, owner_id: UUID, chat_format: str
) -> str:
    """Deliver the failure of a job, and return the body of the request."""
    await subscribing.subscribe(
        database,
        owner_id,
        channel="chat",
        target={"url": receiver.url, "format": chat_format},
        events=["job.failed"],
    )
    await jobs.create(database, owner_id, metadata={"note": NASTY})
    await jobs.fail(database, await jobs.claim(database), is_retryable=False)
    await deliverer.deliver_due()
    [received] = receiver.received
    assert received.headers["content-type"] == "application/json"
    assert "webhook-signature" not in received.headers
    return received.body.decode()


async def test_slack_gets_a_text_in_which_a_user_cannot_mention_link_or_format(
    database: Database, deliverer: Deliverer, receiver: Receiver, owner_id: UUID
) -> None:
    body = await deliver(database, deliverer, receiver, owner_id, "slack")

    message = json.loads(body)
    assert set(message) == {"text"}
    headline, *facts = message["text"].splitlines()
    assert headline.replace("\u200b", "") == f"*Job failed: {jobs.KIND}*"
    assert any(fact.startswith("Error: boom: It went wrong.") for fact in facts)
    assert any(f"{PUBLIC_URL}/jobs/" in fact for fact in facts)
    note = next(fact for fact in facts if fact.startswith("Metadata"))
    assert "<" not in note
    assert ">" not in note
    assert "*bold*" not in note
    assert "&amp; more" in note


async def test_teams_gets_a_card_whose_lines_are_plain_text(
    database: Database, deliverer: Deliverer, receiver: Receiver, owner_id: UUID
) -> None:
    body = await deliver(database, deliverer, receiver, owner_id, "teams")

    [attachment] = json.loads(body)["attachments"]
    card = attachment["content"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["type"] == "AdaptiveCard"
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    texts = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert texts[0] == f"Job failed: {jobs.KIND}"
    assert f"Metadata: note={NASTY}" in texts


@pytest.mark.parametrize("status", [404, 410])
async def test_a_room_that_is_gone_fails_like_a_webhook(
    database: Database, deliverer: Deliverer, receiver: Receiver, owner_id: UUID, status: int
) -> None:
    receiver.respond = receivers.answer(status)
    await deliver(database, deliverer, receiver, owner_id, "slack")

    [delivery] = await subscribing.deliveries(database)
    expected = DeliveryStatus.FAILED if status == 410 else DeliveryStatus.PENDING
    assert delivery.status is expected


async def test_a_long_text_is_shortened(
    database: Database, deliverer: Deliverer, receiver: Receiver, owner_id: UUID
) -> None:
    await subscribing.subscribe(
        database, owner_id, channel="chat", target={"url": receiver.url}, events=["job.cancelled"]
    )
    job_id = await jobs.create(database, owner_id, metadata={"note": "x" * 5000})
    await jobs.cancel(database, job_id)
    await deliverer.deliver_due()

    [received] = receiver.received
    assert len(received.json["text"]) < 1500
