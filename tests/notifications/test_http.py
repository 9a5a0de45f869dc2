"""Subscriptions and deliveries over HTTP, with a receiver on loopback and the deliverer of the API."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook

from app.auth.roles import Role
from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.notifications import commands
from app.notifications.event_types import DESCRIPTIONS
from app.notifications.states import SUBSCRIBABLE, NotificationType
from tests.notifications import subscribing
from tests.notifications.receiver import Received, Receiver, answer
from tests.notifications.subscribing import SECRET
from tests.support import jobs, rows
from tests.support.accounts import Account, sign_in
from tests.support.waiting import until

URL = "https://ci.example.com/hooks/ml"
UNKNOWN_ID = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
OWN_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TOO_SHORT = "whsec_c2hvcnQtb25l"


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Nothing; a test that wants other settings parametrizes this."""
    return {}


@pytest.fixture
def settings(settings: Settings, overrides: dict[str, Any]) -> Settings:
    return settings.model_copy(update=overrides)


def wanted(**changes: Any) -> dict[str, Any]:
    body = {"name": "CI", "channel": "webhook", "target": {"url": URL}, "events": ["job.completed"]}
    return {**body, **changes}


async def subscribe(client: httpx.AsyncClient, who: Account, **changes: Any) -> Any:
    created = await client.post("/subscriptions", json=wanted(**changes), headers=who.headers)
    assert created.status_code == 201, created.text
    return created.json()


async def get(client: httpx.AsyncClient, who: Account, path: str, **params: Any) -> Any:
    found = await client.get(path, params=params, headers=who.headers)
    assert found.status_code == 200, found.text
    return found.json()


async def post(client: httpx.AsyncClient, who: Account, path: str, body: Any = None, **params: Any) -> Any:
    return await client.post(path, json=body, params=params, headers=who.headers)


async def complete_a_job(store: Database, owner_id: UUID, **options: Any) -> UUID:
    job_id = await jobs.create(store, owner_id, **options)
    await jobs.complete(store, await jobs.claim(store))
    return job_id


async def ended(client: httpx.AsyncClient, who: Account, subscription: str, count: int) -> list[Any]:
    """The deliveries of a subscription, once so many have ended."""

    async def have_ended() -> list[Any]:
        found = await get(client, who, f"/subscriptions/{subscription}/deliveries")
        done = [delivery for delivery in found["items"] if delivery["status"] != "pending"]
        return done if len(done) >= count else []

    return await until(have_ended)


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


# Creating


