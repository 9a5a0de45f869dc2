"""Each event is tried until it is delivered, in the order of its job, and no receiver delays others."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.core.database import Database
from app.notifications import recording, taking
from app.notifications.channels.channel import Away, Delivered, Message, Outcome, Refused
from app.notifications.deliverer import MAX_PER_SUBSCRIPTION, Deliverer, Windows
from app.notifications.recording import Result, Verdict
from app.notifications.retries import DELAYS_SECONDS
from app.notifications.sealing import Sealing
from app.notifications.states import DeliveryStatus, NotificationType
from app.notifications.taking import TakenDelivery
from app.notifications.values import Delivery
from tests.notifications import subscribing
from tests.notifications.conftest import MakeDeliverer
from tests.notifications.recording_channel import RecordingChannel, always, silent
from tests.notifications.subscribing import ALL_OF_JOBS
from tests.support import jobs
from tests.support.waiting import until

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
REFUSED = Refused(status=500)


@dataclass
class VirtualClock:
    """The moment that decides what is due; it advances only when a test says so."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(minutes=1))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def channel() -> RecordingChannel:
    return RecordingChannel()


@pytest.fixture
def deliverer(make_deliverer: MakeDeliverer, channel: RecordingChannel, clock: VirtualClock) -> Deliverer:
    return make_deliverer(channels={channel.name: channel}, clock=clock)


async def subscribe(database: Database, owner_id: UUID, to: str = "someone", **options: Any) -> UUID:
    chosen: dict[str, Any] = {"channel": "recording", "target": {"to": to}, **options}
    return await subscribing.subscribe(database, owner_id, **chosen)


async def flood(database: Database, subscription: UUID, count: int = 1) -> None:
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, count)


async def has_message(channel: RecordingChannel) -> bool:
    return bool(channel.messages)


async def one(database: Database) -> Delivery:
    [delivery] = await subscribing.deliveries(database)
    return delivery


async def to_next_try(database: Database, clock: VirtualClock, subscription: UUID) -> timedelta:
    """Advance the clock to the next try of the only delivery, and return by how much."""
    delivery = await one(database)
    assert delivery.next_try_at is not None
    found = await subscribing.read(database, subscription)
    before = clock.now
    clock.now = max(delivery.next_try_at, found.held_until or delivery.next_try_at)
    return delivery.next_try_at - before


# Retries


async def test_a_delivery_is_tried_ten_times_over_three_days_and_then_has_failed(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription)
    waits = []
    for _ in DELAYS_SECONDS:
        await deliverer.deliver_due()
        waits.append(await to_next_try(database, clock, subscription))
    await deliverer.deliver_due()

    assert [
        0.9 * delay <= wait.total_seconds() <= 1.1 * delay
        for wait, delay in zip(waits, DELAYS_SECONDS, strict=True)
    ] == [True] * 9
    assert sum(DELAYS_SECONDS) == 75 * 3600 + 35 * 60 + 5
    delivery = await one(database)
    assert (delivery.status, delivery.tries, len(channel.messages)) == (DeliveryStatus.FAILED, 10, 10)
    assert {message.id for message in channel.messages} == {delivery.id}
    assert [attempt.number for attempt in await subscribing.tries(database, delivery.id)] == [*range(1, 11)]


async def test_the_tenth_try_may_still_succeed(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription)
    for _ in DELAYS_SECONDS:
        await deliverer.deliver_due()
        await to_next_try(database, clock, subscription)
    channel.answers.clear()

    await deliverer.deliver_due()

    assert (await one(database)).status is DeliveryStatus.DELIVERED
    found = await subscribing.read(database, subscription)
    assert (found.failures, found.failing_since, found.held_until) == (0, None, None)


