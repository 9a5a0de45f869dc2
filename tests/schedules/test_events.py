"""What becomes of schedules is reported to the subscriptions of their owners, exactly when it is recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from app.core.config import Settings
from app.core.database import Database
from app.jobs.kinds import registry
from app.jobs.kinds.kind import JobPlan
from app.jobs.unit_of_work import UnitOfWork
from app.notifications import queries
from app.notifications.bodies import example
from app.notifications.states import SUBSCRIBABLE, NotificationType
from app.schedules.rules import Cron, Interval, Once
from app.schedules.states import CatchUp, Overlap
from app.schedules.values import ScheduleRow
from tests.notifications import subscribing
from tests.support import jobs, rows, schedules
from tests.support.accounts import Account
from tests.support.schedules import NOON, VirtualTime

ALL_OF_SCHEDULES = tuple(type_ for type_ in SUBSCRIBABLE if type_.is_of_schedule)
UNKNOWN_MODEL = {"texts": ["good"], "model": "nobody"}
VANISHED = Cron("0 12 * * *", "Mars/Olympus")


@pytest.fixture
def time(settings: Settings, database: Database) -> VirtualTime:
    return VirtualTime(settings, database)


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


async def subscribe(database: Database, owner_id: UUID, **filters: Any) -> UUID:
    return await subscribing.subscribe(database, owner_id, events=ALL_OF_SCHEDULES, **filters)


async def reported(database: Database, subscription: UUID | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The types and the data of deliveries, in the order of their events."""
    found = await subscribing.deliveries(database, subscription)
    ordered = sorted(found, key=lambda delivery: delivery.next_try_at or delivery.created_at)
    return [(delivery.type, delivery.data or {}) for delivery in ordered]


async def types(database: Database, subscription: UUID | None = None) -> list[str]:
    return [type_ for type_, _ in await reported(database, subscription)]


async def add_refused(database: Database, owner_id: UUID, **columns: Any) -> ScheduleRow:
    return await schedules.add(database, owner_id, job=UNKNOWN_MODEL, **columns)


# What happens to a schedule


Story = Callable[[Database, UUID, VirtualTime], Awaitable[ScheduleRow]]


async def refused(database: Database, owner_id: UUID, time: VirtualTime) -> ScheduleRow:
    schedule = await add_refused(database, owner_id, group_name="reports")
    await time.fire()
    return schedule


async def missed(database: Database, owner_id: UUID, time: VirtualTime) -> ScheduleRow:
    schedule = await schedules.add(database, owner_id, catch_up=CatchUp.NONE)
    await time.fire(3600 + 61)
    return schedule


async def paused(database: Database, owner_id: UUID, time: VirtualTime) -> ScheduleRow:
    schedule = await schedules.add(database, owner_id, pause_after_failures=1)
    await time.fire()
    await jobs.fail(database, await jobs.claim(database), is_retryable=False)
    await time.fire(60)
    return schedule


async def finished(database: Database, owner_id: UUID, time: VirtualTime) -> ScheduleRow:
    schedule = await schedules.add(database, owner_id, Once(NOON))
    await time.fire()
    return schedule


async def broken(database: Database, owner_id: UUID, time: VirtualTime) -> ScheduleRow:
    schedule = await schedules.add(database, owner_id, VANISHED)
    await time.fire()
    return schedule


async def broken_by_new_zone_data(database: Database, owner_id: UUID, time: VirtualTime) -> ScheduleRow:
    later = NOON + timedelta(hours=1)
    schedule = await schedules.add(database, owner_id, VANISHED, next_fire_at=later, tz_version="1999a")
    await time.renew()
    return schedule