async def test_a_subscription_is_created_and_shows_its_secret_once(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    metadata = {"team": "a"}
    created = await client.post(
        "/subscriptions",
        json=wanted(filter={"kind": "train_model", "metadata": metadata}),
        headers=alice.headers,
    )

    body = created.json()
    path = f"/subscriptions/{body['subscription_id']}"
    assert (created.status_code, created.headers["location"]) == (201, path)
    assert created.headers["cache-control"] == "no-store"
    secret = body.pop("secret")
    assert secret.startswith("whsec_")
    shown = await get(client, alice, path)
    listed = await get(client, alice, "/subscriptions")
    assert body == shown == listed["items"][0]
    assert (shown["status"], shown["pending"], shown["last_delivery"]) == ("active", 0, None)
    nothing = dict.fromkeys(("queue", "model", "job_id", "group_id", "schedule_id"))
    assert shown["filter"] == {"kind": "train_model", "metadata": metadata, **nothing}
    stored = await rows.value(store, "SELECT secrets::text FROM subscriptions")
    assert secret.removeprefix("whsec_") not in stored


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"events": ["job.created"]}, ["body", "webhook", "events", 0]),
        ({"events": ["ping"]}, ["body", "webhook", "events", 0]),
        ({"events": []}, ["body", "webhook", "events"]),
        ({"events": ["job.failed"] * 21}, ["body", "webhook", "events"]),
        ({"channel": "pigeon"}, ["body"]),
        ({"channel": None}, ["body"]),
        ({"filter": {"colour": "red"}}, ["body", "webhook", "filter", "colour"]),
        ({"filter": {"kind": "no_such_kind"}}, ["body", "webhook", "filter", "kind"]),
        ({"filter": {"queue": "Two Words"}}, ["body", "webhook", "filter", "queue"]),
        ({"filter": {"metadata": dict.fromkeys(map(str, range(17)), "x")}}, None),
        ({"filter": {"metadata": {"a": "\x00"}}}, None),
        ({"name": ""}, ["body", "webhook", "name"]),
        ({"name": "x" * 101}, ["body", "webhook", "name"]),
        ({"name": "CI\r\nBcc: mallory@example.com"}, ["body", "webhook", "name"]),
        ({"target": {}}, ["body", "webhook", "target", "url"]),
        ({"target": {"url": URL, "proxy": "x"}}, ["body", "webhook", "target", "proxy"]),
        ({"target": {"url": f"https://ci.example.com/{'x' * 2048}"}}, ["body", "webhook", "target", "url"]),
        ({"secret": TOO_SHORT}, ["body", "webhook", "secret"]),
        ({"secret": "whsec_no base64"}, ["body", "webhook", "secret"]),
        ({"secret": OWN_SECRET.removeprefix("whsec_")}, ["body", "webhook", "secret"]),
        ({"channel": "chat", "secret": OWN_SECRET}, ["body", "chat", "secret"]),
        ({"gather_seconds": 1}, ["body", "webhook", "gather_seconds"]),
    ],
)
async def test_what_no_subscription_can_be_is_refused(
    client: httpx.AsyncClient, alice: Account, changes: dict[str, Any], location: list[Any] | None
) -> None:
    refused = await post(client, alice, "/subscriptions", wanted(**changes))

    assert problem(refused) == (422, "validation_error")
    if location is not None:
        assert refused.json()["errors"][0]["loc"] == location
    assert "no base64" not in refused.text
    assert TOO_SHORT not in refused.text
    assert (await get(client, alice, "/subscriptions"))["items"] == []


@pytest.mark.parametrize("overrides", [{"webhook_allowed_networks": ()}])
@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "http://ci.example.com/",
            "https://ci.example.com:22/",
            "https://2130706433/",
            "https://0x7f.1/",
        ),
        *(
            "https://0177.0.0.1/",
            "https://①②⑦.⓪.⓪.①/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fe80::1%25eth0]/",
        ),
        *("https://ada@ci.example.com/", "https://ada:pw@ci.example.com/", "https://[", "https://"),
        *(
            "https://localhost/",
            "https://printer.local/",
            "https://intranet/",
            "https://ci.example.com./",
        ),
        *(
            "https://ci.example.com\\@10.0.0.1/",
            "https://ci.example.com/ x",
            "https://ci.example.com/\r\nx",
        ),
        *(
            "https://ci.example.com:99999/",
            "https://ci.example.com:x/",
            "ftp://ci.example.com/",
            "ci",
            "",
        ),
        *(
            "https://ä.example.com/",
            "https://ci_.example.com/",
            "//ci.example.com/",
            "https:ci.example.com",
        ),
    ],
)
async def test_a_url_that_is_never_reached_is_not_saved(
    client: httpx.AsyncClient, alice: Account, url: str
) -> None:
    refused = await post(client, alice, "/subscriptions", wanted(target={"url": url}))

    assert problem(refused) == (422, "url_not_allowed")


@pytest.mark.parametrize("overrides", [{"webhook_allowed_networks": ()}])
async def test_a_public_name_is_saved_whatever_it_resolves_to(
    client: httpx.AsyncClient, alice: Account
) -> None:
    saved = await subscribe(client, alice, target={"url": "https://127.0.0.1.nip.io/"})
    assert saved["status"] == "active"


async def test_an_event_named_twice_counts_once(client: httpx.AsyncClient, alice: Account) -> None:
    created = await subscribe(client, alice, events=["job.failed", "job.completed", "job.failed"])

    assert created["events"] == ["job.failed", "job.completed"]


async def test_a_secret_of_ones_own_signs(client: httpx.AsyncClient, alice: Account) -> None:
    assert (await subscribe(client, alice, secret=OWN_SECRET))["secret"] == OWN_SECRET


