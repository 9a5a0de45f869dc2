"""Confirming an address and unsubscribing, from the subscription to the pages behind the links."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core.config import Settings, SmtpSecurity
from app.core.database import Database
from app.notifications.commands import MAX_CONFIRMATIONS
from app.notifications.links import Links
from tests.notifications import subscribing
from tests.support import rows
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of

ADDRESS = "ada@example.com"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Nothing; a test that wants other settings parametrizes this."""
    return {}


@pytest.fixture
def settings(settings: Settings, overrides: dict[str, Any]) -> Settings:
    """E-mail is configured, and stays in the database: nothing delivers it."""
    return settings.model_copy(
        update={
            "smtp_host": "127.0.0.1",
            "smtp_security": SmtpSecurity.NONE,
            "mail_from": "headrace@example.com",
            "deliver_notifications": False,
            **overrides,
        }
    )


@pytest.fixture
def links(app: FastAPI, settings: Settings) -> Links:
    return Links(state_of(app).sealing, settings.public_url)


async def request(
    client: httpx.AsyncClient, who: Account, address: str = ADDRESS, **changes: Any
) -> httpx.Response:
    body = {"name": "CI", "channel": "email", "target": {"address": address}, "events": ["job.failed"]}
    return await client.post("/subscriptions", json={**body, **changes}, headers=who.headers)


async def subscribe(client: httpx.AsyncClient, who: Account, address: str = ADDRESS, **changes: Any) -> Any:
    created = await request(client, who, address, **changes)
    assert created.status_code == 201, created.text
    return created.json()


async def change(
    client: httpx.AsyncClient, who: Account, subscription: Any, **changes: Any
) -> httpx.Response:
    path = f"/subscriptions/{subscription['subscription_id']}"
    return await client.patch(path, json=changes, headers=who.headers)


async def shown(client: httpx.AsyncClient, who: Account, subscription: Any) -> Any:
    path = f"/subscriptions/{subscription['subscription_id']}"
    return (await client.get(path, headers=who.headers)).json()