STORIES: Mapping[str, tuple[Story, NotificationType, dict[str, Any]]] = {
    "refused": (
        refused,
        NotificationType.SCHEDULE_REFUSED,
        {"fire_at": "2027-01-01T12:00:00Z", "group": "reports", "reason": "model_not_found"},
    ),
    "missed": (
        missed,
        NotificationType.SCHEDULE_MISSED,
        {"fire_at": "2027-01-01T12:00:00Z", "through_at": "2027-01-01T13:00:00Z", "count": 61},
    ),
    "paused": (paused, NotificationType.SCHEDULE_PAUSED, {"reason": "too_many_failures"}),
    "finished": (finished, NotificationType.SCHEDULE_FINISHED, {}),
    "broken": (broken, NotificationType.SCHEDULE_BROKEN, {"reason": "cannot_compute"}),
    "broken by new zone data": (
        broken_by_new_zone_data,
        NotificationType.SCHEDULE_BROKEN,
        {"reason": "cannot_compute"},
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def test_what_becomes_of_a_schedule_is_reported_once_as_it_is_documented(
    database: Database, owner_id: UUID, time: VirtualTime, story: str
) -> None:
    await subscribe(database, owner_id)
    happen, type_, members = STORIES[story]

    schedule = await happen(database, owner_id, time)

    nothing = dict.fromkeys(("group", "fire_at", "through_at", "count", "reason"))
    [(found, data)] = await reported(database)
    code = None if data["reason"] is None else data["reason"]["code"]
    assert found == type_
    assert {**data, "reason": code} == {
        **nothing,
        "schedule_id": str(schedule.id),
        "name": schedule.name,
        "kind": schedule.kind,
        **members,
    }
    [delivery] = await subscribing.deliveries(database)
    async with database.connection() as connection:
        _, notice = await queries.delivery(connection, owner_id, delivery.id, public_url=None)
    assert notice is not None
    assert notice.data.keys() == example(type_)["data"].keys()


async def test_a_firing_that_postgres_refuses_reports_that_its_schedule_is_broken(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    good = registry.BUILT_IN["batch_predict"]

    def plan_nonsense(request: Any, found: Any) -> JobPlan:
        return replace(good.plan(request, found), total=-1)

    kinds = {**registry.BUILT_IN, "nonsense": replace(good, name="nonsense", plan=plan_nonsense)}
    await subscribe(database, owner_id)
    await schedules.add(database, owner_id, kind="nonsense")
    await add_refused(database, owner_id)

    await VirtualTime(settings, database, kinds=kinds).fire()

    # The round was written again one by one: nothing of the first time is left.
    assert sorted(await types(database)) == ["schedule.broken", "schedule.refused"]


async def test_the_ticks_come_before_the_end_of_their_schedule(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    subscription = await subscribe(database, owner_id)
    every_10_seconds = Interval(NOON, 10, includes_anchor=True)
    await schedules.add(
        database,
        owner_id,
        every_10_seconds,
        job=UNKNOWN_MODEL,
        overlap=Overlap.ALLOW,
        ends_at=NOON + timedelta(seconds=20),
    )

    await time.fire(25)

    of_ticks = [data["fire_at"] for type_, data in await reported(database) if type_ == "schedule.refused"]
    assert await types(database, subscription) == ["schedule.refused"] * 3 + ["schedule.finished"]
    assert of_ticks == [f"2027-01-01T12:00:{second:02}Z" for second in (0, 10, 20)]


async def test_a_promotion_that_is_refused_is_reported(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    await subscribe(database, owner_id)
    await schedules.add(database, owner_id, overlap=Overlap.QUEUE)
    await time.fire()
    await time.fire(60)
    await rows.execute(database, "UPDATE schedules SET job = $1", UNKNOWN_MODEL)
    await jobs.complete(database, await jobs.claim(database))

    await time.promote()
    await time.promote()

    [(type_, data)] = await reported(database)
    assert (type_, data["fire_at"]) == ("schedule.refused", "2027-01-01T12:01:00Z")


async def test_a_run_of_a_group_that_is_refused_is_reported(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await subscribe(store, alice.id)
    refused = await add_refused(store, alice.id, group_name="reports")
    await schedules.add(store, alice.id, group_name="reports")

    answer = await client.post("/schedule-groups/reports/run", headers=alice.headers)

    assert (answer.status_code, answer.json()) == (200, {"schedules": 1})
    fire_at = await rows.value(store, "SELECT fire_at FROM schedule_firings WHERE outcome = 'refused'")
    [(type_, data)] = await reported(store)
    assert (type_, data["schedule_id"]) == ("schedule.refused", str(refused.id))
    assert (data["reason"]["code"], data["fire_at"]) == (
        "model_not_found",
        fire_at.isoformat().replace("+00:00", "Z"),
    )


# For whom


async def test_each_owner_is_told_of_their_own_schedules(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    other = await jobs.user(database)
    mine, theirs = await subscribe(database, owner_id), await subscribe(database, other)
    for owner in (owner_id, other, owner_id):
        await add_refused(database, owner)

    await time.fire()

    assert len(await types(database, mine)) == 2
    assert len(await types(database, theirs)) == 1


async def test_a_subscription_to_one_schedule_is_told_of_no_other(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await add_refused(database, owner_id)
    await add_refused(database, owner_id)
    await subscribe(database, owner_id, schedule_id=schedule.id)

    await time.fire()

    [(_, data)] = await reported(database)
    assert data["schedule_id"] == str(schedule.id)


# Only what happened


async def test_a_tick_that_has_a_firing_already_is_not_reported(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    await subscribe(database, owner_id)
    schedule = await add_refused(database, owner_id)
    await rows.execute(
        database,
        "INSERT INTO schedule_firings (schedule_id, fire_at, outcome) VALUES ($1, $2, 'manual')",
        schedule.id,
        NOON,
    )

    await time.fire()

    assert await types(database) == []


async def test_a_round_that_is_rolled_back_reports_nothing(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    await subscribe(database, owner_id)
    await add_refused(database, owner_id)

    async def fire_and_fail() -> None:
        async with database.transaction() as connection:
            await time.dispatcher.fire(UnitOfWork(connection))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fire_and_fail()

    assert await types(database) == []


async def test_schedules_that_fire_are_skipped_or_suspended_report_nothing(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    inactive = await jobs.user(database)
    for owner in (owner_id, inactive):
        await subscribe(database, owner)
    await rows.execute(database, "UPDATE users SET is_active = false WHERE id = $1", inactive)
    await schedules.add(database, owner_id)
    await schedules.add(database, inactive)

    await time.fire()
    await time.fire(60)

    outcomes = await rows.fetch(database, "SELECT outcome FROM schedule_firings ORDER BY fire_at")
    assert [row["outcome"] for row in outcomes] == ["fired", "skipped"]
    assert await types(database) == []


# What it costs


async def statements_about_deliveries(connection: asyncpg.Connection, time: VirtualTime) -> int:
    """How many statements about deliveries one round sends."""
    sent: list[str] = []
    with connection.query_logger(lambda query: sent.append(query.query)):
        await time.dispatcher.fire(UnitOfWork(connection))
        await asyncio.sleep(0)  # asyncpg calls the logger at the loop's next turn
    assert sent
    return sum("INTO deliveries" in statement for statement in sent)


@pytest.mark.parametrize(("job", "statements"), [(schedules.JOB, 0), (UNKNOWN_MODEL, 1)])
async def test_a_round_writes_all_its_events_in_one_statement_and_none_without_events(
    database: Database, time: VirtualTime, job: dict[str, Any], statements: int
) -> None:
    for _ in range(3):
        owner = await jobs.user(database)
        await subscribe(database, owner)
        for _ in range(2):
            await schedules.add(database, owner, job=job)

    async with database.transaction() as connection:
        assert await statements_about_deliveries(connection, time) == statements

    assert len(await types(database)) == 6 * statements