async def test_a_channel_without_signatures_has_no_secret(client: httpx.AsyncClient, alice: Account) -> None:
    created = await subscribe(client, alice, channel="chat", target={"url": URL})

    assert created["secret"] is None
    assert created["target"] == {"url": URL, "format": "slack"}


# The quota


@pytest.mark.parametrize("overrides", [{"max_subscriptions": 3}])
async def test_of_many_at_once_exactly_as_many_are_created_as_a_user_may_have(
    client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    requests = [post(client, alice, "/subscriptions", wanted(name=str(n))) for n in range(8)]
    answers = await asyncio.gather(*requests)

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert problem(refused) == (409, "too_many_subscriptions")
    assert refused.json()["limit"] == 3
    await subscribe(client, mallory)


@pytest.mark.parametrize("overrides", [{"max_subscriptions": 3}])
async def test_an_administrator_sets_another_limit_for_a_user(
    app: FastAPI, client: httpx.AsyncClient, alice: Account
) -> None:
    admin = await sign_in(app, "root", Role.ADMIN)
    await client.put(f"/users/{alice.id}/quotas", json={"max_subscriptions": 4}, headers=admin.headers)
    for number in range(4):
        await subscribe(client, alice, name=str(number))

    refused = await post(client, alice, "/subscriptions", wanted())

    assert problem(refused) == (409, "too_many_subscriptions")
    quotas = await get(client, alice, "/users/me/quotas")
    assert quotas["subscriptions"] == {"used": 4, "limit": 4, "is_default": False}


@pytest.mark.parametrize("overrides", [{"max_subscriptions": 3}])
async def test_zero_means_no_limit(app: FastAPI, client: httpx.AsyncClient, alice: Account) -> None:
    admin = await sign_in(app, "root", Role.ADMIN)
    await client.put(f"/users/{alice.id}/quotas", json={"max_subscriptions": 0}, headers=admin.headers)

    for number in range(5):
        await subscribe(client, alice, name=str(number))


# Reading


async def test_subscriptions_are_listed_newest_first_in_pages_and_by_filters(
    client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    await subscribe(client, mallory)
    first = await subscribe(client, alice, name="first")
    second = await subscribe(client, alice, name="second", channel="chat")
    await client.patch(
        f"/subscriptions/{first['subscription_id']}", json={"status": "disabled"}, headers=alice.headers
    )

    page = await get(client, alice, "/subscriptions", limit=1)
    rest = await get(client, alice, "/subscriptions", limit=1, cursor=page["next_cursor"])

    assert [item["name"] for item in page["items"] + rest["items"]] == ["second", "first"]
    assert rest["next_cursor"] is None
    for filters, names in (
        ({"status": "disabled"}, ["first"]),
        ({"status": "active"}, ["second"]),
        ({"channel": "webhook"}, ["first"]),
        ({"channel": "webhook", "status": "active"}, []),
    ):
        found = await get(client, alice, "/subscriptions", **filters)
        assert [item["name"] for item in found["items"]] == names, filters
    wrong = await client.get("/subscriptions", params={"cursor": "x"}, headers=alice.headers)
    assert problem(wrong) == (400, "invalid_cursor")
    assert second["filter"] == dict.fromkeys(second["filter"])


async def test_a_subscription_counts_what_waits_up_to_a_thousand(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    few = await subscribing.subscribe(store, alice.id, status="pending")
    many = await subscribing.subscribe(store, alice.id, status="pending")
    async with store.connection() as connection:
        await subscribing.flood(connection, few, 7)
        await subscribing.flood(connection, many, 1200)

    listed = await get(client, alice, "/subscriptions")

    assert [item["pending"] for item in listed["items"]] == [1000, 7]
    assert (await get(client, alice, f"/subscriptions/{few}"))["pending"] == 7


async def test_deliveries_are_listed_newest_first_in_pages_and_by_status(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    """Ids of deliveries do not sort by age, and some were created at the same moment."""
    mine = [await subscribing.subscribe(store, alice.id, status="pending") for _ in range(2)]
    theirs = await subscribing.subscribe(store, mallory.id, status="pending")
    start = datetime.now(UTC) - timedelta(hours=1)  # not pruned yet
    statuses = ("pending", "delivered", "failed", "dropped")
    for number in range(24):
        status = statuses[number % 4]
        await rows.execute(
            store,
            "INSERT INTO deliveries (subscription_id, type, data, status, created_at, ended_at, next_try_at)"
            " VALUES ($1, 'job.failed', '{}', $2, $3, $4, $5)",
            mine[number % 2],
            status,
            start + timedelta(seconds=number // 3),
            None if status == "pending" else start,
            start if status == "pending" else None,
        )
    async with store.connection() as connection:
        await subscribing.flood(connection, theirs, 3)

    async def all_pages(path: str, **filters: Any) -> list[Any]:
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = await get(client, alice, path, limit=5, **filters, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}

    found = await all_pages("/deliveries")
    assert len({item["delivery_id"] for item in found}) == len(found) == 24
    order = [(item["created_at"], item["delivery_id"]) for item in found]
    assert order == sorted(order, reverse=True)
    for status in statuses:
        of_status = await all_pages("/deliveries", status=status)
        assert of_status == [item for item in found if item["status"] == status]
        path = f"/subscriptions/{mine[0]}/deliveries"
        assert await all_pages(path, status=status) == [
            item for item in of_status if item["subscription_id"] == str(mine[0])
        ]
    assert len(await all_pages(f"/subscriptions/{mine[1]}/deliveries")) == 12
    for path in ("/deliveries", f"/subscriptions/{mine[0]}/deliveries"):
        wrong = await client.get(path, params={"cursor": "AAAA"}, headers=alice.headers)
        assert problem(wrong) == (400, "invalid_cursor")


async def test_each_type_of_event_has_a_description_and_an_example(
    client: httpx.AsyncClient, alice: Account
) -> None:
    found = await get(client, alice, "/event-types")

    assert [item["type"] for item in found["items"]] == list(DESCRIPTIONS)
    assert set(DESCRIPTIONS) == {*SUBSCRIBABLE, NotificationType.PING}
    for item in found["items"]:
        assert item["example"]["type"] == item["type"]
        assert item["example"]["data"]


# Delivering


async def test_a_job_that_completes_is_delivered_and_its_delivery_is_shown(
    client: httpx.AsyncClient, store: Database, alice: Account, receiver: Receiver
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url}, filter={"metadata": {"team": "a"}})
    await complete_a_job(store, alice.id, metadata={"team": "b"})
    job_id = await complete_a_job(store, alice.id, metadata={"team": "a", "x": "y"})

    [delivery] = await ended(client, alice, created["subscription_id"], 1)

    [received] = await receiver.wait_for(1)
    Webhook(created["secret"]).verify(received.body, received.headers)
    assert (delivery["delivery_id"], delivery["status"]) == (received.id, "delivered")
    assert (delivery["job_id"], delivery["type"]) == (str(job_id), "job.completed")
    details = await get(client, alice, f"/deliveries/{received.id}")
    assert details["body"] == received.json
    [tried] = details["history"]
    assert (tried["number"], tried["response_status"], tried["response"]) == (1, 200, "ok")
    assert {**delivery, "body": details["body"], "history": details["history"]} == details
    shown = await get(client, alice, f"/subscriptions/{created['subscription_id']}")
    assert shown["last_delivery"] == {
        name: delivery[name] for name in ("delivery_id", "type", "status", "created_at", "ended_at")
    }


async def test_a_delivery_whose_job_is_gone_has_no_body(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    subscription = await subscribing.subscribe(store, alice.id)
    delivery = await rows.value(
        store,
        "INSERT INTO deliveries (subscription_id, type, job_id, seq, status, ended_at)"
        " VALUES ($1, 'job.failed', $2, 3, 'dropped', now()) RETURNING id",
        subscription,
        ids.new_id(),
    )

    assert (await get(client, alice, f"/deliveries/{delivery}"))["body"] is None


# Changing


async def test_what_the_body_names_is_changed_and_nothing_else(
    client: httpx.AsyncClient, alice: Account
) -> None:
    created = await subscribe(client, alice, filter={"queue": "gpu"})
    path = f"/subscriptions/{created['subscription_id']}"
    created.pop("secret")
    expected = dict(created)
    nothing = dict.fromkeys(created["filter"])
    for change, shown in (
        ({"name": "Deploys"}, {"name": "Deploys"}),
        ({"events": ["job.failed"]}, {"events": ["job.failed"]}),
        ({"target": {"url": f"{URL}/2"}}, {"target": {"url": f"{URL}/2"}}),
        ({"filter": {"kind": "train_model"}}, {"filter": {**nothing, "kind": "train_model"}}),
        ({"filter": None}, {"filter": nothing}),
        ({"filter": {"metadata": {}}}, {"filter": nothing}),
    ):
        changed = await client.patch(path, json=change, headers=alice.headers)
        expected |= shown
        assert (changed.status_code, changed.json()) == (200, expected), change
    assert await get(client, alice, path) == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "validation_error"),
        ({"name": None}, "validation_error"),
        ({"events": None}, "validation_error"),
        ({"target": None}, "validation_error"),
        ({"status": None}, "validation_error"),
        ({"status": "pending"}, "validation_error"),
        ({"channel": "chat"}, "validation_error"),
        ({"secret": OWN_SECRET}, "validation_error"),
        ({"target": {"address": "ada@example.com"}}, "validation_error"),
        ({"target": {"url": "https://["}}, "url_not_allowed"),
    ],
)
async def test_a_change_that_is_not_valid_changes_nothing(
    client: httpx.AsyncClient, alice: Account, change: dict[str, Any], code: str
) -> None:
    created = await subscribe(client, alice)
    path = f"/subscriptions/{created['subscription_id']}"

    refused = await client.patch(
        path, json={"name": "other", **change} if change else {}, headers=alice.headers
    )

    assert problem(refused) == (422, code)
    created.pop("secret")
    assert await get(client, alice, path) == created


async def test_a_disabled_subscription_is_told_of_nothing_until_it_is_active_again(
    client: httpx.AsyncClient, store: Database, alice: Account, receiver: Receiver
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url})
    path = f"/subscriptions/{created['subscription_id']}"
    disabled = await client.patch(path, json={"status": "disabled"}, headers=alice.headers)
    await complete_a_job(store, alice.id)
    for call in ("test", "replay"):
        refused = await post(client, alice, f"{path}/{call}", {"from": "2026-01-01T00:00:00Z"})
        assert problem(refused) == (409, "subscription_disabled")
    enabled = await client.patch(path, json={"status": "active"}, headers=alice.headers)
    job_id = await complete_a_job(store, alice.id)

    [delivery] = await ended(client, alice, created["subscription_id"], 1)

    assert disabled.json()["reason"] == {"code": "owner"}
    assert (enabled.json()["status"], enabled.json()["reason"]) == ("active", None)
    assert delivery["job_id"] == str(job_id)


async def test_enabling_forgets_failures(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    subscription = await subscribing.subscribe(
        store,
        alice.id,
        status="disabled",
        failures=9,
        failing_since=datetime(2026, 3, 1, tzinfo=UTC),
        held_until=datetime(2026, 3, 2, tzinfo=UTC),
    )

    enabled = await client.patch(
        f"/subscriptions/{subscription}", json={"status": "active"}, headers=alice.headers
    )

    shown = enabled.json()
    assert (shown["status"], shown["failures"]) == ("active", 0)
    assert shown["failing_since"] is shown["held_until"] is None


async def test_a_deleted_subscription_is_gone_with_its_deliveries(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    kept = await subscribing.subscribe(store, alice.id, status="pending")
    subscription = await subscribing.subscribe(store, alice.id, status="pending")
    async with store.connection() as connection:
        await subscribing.flood(connection, subscription, commands.DELETED_AT_ONCE + 10)
        await subscribing.flood(connection, kept, 3)
    path = f"/subscriptions/{subscription}"

    deleted = await client.delete(path, headers=alice.headers)

    assert deleted.status_code == 204
    again = await client.delete(path, headers=alice.headers)
    assert problem(again) == (404, "subscription_not_found")
    assert len(await subscribing.deliveries(store)) == 3


# Secrets


def signatures(received: Received, *secrets: str) -> list[bool]:
    """Whether each secret verifies the request."""

    def is_valid(secret: str) -> bool:
        try:
            Webhook(secret).verify(received.body, received.headers)
        except Exception:
            return False
        return True

    return [is_valid(secret) for secret in secrets]


@pytest.mark.parametrize(("hours", "does_previous_sign"), [(None, True), (1, True), (0, False)])
async def test_the_previous_secret_signs_during_the_overlap(
    client: httpx.AsyncClient, alice: Account, receiver: Receiver, hours: int | None, does_previous_sign: bool
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url})
    path = f"/subscriptions/{created['subscription_id']}"

    rotated = await post(
        client, alice, f"{path}/rotate-secret", None if hours is None else {"overlap_hours": hours}
    )
    await post(client, alice, f"{path}/test")

    assert rotated.status_code == 200, rotated.text
    assert rotated.headers["cache-control"] == "no-store"
    new = rotated.json()["secret"]
    assert (rotated.json()["previous_expires_at"] is not None) is does_previous_sign
    [received] = receiver.received
    assert signatures(received, created["secret"], new) == [does_previous_sign, True]


async def test_of_three_secrets_the_oldest_no_longer_signs(
    client: httpx.AsyncClient, alice: Account, receiver: Receiver
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url})
    path = f"/subscriptions/{created['subscription_id']}"
    second, third = [(await post(client, alice, f"{path}/rotate-secret")).json()["secret"] for _ in range(2)]

    await post(client, alice, f"{path}/test")

    [received] = receiver.received
    assert signatures(received, created["secret"], second, third) == [False, True, True]


async def test_a_rotation_needs_a_channel_that_signs(client: httpx.AsyncClient, alice: Account) -> None:
    created = await subscribe(client, alice, channel="chat")

    refused = await post(client, alice, f"/subscriptions/{created['subscription_id']}/rotate-secret")

    assert problem(refused) == (409, "no_secret")


@pytest.mark.parametrize("hours", [-1, 169, "x"])
async def test_an_overlap_lasts_a_week_at_most(
    client: httpx.AsyncClient, alice: Account, hours: object
) -> None:
    created = await subscribe(client, alice)

    refused = await post(
        client,
        alice,
        f"/subscriptions/{created['subscription_id']}/rotate-secret",
        {"overlap_hours": hours},
    )

    assert problem(refused) == (422, "validation_error")


async def test_a_lost_secret_is_replaced(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    created = await subscribe(client, alice)
    await rows.execute(
        store, """UPDATE subscriptions SET secrets = '[{"sealed": "x", "expires_at": null}]'"""
    )

    rotated = await post(client, alice, f"/subscriptions/{created['subscription_id']}/rotate-secret")

    assert rotated.status_code == 200
    assert rotated.json()["previous_expires_at"] is None


# Tests


async def test_a_test_is_sent_at_once_and_its_answer_is_returned(
    client: httpx.AsyncClient, alice: Account, receiver: Receiver
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url})

    sent = await post(client, alice, f"/subscriptions/{created['subscription_id']}/test")

    [received] = receiver.received
    result = sent.json()
    assert sent.status_code == 200
    assert (result["delivery_id"], result["status"]) == (received.id, "delivered")
    assert (result["response_status"], result["error"]) == (200, None)
    assert result["duration_ms"] >= 0
    assert received.json["type"] == "ping"


async def test_a_test_that_fails_is_no_failure_of_the_subscription(
    client: httpx.AsyncClient, alice: Account, receiver: Receiver
) -> None:
    receiver.respond = answer(500, b"broken")
    created = await subscribe(client, alice, target={"url": receiver.url})
    path = f"/subscriptions/{created['subscription_id']}"

    sent = await post(client, alice, f"{path}/test")

    result = sent.json()
    assert (result["status"], result["response_status"]) == ("failed", 500)
    shown = await get(client, alice, path)
    assert (shown["failures"], shown["failing_since"], shown["status"]) == (0, None, "active")


@pytest.mark.parametrize("overrides", [{"deliver_notifications": False}])
async def test_a_test_that_nothing_delivers_is_pending_and_a_second_one_is_the_same(
    client: httpx.AsyncClient, alice: Account
) -> None:
    created = await subscribe(client, alice)
    path = f"/subscriptions/{created['subscription_id']}"

    first = await post(client, alice, f"{path}/test", wait=0)
    second = await post(client, alice, f"{path}/test", wait=0.2)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert (first.json()["status"], first.json()["duration_ms"]) == ("pending", None)
    [waiting] = (await get(client, alice, "/deliveries"))["items"]
    assert waiting["next_try_at"] == waiting["created_at"]


@pytest.mark.parametrize("overrides", [{"deliver_notifications": False}])
async def test_what_is_pending_is_not_replayed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await subscribe(client, alice)
    await complete_a_job(store, alice.id)
    [pending] = (await get(client, alice, "/deliveries"))["items"]

    refused = await post(client, alice, f"/deliveries/{pending['delivery_id']}/replay")

    assert problem(refused) == (409, "delivery_pending")


@pytest.mark.parametrize("overrides", [{"deliver_notifications": False}])
async def test_what_failed_is_replayed_in_its_order_and_once(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    subscription = await subscribing.subscribe(store, alice.id)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    failed = [
        await rows.value(
            store,
            "INSERT INTO deliveries (subscription_id, type, data, status, created_at, ended_at)"
            " VALUES ($1, $2, $3, $4, $5, now()) RETURNING id",
            subscription,
            type_,
            {"number": number},
            status,
            start + timedelta(minutes=number),
        )
        for number, (type_, status) in enumerate(
            [
                ("job.failed", "failed"),
                ("job.failed", "failed"),
                ("job.failed", "delivered"),
                ("job.failed", "dropped"),
                ("ping", "failed"),
                ("job.failed", "failed"),
                ("job.failed", "failed"),
            ]
        )
    ]
    path = f"/subscriptions/{subscription}/replay"
    wanted = {"from": "2026-03-01T00:01:00Z", "to": "2026-03-01T01:06:00+01:00"}

    first = await post(client, alice, path, wanted)
    again = await post(client, alice, path, wanted)
    dropped = await post(client, alice, path, {**wanted, "status": "dropped"})
    rest = await post(client, alice, path, {"from": "2026-03-01T00:00:00Z"})

    counts = [answer.json() for answer in (first, again, dropped, rest)]
    assert counts == [{"count": 2}, {"count": 0}, {"count": 1}, {"count": 2}]
    assert first.status_code == 202
    replays = [
        delivery
        for delivery in await subscribing.deliveries(store, subscription)
        if delivery.replay_of is not None
    ]
    replays.sort(key=lambda delivery: (delivery.created_at, delivery.next_try_at))
    numbers = [failed.index(delivery.replay_of) for delivery in replays]
    assert numbers == [1, 5, 3, 0, 6]
    assert [delivery.data for delivery in replays] == [{"number": number} for number in numbers]


@pytest.mark.parametrize("overrides", [{"deliver_notifications": False}])
@pytest.mark.parametrize("body", [{}, {"from": "yesterday"}, {"from": "2026-03-01T00:00:00"}, {"from": None}])
async def test_a_replay_needs_an_instant(
    client: httpx.AsyncClient, alice: Account, body: dict[str, Any]
) -> None:
    created = await subscribe(client, alice)
    refused = await post(client, alice, f"/subscriptions/{created['subscription_id']}/replay", body)
    assert problem(refused) == (422, "validation_error")


@pytest.mark.parametrize("overrides", [{"deliver_notifications": False}])
@pytest.mark.parametrize("status", ["pending", "delivered"])
async def test_only_what_was_not_delivered_is_replayed_in_numbers(
    client: httpx.AsyncClient, alice: Account, status: str
) -> None:
    created = await subscribe(client, alice)
    path = f"/subscriptions/{created['subscription_id']}/replay"
    refused = await post(client, alice, path, {"from": "2026-03-01T00:00:00Z", "status": status})
    assert problem(refused) == (422, "validation_error")


async def test_a_replay_is_a_new_delivery_of_the_same_body(
    client: httpx.AsyncClient, store: Database, alice: Account, receiver: Receiver
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url})
    await complete_a_job(store, alice.id)
    [delivered] = await ended(client, alice, created["subscription_id"], 1)

    replayed = await post(client, alice, f"/deliveries/{delivered['delivery_id']}/replay")

    first, second = await receiver.wait_for(2)
    assert replayed.status_code == 202
    assert second.id == replayed.json()["delivery_id"] != first.id
    assert second.body == first.body
    details = await get(client, alice, f"/deliveries/{second.id}")
    assert details["replay_of"] == first.id


# Other users


def calls(subscription: str, delivery: str) -> Iterator[tuple[str, str, Any]]:
    """Every call about one subscription or one delivery."""
    path = f"/subscriptions/{subscription}"
    yield "GET", path, None
    yield "PATCH", path, {"name": "mine"}
    yield "PATCH", path, {"target": {"url": "https://evil.example.com/"}}
    yield "POST", f"{path}/rotate-secret", {}
    yield "POST", f"{path}/test", None
    yield "GET", f"{path}/deliveries", None
    yield "POST", f"{path}/replay", {"from": "2026-01-01T00:00:00Z"}
    yield "GET", f"/deliveries/{delivery}", None
    yield "POST", f"/deliveries/{delivery}/replay", None
    yield "DELETE", path, None


@pytest.mark.parametrize("role", [Role.USER, Role.OPERATOR, Role.ADMIN])
async def test_what_is_another_users_does_not_exist(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, receiver: Receiver, role: Role
) -> None:
    created = await subscribe(client, alice, target={"url": receiver.url})
    await complete_a_job(store, alice.id)
    [delivered] = await ended(client, alice, created["subscription_id"], 1)
    before = await get(client, alice, f"/subscriptions/{created['subscription_id']}")
    other = await sign_in(app, "other", role)
    theirs = [*calls(created["subscription_id"], delivered["delivery_id"])]
    unknown = [*calls(UNKNOWN_ID, UNKNOWN_ID)]

    for (method, path, body), (_, nowhere, _) in zip(theirs, unknown, strict=True):
        answers = [
            await client.request(method, asked, json=body, headers=other.headers) for asked in (path, nowhere)
        ]
        codes = {problem(found) for found in answers}
        expected = "delivery_not_found" if path.startswith("/deliveries") else "subscription_not_found"
        assert codes == {(404, expected)}, (method, path)

    assert (await get(client, other, "/subscriptions"))["items"] == []
    assert (await get(client, other, "/deliveries"))["items"] == []
    assert await get(client, alice, f"/subscriptions/{created['subscription_id']}") == before


# The audit log


async def test_changes_are_recorded_without_urls_and_secrets(
    app: FastAPI, client: httpx.AsyncClient, alice: Account
) -> None:
    created = await subscribe(client, alice, secret=OWN_SECRET)
    path = f"/subscriptions/{created['subscription_id']}"
    await client.patch(path, json={"target": {"url": f"{URL}/2"}, "name": "Deploys"}, headers=alice.headers)
    rotated = await post(client, alice, f"{path}/rotate-secret")
    await client.delete(path, headers=alice.headers)
    admin = await sign_in(app, "root", Role.ADMIN)

    log = await client.get("/audit", headers=admin.headers)

    mine = [entry for entry in log.json()["items"] if entry["object_id"] == created["subscription_id"]]
    assert [(entry["action"], entry["details"]) for entry in reversed(mine)] == [
        ("subscription.created", {"name": "CI", "channel": "webhook", "events": ["job.completed"]}),
        ("subscription.changed", {"changed": ["name", "target"]}),
        ("subscription.secret_rotated", {"overlap_hours": 24}),
        ("subscription.deleted", {}),
    ]
    assert {entry["object_type"] for entry in mine} == {"subscription"}
    for secret in (URL, OWN_SECRET, rotated.json()["secret"], SECRET.decode()):
        assert secret not in log.text
