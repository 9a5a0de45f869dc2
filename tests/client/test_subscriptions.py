"""Subscriptions, created, tested and replayed with both clients."""

from datetime import UTC, datetime, timedelta

import pytest

from app.client import AsyncHeadrace, Conflict, Invalid, NotFound, Unavailable
from tests.client.conftest import Connect
from tests.client.scripted import answer, answering
from tests.support.waiting import until

URL = "https://hooks.invalid/ml"
"""A name that no resolver knows (RFC 6761): deliveries fail without any network."""


async def test_a_subscription_is_created_listed_changed_and_deleted(client: AsyncHeadrace) -> None:
    created = await client.create_subscription(
        "CI", ["job.failed"], url=URL, filter={"metadata": {"team": "a"}}
    )
    changed = await client.change_subscription(created, name="Deploys", filter=None)
    disabled = await client.change_subscription(created.id, status="disabled")
    [listed] = [
        one async for one in client.subscriptions(status="disabled", page_size=1) if one.id == created.id
    ]

    assert created.secret is not None
    assert created.secret.startswith("whsec_")
    assert (created.status, created.channel, created.target) == ("active", "webhook", {"url": URL})
    assert created.filter["metadata"] == {"team": "a"}
    assert created.secret not in repr(created) + str(created.raw)
    assert (changed.name, changed.filter["metadata"], changed.secret) == ("Deploys", None, None)
    assert (disabled.status, disabled.reason, listed) == ("disabled", "owner", disabled)
    with pytest.raises(Conflict) as refused:
        await client.test_subscription(created)
    assert refused.value.code == "subscription_disabled"

    await client.delete_subscription(created)

    with pytest.raises(NotFound):
        await client.subscription(created)
    with pytest.raises(NotFound):
        await client.delete_subscription(created.id)


async def test_a_test_that_fails_is_listed_and_replayed(client: AsyncHeadrace) -> None:
    created = await client.create_subscription("CI", ["job.completed"], url=URL)

    result = await client.test_subscription(created)

    [listed] = [delivery async for delivery in client.deliveries(created)]
    details = await client.delivery(listed)
    assert (result.status, result.error) == ("failed", "name_not_found")
    assert (listed.id, listed.type, listed.status, listed.tries) == (result.delivery_id, "ping", "failed", 1)
    assert details.body is not None
    assert details.body["type"] == "ping"
    assert [tried["error"] for tried in details.history] == ["name_not_found"]
    replayed = await client.replay_delivery(details)
    assert (await client.delivery(replayed)).replay_of == listed.id
    assert await client.replay_deliveries(created, datetime.now(UTC) - timedelta(days=1)) == 0  # no tests
    await client.delete_subscription(created)


async def test_what_a_job_does_is_among_all_deliveries(client: AsyncHeadrace) -> None:
    created = await client.create_subscription("CI", ["job.completed"], url=URL)
    job = await client.submit(["What a lovely day"])
    await client.wait(job, timeout=60)

    async def delivered() -> list[str | None]:
        return [one.job_id async for one in client.deliveries(page_size=1) if one.job_id == job.id]

    assert await until(delivered) == [job.id]
    await client.delete_subscription(created)


async def test_a_secret_is_rotated(client: AsyncHeadrace) -> None:
    created = await client.create_subscription("CI", ["job.failed"], url=URL)

    with_overlap = await client.rotate_subscription_secret(created, overlap_hours=1)
    at_once = await client.rotate_subscription_secret(created, overlap_hours=0)

    assert len({created.secret, with_overlap.secret, at_once.secret}) == 3
    assert with_overlap.previous_expires_at is not None
    assert at_once.previous_expires_at is None
    await client.delete_subscription(created)


async def test_what_the_server_would_refuse_is_refused(client: AsyncHeadrace) -> None:
    with pytest.raises(TypeError, match="events must be a list"):
        await client.create_subscription("CI", "job.failed", url=URL)
    with pytest.raises(TypeError, match="one of url and target"):
        await client.create_subscription("CI", ["job.failed"])
    with pytest.raises(TypeError, match="one of url and target"):
        await client.create_subscription("CI", ["job.failed"], url=URL, target={"url": URL})
    with pytest.raises(ValueError, match="needs a time zone"):
        await client.replay_deliveries("1", datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(Invalid) as invalid:
        await client.create_subscription("CI", ["job.failed"], url="http://localhost/")
    assert invalid.value.code == "url_not_allowed"


async def test_a_deletion_whose_response_was_lost_is_no_error(connect: Connect) -> None:
    lost = answer(502, "<h1>Bad gateway</h1>")
    gone = answer(404, {"code": "subscription_not_found", "detail": "There is no such subscription."})

    async with answering(lost, gone) as server:
        await connect(server.url, token="t").delete_subscription("1")

    assert len(server.asked) == 2


async def test_what_would_happen_twice_is_not_repeated(connect: Connect) -> None:
    away = answer(503, {"code": "database_unavailable", "detail": "Away."})

    async with answering(away, away, away, away) as server:
        client = connect(server.url, token="t")
        for call in (
            client.create_subscription("CI", ["job.failed"], url=URL),
            client.rotate_subscription_secret("1"),
            client.test_subscription("1"),
            client.replay_delivery("1"),
        ):
            with pytest.raises(Unavailable):
                await call

    assert len(server.asked) == 4