async def test_a_try_that_is_not_due_is_not_made(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    await flood(database, await subscribe(database, owner_id))
    await deliverer.deliver_due()
    clock.advance(4 * SECOND)

    await deliverer.deliver_due()

    assert len(channel.messages) == 1


async def test_a_final_refusal_is_not_tried_again(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(Refused(error="address_not_allowed", is_final=True))
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription)

    await deliverer.deliver_due()

    delivery = await one(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert (delivery.status, attempt.error) == (DeliveryStatus.FAILED, "address_not_allowed")
    assert (await subscribing.read(database, subscription)).failures == 1


# Order


async def test_the_events_of_a_job_are_delivered_in_order(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    await subscribe(database, owner_id)
    channel.answers["someone"] = always(REFUSED)
    job = await jobs.running(database, owner_id, rows=5)
    await jobs.complete(database, job)
    await deliverer.deliver_due()
    tried_while_failing = [notice.type for message in channel.messages for notice in message.notices]
    channel.answers.clear()
    clock.advance(6 * SECOND)

    await deliverer.deliver_due()

    types = [message.notices[0].type for message in channel.messages]
    assert tried_while_failing == ["job.started"]
    assert types == ["job.started", "job.started", "job.completed"]


async def test_another_job_does_not_wait_for_one_that_fails(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    await subscribe(database, owner_id)
    stuck = await jobs.running(database, owner_id, rows=5)

    async def refuse_one(message: Message) -> Outcome:
        is_stuck = message.notices[0].data["job_id"] == stuck.id
        return REFUSED if is_stuck else Delivered()

    channel.answers["someone"] = refuse_one
    other = await jobs.running(database, owner_id, rows=5)
    await jobs.complete(database, other)
    await jobs.complete(database, stuck)

    await deliverer.deliver_due()

    delivered = [
        delivery.type
        for delivery in await subscribing.deliveries(database)
        if delivery.status is DeliveryStatus.DELIVERED
    ]
    assert delivered == ["job.started", "job.completed"]


async def test_after_the_last_try_of_an_event_the_next_one_of_its_job_is_delivered(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    await subscribe(database, owner_id)
    channel.answers["someone"] = always(Refused(error="no", is_final=True))
    await jobs.complete(database, await jobs.running(database, owner_id, rows=5))

    await deliverer.deliver_due()

    assert [message.notices[0].type for message in channel.messages] == ["job.started", "job.completed"]


async def test_a_replay_does_not_wait_for_its_job(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    await subscribe(database, owner_id)
    channel.answers["someone"] = always(REFUSED)
    await jobs.complete(database, await jobs.running(database, owner_id, rows=5))
    await deliverer.deliver_due()
    await replay(database, "job.completed")

    await deliverer.deliver_due()

    assert [message.notices[0].type for message in channel.messages] == ["job.started", "job.completed"]


async def test_a_replay_does_not_hold_up_its_job(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    await subscribe(database, owner_id)
    job = await jobs.running(database, owner_id, rows=5)
    await deliverer.deliver_due()
    await replay(database, "job.started")
    channel.answers["someone"] = always(REFUSED)
    await deliverer.deliver_due()
    await jobs.complete(database, job)
    channel.answers.clear()

    await deliverer.deliver_due()

    assert [message.notices[0].type for message in channel.messages][-1] == "job.completed"


async def replay(database: Database, type: str) -> None:
    """Write the delivery of an event once more."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO deliveries (subscription_id, type, job_id, seq, next_try_at, replay_of)"
            " SELECT subscription_id, type, job_id, seq, now(), id FROM deliveries WHERE type = $1",
            type,
        )


# Holds


async def test_a_subscription_that_keeps_failing_is_held_and_probed_with_one_delivery_at_a_time(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription, 20)
    await deliverer.deliver_due()
    after_five = await subscribing.read(database, subscription)
    assert len(channel.messages) == 5
    assert after_five.held_until == clock.now + 5 * SECOND

    holds = []
    for _ in range(9):
        assert (await subscribing.read(database, subscription)).held_until is not None
        await deliverer.deliver_due()
        clock.now = (await subscribing.read(database, subscription)).held_until or clock.now
        before = len(channel.messages)
        await deliverer.deliver_due()
        assert len(channel.messages) == before + 1
        found = await subscribing.read(database, subscription)
        assert found.held_until is not None
        holds.append((found.held_until - clock.now).total_seconds())

    assert holds == [10, 20, 40, 80, 160, 300, 300, 300, 300]


async def test_what_waits_while_a_subscription_is_held_spends_no_try_and_goes_out_after_a_probe_succeeds(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription, 20)
    await deliverer.deliver_due()
    waiting = [found for found in await subscribing.deliveries(database) if found.tries == 0]
    channel.answers.clear()
    clock.advance(5 * SECOND)
    before = len(channel.messages)

    await deliverer.deliver_due()

    first_tries = [found for found in await subscribing.deliveries(database) if found.tries == 1]
    assert len(waiting) == 15
    assert len(channel.messages) - before >= 15
    assert {found.id for found in waiting} <= {found.id for found in first_tries}


async def test_a_subscription_that_fails_for_five_days_is_disabled(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription, 3)
    await deliverer.deliver_due()
    clock.advance(timedelta(days=4, hours=23))
    await flood(database, subscription)
    await deliverer.deliver_due()
    still = await subscribing.read(database, subscription)
    clock.advance(timedelta(hours=2))

    await deliverer.deliver_due()

    found = await subscribing.read(database, subscription)
    await deliverer.deliver_due()
    statuses = {delivery.status for delivery in await subscribing.deliveries(database)}
    assert still.status == "active"
    assert found.reason == {"code": "failing"}
    assert DeliveryStatus.PENDING not in statuses
    assert DeliveryStatus.DROPPED in statuses


async def test_one_success_within_the_five_days_starts_them_anew(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription)
    await deliverer.deliver_due()
    clock.advance(timedelta(days=4))
    channel.answers.clear()
    await deliverer.deliver_due()
    channel.answers["someone"] = always(REFUSED)
    await flood(database, subscription)
    await deliverer.deliver_due()
    clock.advance(timedelta(days=2))

    await deliverer.deliver_due()

    assert (await subscribing.read(database, subscription)).status == "active"


async def test_a_test_reaches_a_subscription_that_is_held_is_tried_once_and_counts_no_failure(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription, 10)
    await deliverer.deliver_due()
    before = await subscribing.read(database, subscription)
    ping = await subscribing.ping(database, subscription)

    await deliverer.deliver_due()

    after = await subscribing.read(database, subscription)
    [tested] = [found for found in await subscribing.deliveries(database) if found.id == ping]
    assert channel.messages[-1].id == ping
    assert (tested.status, tested.tries) == (DeliveryStatus.FAILED, 1)
    assert (after.failures, after.held_until) == (before.failures, before.held_until)


async def test_a_test_that_succeeds_ends_the_hold(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription, 10)
    await deliverer.deliver_due()
    channel.answers.clear()
    await subscribing.ping(database, subscription)

    await deliverer.deliver_due()

    found = await subscribing.read(database, subscription)
    assert (found.failures, found.held_until) == (0, None)


async def test_an_answer_that_asks_for_patience_holds_the_subscription(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(Refused(status=429, retry_after=600.0))
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription, 3)
    await deliverer.deliver_due()
    channel.answers.clear()
    clock.advance(599 * SECOND)
    await deliverer.deliver_due()
    before = len(channel.messages)
    clock.advance(SECOND)

    await deliverer.deliver_due()

    assert before == 1
    assert len(channel.messages) == 4


# What a channel may do


async def test_a_channel_that_is_away_costs_no_try_and_is_left_alone(
    database: Database, make_deliverer: MakeDeliverer, clock: VirtualClock, owner_id: UUID
) -> None:
    away, works = RecordingChannel("away"), RecordingChannel("works")
    away.answers["someone"] = always(Away("connection_refused"))
    deliverer = make_deliverer(channels={"away": away, "works": works}, clock=clock)
    subscription = await subscribe(database, owner_id, channel="away")
    other = await subscribe(database, owner_id, channel="works")
    for one_of in (subscription, other):
        await flood(database, one_of, 3)
    await deliverer.deliver_due()
    clock.advance(61 * SECOND)

    await deliverer.deliver_due()

    waiting = await subscribing.deliveries(database, subscription)
    assert len(away.messages) == 1
    assert [(found.status, found.tries) for found in waiting] == [(DeliveryStatus.PENDING, 0)] * 3
    assert await subscribing.tries(database, away.messages[0].id) == []
    assert (await subscribing.read(database, subscription)).failures == 0
    assert len(works.messages) == 3


async def test_a_channel_that_is_back_delivers_what_was_put_back(
    database: Database, make_deliverer: MakeDeliverer, clock: VirtualClock, owner_id: UUID
) -> None:
    channel = RecordingChannel()
    channel.answers["someone"] = always(Away("connection_refused"))
    await flood(database, await subscribe(database, owner_id))
    options = {"channels": {channel.name: channel}, "clock": clock}
    await make_deliverer(**options).deliver_due()
    channel.answers.clear()
    clock.advance(61 * SECOND)

    await make_deliverer(**options).deliver_due()

    assert (await one(database)).status is DeliveryStatus.DELIVERED


async def test_a_channel_that_raises_fails_that_message_alone(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    async def fail(_message: Message) -> Outcome:
        raise ZeroDivisionError

    channel.answers["broken"] = fail
    broken = await subscribe(database, owner_id, "broken")
    fine = await subscribe(database, owner_id, "fine")
    for subscription in (broken, fine):
        await flood(database, subscription)

    await deliverer.deliver_due()

    [failed] = await subscribing.deliveries(database, broken)
    [delivered] = await subscribing.deliveries(database, fine)
    [attempt] = await subscribing.tries(database, failed.id)
    assert (failed.status, attempt.error) == (DeliveryStatus.PENDING, "internal_error")
    assert delivered.status is DeliveryStatus.DELIVERED


async def test_a_channel_that_takes_too_long_is_cancelled(
    database: Database, make_deliverer: MakeDeliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    channel.answers["someone"] = silent
    await flood(database, await subscribe(database, owner_id))

    await make_deliverer(channels={channel.name: channel}, send_seconds=0.05).deliver_due()

    delivery = await one(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert (delivery.status, attempt.error) == (DeliveryStatus.PENDING, "timed_out")


async def test_a_target_that_the_channel_no_longer_knows_fails_that_delivery(
    database: Database, deliverer: Deliverer, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id, target={"unknown": 1})
    await flood(database, subscription)

    await deliverer.deliver_due()

    delivery = await one(database)
    [attempt] = await subscribing.tries(database, delivery.id)
    assert (delivery.status, attempt.error) == (DeliveryStatus.FAILED, "target_not_valid")


async def test_a_channel_that_gathers_gets_the_events_of_a_while_in_one_message(
    database: Database, make_deliverer: MakeDeliverer, clock: VirtualClock, owner_id: UUID
) -> None:
    channel = RecordingChannel("digest", gather_seconds=30)
    clock.now = datetime.now(UTC)
    deliverer = make_deliverer(channels={"digest": channel}, clock=clock)
    await subscribe(database, owner_id, channel="digest", gather_seconds=30, events=ALL_OF_JOBS)
    for _ in range(3):
        await jobs.complete(database, await jobs.running(database, owner_id, rows=5))
    await deliverer.deliver_due()
    at_once = len(channel.messages)
    clock.advance(29 * SECOND)
    await deliverer.deliver_due()
    too_early = len(channel.messages)
    clock.advance(timedelta(minutes=1))

    await deliverer.deliver_due()

    [message] = channel.messages
    assert (at_once, too_early) == (0, 0)
    assert [notice.type for notice in message.notices].count(NotificationType.JOB_COMPLETED) == 3
    assert len(message.notices) == 6
    first_job = message.notices[0].data["job_id"]
    seqs = [notice.data["seq"] for notice in message.notices if notice.data["job_id"] == first_job]
    assert len(seqs) == 2
    assert seqs == sorted(seqs)
    statuses = {delivery.status for delivery in await subscribing.deliveries(database)}
    assert statuses == {DeliveryStatus.DELIVERED}


async def test_a_gathered_message_that_fails_counts_as_one_failure(
    database: Database, make_deliverer: MakeDeliverer, clock: VirtualClock, owner_id: UUID
) -> None:
    channel = RecordingChannel("digest", gather_seconds=30)
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id, channel="digest", gather_seconds=30)
    await flood(database, subscription, 12)
    deliverer = make_deliverer(channels={"digest": channel}, clock=clock)
    clock.advance(timedelta(minutes=1))

    await deliverer.look()
    await deliverer.settle()

    assert len(channel.messages) == 1
    assert (await subscribing.read(database, subscription)).failures == 1
    assert {found.tries for found in await subscribing.deliveries(database)} == {1}


# What is not delivered


async def test_a_subscription_that_is_not_confirmed_gets_nothing_but_the_request_for_it(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, clock: VirtualClock, owner_id: UUID
) -> None:
    channel.answers["someone"] = always(REFUSED)
    subscription = await subscribe(database, owner_id, status="pending")
    await flood(database, subscription, 2)
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1, type="subscription.confirm")
    await deliverer.deliver_due()
    channel.answers.clear()
    clock.advance(6 * SECOND)

    await deliverer.deliver_due()

    assert [message.notices[0].type for message in channel.messages] == ["subscription.confirm"] * 2


async def test_a_delivery_whose_job_is_gone_is_dropped(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    await subscribe(database, owner_id)
    await jobs.complete(database, await jobs.running(database, owner_id, rows=5))
    async with database.connection() as connection:
        await connection.execute("DELETE FROM jobs")

    await deliverer.deliver_due()

    statuses = [delivery.status for delivery in await subscribing.deliveries(database)]
    assert statuses == [DeliveryStatus.DROPPED] * 2
    assert channel.messages == []


@pytest.mark.parametrize("change", ["is_active = false", "deleted_at = now()"])
async def test_nothing_is_delivered_for_an_account_that_is_not_active(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID, change: str
) -> None:
    await flood(database, await subscribe(database, owner_id))
    async with database.connection() as connection:
        await connection.execute(f"UPDATE users SET {change} WHERE id = $1", owner_id)

    await deliverer.deliver_due()

    assert channel.messages == []
    assert (await one(database)).status is DeliveryStatus.PENDING


# Many receivers and many processes


def test_a_window_opens_with_each_success_and_closes_with_a_failure() -> None:
    windows, subscription = Windows(most=8), UUID(int=1)
    rooms = []
    for is_success in (True, True, True, True, False, True):
        rooms.append(windows.room(subscription))
        windows.started(subscription)
        assert windows.room(subscription) == rooms[-1] - 1
        windows.ended(subscription, is_success=is_success)

    assert rooms == [1, 2, 4, 8, 8, 1]
    assert windows.rooms() == {subscription: 2}


async def test_a_receiver_that_answers_soon_gets_several_messages_at_once_and_never_more_than_allowed(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    async def soon(_message: Message) -> Outcome:
        await asyncio.sleep(0)
        return Delivered()

    channel.answers["someone"] = soon
    await flood(database, await subscribe(database, owner_id), 60)

    await deliverer.deliver_due()

    assert len(channel.messages) == 60
    assert len({message.id for message in channel.messages}) == 60
    assert channel.most_in_flight["someone"] == MAX_PER_SUBSCRIPTION


@pytest.mark.parametrize("dead", [1, 20])
async def test_receivers_that_never_answer_delay_no_other(
    database: Database, make_deliverer: MakeDeliverer, channel: RecordingChannel, owner_id: UUID, dead: int
) -> None:
    for number in range(dead):
        channel.answers[f"dead {number}"] = silent
        await flood(database, await subscribe(database, owner_id, f"dead {number}"), 5000 // dead)
    await flood(database, await subscribe(database, owner_id, "live"), 300)
    deliverer = make_deliverer(channels={channel.name: channel}, drain_seconds=0.0)

    async def all_live_came() -> bool:
        return len(channel.of("live")) == 300

    async with deliverer.running():
        await until(all_live_came)

    # A receiver that does not answer holds one place, whatever waits for it.
    assert [channel.most_in_flight[f"dead {number}"] for number in range(dead)] == [1] * dead
    assert sum(len(channel.of(f"dead {number}")) for number in range(dead)) == dead


async def test_when_all_places_are_taken_subscriptions_take_turns(
    database: Database, make_deliverer: MakeDeliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    names = [f"receiver {number}" for number in range(6)]
    for name in names:
        await flood(database, await subscribe(database, owner_id, name), 3)
    deliverer = make_deliverer(channels={channel.name: channel}, max_in_flight=2)

    for _ in range(3):
        assert await deliverer.look() == 2
        await deliverer.settle()

    assert sorted(message.target.to for message in channel.messages) == names


async def test_two_processes_deliver_each_event_once(
    database: Database, make_deliverer: MakeDeliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    for number in range(5):
        await flood(database, await subscribe(database, owner_id, f"receiver {number}"), 40)
    both = [make_deliverer(channels={channel.name: channel}) for _ in range(2)]

    await asyncio.gather(*(deliverer.deliver_due() for deliverer in both))
    await both[0].deliver_due()

    assert len(channel.messages) == 200
    assert len({message.id for message in channel.messages}) == 200


async def test_a_lease_keeps_other_processes_away_until_it_ends(
    database: Database, make_deliverer: MakeDeliverer, clock: VirtualClock, owner_id: UUID
) -> None:
    stuck, other = RecordingChannel(), RecordingChannel()
    stuck.answers["someone"] = silent
    await flood(database, await subscribe(database, owner_id))
    frozen = make_deliverer(channels={stuck.name: stuck}, clock=clock, drain_seconds=0.0)
    async with frozen.running():
        await until(partial(has_message, stuck))
        second = make_deliverer(channels={other.name: other}, clock=clock)
        clock.advance(59 * SECOND)
        await second.deliver_due()
        before = len(other.messages)
        clock.advance(2 * SECOND)
        await second.deliver_due()
        after = len(other.messages)

    assert (before, after) == (0, 1)
    assert other.messages[0].id == stuck.messages[0].id
    delivery = await one(database)
    # What the first process puts back at its end is fenced: the second one has recorded its success.
    assert (delivery.status, delivery.tries) == (DeliveryStatus.DELIVERED, 2)


async def test_a_result_of_a_try_whose_lease_is_over_changes_nothing(
    database: Database, sealing: Sealing, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id)
    await flood(database, subscription)
    async with database.connection() as connection:
        first = await _take(connection, sealing, now=START + timedelta(days=365))
        second = await _take(connection, sealing, now=START + timedelta(days=366))
        late = Result(
            position=1,
            delivery_id=first[0].id,
            tries=first[0].tries,
            verdict=Verdict.FAILED,
            at=START,
            disables=None,
        )

        recorded = await recording.record(connection, [late], now=None)

    assert (first[0].tries, second[0].tries) == (1, 2)
    assert recorded == []
    delivery = await one(database)
    assert delivery.status is DeliveryStatus.PENDING
    assert await subscribing.tries(database, delivery.id) == []
    assert (await subscribing.read(database, subscription)).failures == 0


async def test_what_is_in_flight_when_the_process_stops_is_put_back(
    database: Database, make_deliverer: MakeDeliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    channel.answers["someone"] = silent
    await flood(database, await subscribe(database, owner_id))
    async with make_deliverer(channels={channel.name: channel}, drain_seconds=0.0).running():
        await until(partial(has_message, channel))

    delivery = await one(database)
    assert (delivery.status, delivery.tries) == (DeliveryStatus.PENDING, 0)
    channel.answers.clear()
    await make_deliverer(channels={channel.name: channel}).deliver_due()
    assert [message.id for message in channel.messages] == [delivery.id] * 2


async def test_what_ends_while_the_process_stops_is_recorded(
    database: Database, make_deliverer: MakeDeliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    released = asyncio.Event()

    async def slow(_message: Message) -> Outcome:
        await released.wait()
        return Delivered()

    channel.answers["someone"] = slow
    await flood(database, await subscribe(database, owner_id))
    async with make_deliverer(channels={channel.name: channel}, drain_seconds=60.0).running():
        await until(partial(has_message, channel))
        asyncio.get_running_loop().call_later(0.05, released.set)

    assert (await one(database)).status is DeliveryStatus.DELIVERED


async def _take(connection: asyncpg.Connection, sealing: Sealing, *, now: datetime) -> list[TakenDelivery]:
    return await taking.take(
        connection,
        channel="recording",
        rooms={},
        room=1,
        limit=10,
        after=UUID(int=0),
        key_names=sealing.key_names,
        public_url=None,
        now=now,
    )


async def test_a_type_that_only_a_newer_version_knows_waits_for_it_and_disturbs_nothing(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    subscription = await subscribe(database, owner_id)
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1, type="job.celebrated")
        await subscribing.flood(connection, subscription, 1)

    await deliverer.deliver_due()

    async with database.connection() as connection:
        rows = await connection.fetch("SELECT type, status, tries FROM deliveries ORDER BY type")
    assert [message.notices[0].type for message in channel.messages] == ["schedule.missed"]
    assert [tuple(row) for row in rows] == [
        ("job.celebrated", "pending", 0),
        ("schedule.missed", "delivered", 1),
    ]


async def test_a_result_that_cannot_be_recorded_holds_up_no_other(
    database: Database, deliverer: Deliverer, channel: RecordingChannel, owner_id: UUID
) -> None:
    async def write_nul(_message: Message) -> Outcome:
        return Refused(error="a code with a NUL \x00")

    channel.answers["broken"] = write_nul
    broken = await subscribe(database, owner_id, "broken")
    fine = await subscribe(database, owner_id, "fine")
    for subscription in (broken, fine):
        await flood(database, subscription)

    await deliverer.look()
    await deliverer.settle()

    [delivered] = await subscribing.deliveries(database, fine)
    [waiting] = await subscribing.deliveries(database, broken)
    assert delivered.status is DeliveryStatus.DELIVERED
    assert (waiting.status, waiting.tries) == (DeliveryStatus.PENDING, 1)