def path_to(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def confirming(links: Links, subscription: Any, *, sent_at: datetime | None = None) -> str:
    found = subscription["subscription_id"]
    moment = datetime.now(UTC) if sent_at is None else sent_at
    return path_to(links.confirm(UUID(found), subscription["target"], sent_at=moment))


def unsubscribing(links: Links, subscription: Any) -> str:
    return path_to(links.unsubscribe(UUID(subscription["subscription_id"]), subscription["target"]))


async def asked(store: Database) -> int:
    """How many messages ask for a confirmation."""
    return sum(found.type == "subscription.confirm" for found in await subscribing.deliveries(store))


async def test_an_address_is_pending_until_the_button_of_its_link_is_pressed(
    client: httpx.AsyncClient, store: Database, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice, name="<CI> & more")
    link = confirming(links, created)

    page = await client.get(link)
    before = await shown(client, alice, created)
    done = await client.post(link)
    again = await client.post(link)

    assert (created["status"], created["secret"], await asked(store)) == ("pending", None, 1)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert '<form method="post">' in page.text
    assert "&lt;CI&gt; &amp; more" in page.text
    assert ADDRESS not in page.text
    assert before["status"] == "pending"
    assert (done.status_code, again.status_code) == (200, 200)
    assert "<form" not in done.text
    assert (await shown(client, alice, created))["status"] == "active"


async def test_a_page_speaks_chinese_to_those_who_prefer_it(
    client: httpx.AsyncClient, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice)

    page = await client.get(
        confirming(links, created), headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
    )
    other = await client.get(confirming(links, created), headers={"Accept-Language": "de,zh;q=0.5"})

    assert '<html lang="zh-CN">' in page.text
    assert "确认" in page.text
    assert '<html lang="en">' in other.text


async def test_a_link_that_is_old_wrong_or_of_another_purpose_is_404(
    client: httpx.AsyncClient, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice)
    old = confirming(links, created, sent_at=datetime.now(UTC) - timedelta(hours=48, seconds=1))
    good = confirming(links, created)
    other_purpose = unsubscribing(links, created).replace("unsubscribe", "confirm")

    for path in (old, f"{good}x", good[:-1], other_purpose, "/email/confirm?token=", "/email/confirm"):
        for answer in (await client.get(path), await client.post(path)):
            assert answer.status_code == 404, path
            assert answer.headers["content-type"] == "text/html; charset=utf-8"

    assert (await shown(client, alice, created))["status"] == "pending"


async def test_a_mail_program_unsubscribes_with_one_post(
    client: httpx.AsyncClient, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice)
    await client.post(confirming(links, created))
    link = unsubscribing(links, created)

    page = await client.get(link)
    before = await shown(client, alice, created)
    done = await client.post(link, data=ONE_CLICK)
    again = await client.post(link, data=ONE_CLICK)

    after = await shown(client, alice, created)
    assert '<form method="post">' in page.text
    assert before["status"] == "active"
    assert (done.status_code, again.status_code) == (200, 200)
    assert (after["status"], after["reason"]) == ("disabled", {"code": "unsubscribed"})
    # Only the recipient can want it again: neither the owner nor an earlier link brings it back.
    enabled = await change(client, alice, created, status="active")
    assert (enabled.status_code, enabled.json()["code"]) == (409, "address_not_confirmed")
    confirmed = await client.post(confirming(links, created))
    assert confirmed.status_code == 404
    assert (await shown(client, alice, created))["status"] == "disabled"


async def test_a_confirmed_address_is_not_asked_again_by_its_owner(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account, links: Links
) -> None:
    first = await subscribe(client, alice)
    waiting = await subscribe(client, alice, name="second")
    await client.post(confirming(links, first))

    later = await subscribe(client, alice, target={"address": ADDRESS, "language": "zh-CN"})
    theirs = await subscribe(client, mallory)

    assert (await shown(client, alice, waiting))["status"] == "active"
    assert (later["status"], theirs["status"]) == ("active", "pending")
    assert await asked(store) == 3


async def test_an_address_is_asked_three_times_a_day_whoever_asks(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    """Deleting a subscription does not make it forgotten."""
    for number, who in enumerate((alice, mallory, alice)):
        created = await subscribe(client, who, name=str(number))
        await client.delete(f"/subscriptions/{created['subscription_id']}", headers=who.headers)

    refused = await request(client, mallory)
    other = await subscribe(client, mallory, "grace@example.com")
    changed = await change(client, mallory, other, target={"address": ADDRESS})
    await rows.execute(
        store,
        "UPDATE confirmation_requests SET requested_at = ARRAY("
        " SELECT earlier - interval '1 day' FROM unnest(requested_at) earlier)",
    )
    next_day = await request(client, mallory)

    assert MAX_CONFIRMATIONS == 3
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_confirmations")
    assert refused.headers["retry-after"] == "86400"
    assert (changed.status_code, changed.json()["code"]) == (429, "too_many_confirmations")
    assert (await shown(client, mallory, other))["target"]["address"] == "grace@example.com"
    assert next_day.status_code == 201


async def test_a_new_address_is_confirmed_anew_and_gets_nothing_that_was_waiting(
    client: httpx.AsyncClient, store: Database, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice)
    await client.post(confirming(links, created))
    async with store.connection() as connection:
        await subscribing.flood(connection, UUID(created["subscription_id"]), 3)
    old_links = (confirming(links, created), unsubscribing(links, created))

    changed = await change(client, alice, created, target={"address": "grace@example.com"})

    assert changed.json()["status"] == "pending"
    assert changed.json()["pending"] == 1  # the request for its confirmation
    for link in old_links:
        assert (await client.post(link)).status_code == 404
    enabled = await change(client, alice, created, status="active")
    assert (enabled.status_code, enabled.json()["code"]) == (409, "address_not_confirmed")
    assert (await client.post(confirming(links, changed.json()))).status_code == 200
    assert (await shown(client, alice, created))["status"] == "active"


async def test_another_language_is_no_other_address(
    client: httpx.AsyncClient, store: Database, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice)
    await client.post(confirming(links, created))
    link = unsubscribing(links, created)

    changed = await change(client, alice, created, target={"address": ADDRESS, "language": "zh-CN"})

    assert (changed.json()["status"], await asked(store)) == ("active", 1)
    assert (await client.post(link)).status_code == 200
    assert (await shown(client, alice, created))["status"] == "disabled"


async def test_a_pending_subscription_is_neither_tested_nor_replayed(
    client: httpx.AsyncClient, alice: Account
) -> None:
    created = await subscribe(client, alice)
    path = f"/subscriptions/{created['subscription_id']}"

    for call, body in (("test", None), ("replay", {"from": "2026-01-01T00:00:00Z"})):
        refused = await client.post(f"{path}/{call}", json=body, headers=alice.headers)
        assert (refused.status_code, refused.json()["code"]) == (409, "address_not_confirmed")


@pytest.mark.parametrize(
    "address",
    ["not-an-address", "a@localhost", "ö@example.com", "a@x.com\r\nBcc: b@y.z", "Ada <ada@example.com>", ""],
)
async def test_what_is_no_address_is_refused(client: httpx.AsyncClient, alice: Account, address: str) -> None:
    refused = await request(client, alice, address)

    assert (refused.status_code, refused.json()["code"]) == (422, "validation_error")


async def test_what_a_recipient_does_is_recorded_without_the_address(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, links: Links
) -> None:
    created = await subscribe(client, alice)
    await client.post(confirming(links, created))
    await client.post(unsubscribing(links, created), data=ONE_CLICK)
    admin = await sign_in(app, "root", Role.ADMIN)

    log = await client.get("/audit", headers=admin.headers)

    mine = [entry for entry in log.json()["items"] if entry["object_id"] == created["subscription_id"]]
    assert [entry["action"] for entry in reversed(mine)] == [
        "subscription.created",
        "subscription.confirmed",
        "subscription.unsubscribed",
    ]
    assert ADDRESS not in log.text


@pytest.mark.parametrize("overrides", [{"smtp_host": None}])
async def test_nobody_subscribes_by_e_mail(client: httpx.AsyncClient, alice: Account) -> None:
    refused = await request(client, alice)
    assert (refused.status_code, refused.json()["code"]) == (503, "mail_not_configured")
