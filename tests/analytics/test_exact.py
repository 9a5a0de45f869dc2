"""Every figure equals a slow look at all rows: before a fold, between its rounds, and after it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.analytics import overview, performance, queries
from app.analytics.facts import ALL_USERS
from app.analytics.figures import Durations, Figures, Statistics
from app.analytics.overview import LAYOUTS
from app.analytics.ranges import By, OverviewRange, TimeRange
from app.core.database import Database
from tests.analytics import histories
from tests.analytics.histories import End, History
from tests.support import jobs, rows, statistics

ASKED: list[tuple[TimeRange, By | None]] = [
    *((wanted, None) for wanted in TimeRange),
    *((TimeRange.WEEK, by) for by in By),
    *((TimeRange.DAY, by) for by in (By.KIND, By.DAY)),
]
"""Each range and each grouping, and groups of ranges that begin with hours."""

ONE_ROUND = replace(statistics.AT_ONCE, max_attempts=5)


@pytest.fixture
async def owners(database: Database) -> list[UUID]:
    return [await jobs.user(database) for _ in range(3)]


async def read(database: Database, owner_id: UUID, wanted: TimeRange, by: By | None = None) -> Statistics:
    async with database.connection() as connection:
        return await queries.statistics(connection, owner_id, wanted, by)


def key_of(by: By) -> Callable[[End], str]:
    match by:
        case By.KIND:
            return lambda end: end.kind
        case By.QUEUE:
            return lambda end: end.queue
        case By.MODEL:
            return lambda end: end.model
        case By.ERROR:
            return lambda end: end.code
        case By.HOUR:
            return lambda end: f"{end.ended_at.astimezone(UTC):%Y-%m-%dT%H:00:00Z}"
        case By.DAY:
            return lambda end: f"{end.ended_at.astimezone(UTC):%Y-%m-%dT00:00:00Z}"
        case By.USER:
            return lambda end: str(end.owner_id)


def assert_equal(found: Figures, expected: dict[str, Any], where: object) -> None:
    for name in (
        *("jobs", "completed", "failed", "cancelled", "executed", "settled", "attempts"),
        *("retried", "rescued", "released", "rows"),
    ):
        assert getattr(found, name) == expected[name], (where, name)
    assert found.settled_seconds == pytest.approx(expected["settled_seconds"]), where
    for durations, name, each in ((found.run, "run", "runs"), (found.wait, "wait", "waits")):
        assert durations.total == pytest.approx(expected[f"{name}_seconds"]), (where, name)
        assert durations.longest == pytest.approx(expected[f"{name}_longest"]), (where, name)
        assert_percentiles(durations, expected[each], (where, name))


def assert_percentiles(durations: Durations, exact: list[float], where: object) -> None:
    for share in (0.5, 0.95, 0.99):
        found = durations.percentile(share)
        if durations.counts is None or not exact:
            assert found is None, where
            continue
        assert found is not None
        nearest = exact[max(0, -int(-share * len(exact) // 1) - 1)]
        assert nearest / 1.2 - 0.001 <= found <= nearest * 1.2 + 0.001, (where, share)


async def assert_all_equal(database: Database, owners: list[UUID]) -> None:
    ends = await histories.ends(database)
    for owner_id in (*owners[:1], ALL_USERS):
        own = [end for end in ends if owner_id in (ALL_USERS, end.owner_id)]
        for wanted, by in ASKED:
            if by is By.USER and owner_id != ALL_USERS:
                continue
            found = await read(database, owner_id, wanted, by)
            covered = [end for end in own if end.ended_at >= found.since]
            assert_equal(found.totals, histories.figures(covered), (owner_id, wanted, by))
            if by is not None:
                assert_groups(found, by, covered, (owner_id, wanted, by))
        async with database.connection() as connection:
            since = (await queries.statistics(connection, owner_id, TimeRange.ALL)).since
            peak = await queries.peak(connection, owner_id, since)
        assert peak == await histories.peak(database, None if owner_id == ALL_USERS else owner_id, since)
        await assert_buckets_equal(database, owner_id, own)


def assert_groups(found: Statistics, by: By, covered: list[End], where: object) -> None:
    key = key_of(by)
    if by is By.ERROR:
        covered = [end for end in covered if end.code]
    groups = {group.key: group.figures for group in found.groups}
    assert set(groups) == {key(end) for end in covered}, where
    for name, figures in groups.items():
        assert_equal(figures, histories.figures(end for end in covered if key(end) == name), (where, name))
    assert found.other is None


async def assert_buckets_equal(database: Database, owner_id: UUID, own: list[End]) -> None:
    async with database.connection() as connection:
        for wanted in OverviewRange:
            found = await overview.buckets(connection, owner_id, wanted)
            assert len(found.buckets) == LAYOUTS[wanted].buckets
            for bucket in found.buckets:
                until = bucket.at + LAYOUTS[wanted].width
                expected = histories.figures(end for end in own if bucket.at <= end.ended_at < until)
                for name in ("completed", "failed", "cancelled", "rescued"):
                    assert getattr(bucket, name) == expected[name], (owner_id, wanted, bucket.at, name)
        minutes = await performance.minutes(connection, owner_id)
        assert len(minutes.minutes) == performance.MINUTES
        for minute in minutes.minutes:
            within = [end for end in own if minute.at <= end.ended_at < minute.at + timedelta(minutes=1)]
            expected = histories.figures(within)
            for name in ("completed", "failed", "cancelled", "executed", "rows"):
                assert getattr(minute, name) == expected[name], (minute.at, name)
            of_system = histories.fault_codes(within)
            assert minute.failed_by_system == sum(
                end.status == "failed" and end.code in of_system for end in within
            )


@pytest.mark.parametrize("seed", range(2))
async def test_figures_equal_a_slow_count_before_during_and_after_a_fold(
    database: Database, owners: list[UUID], seed: int
) -> None:
    history = History(database, owners, seed)
    await history.go_on(40)
    await history.age()

    await assert_all_equal(database, owners)
    async with database.transaction() as connection:
        assert await ONE_ROUND.fold(connection)
    await assert_all_equal(database, owners)
    await statistics.fold(database)
    await assert_all_equal(database, owners)
    await history.go_on(10)
    await assert_all_equal(database, owners)
    await statistics.fold(database)
    await assert_all_equal(database, owners)


async def test_ranges_begin_on_a_whole_hour_or_day(database: Database, owners: list[UUID]) -> None:
    now = datetime.now(UTC)

    since = {wanted: (await read(database, owners[0], wanted)).since for wanted in TimeRange}

    assert since[TimeRange.HOUR].minute == since[TimeRange.DAY].minute == 0
    assert timedelta(hours=1) <= now - since[TimeRange.HOUR] < timedelta(hours=2, minutes=1)
    assert timedelta(hours=24) <= now - since[TimeRange.DAY] < timedelta(hours=25, minutes=1)
    assert {since[wanted].hour for wanted in (TimeRange.WEEK, TimeRange.MONTH, TimeRange.ALL)} == {0}
    assert timedelta(days=7) <= now - since[TimeRange.WEEK] < timedelta(days=8, minutes=1)
    assert timedelta(days=30) <= now - since[TimeRange.MONTH] < timedelta(days=31, minutes=1)
    assert now - since[TimeRange.ALL] < timedelta(days=1, minutes=1)  # there are none yet


async def test_a_job_that_has_just_ended_counts_at_once_and_once(
    database: Database, owners: list[UUID]
) -> None:
    await statistics.fold(database)
    await jobs.complete(database, await jobs.running(database, owners[0]))

    before = await read(database, owners[0], TimeRange.HOUR)
    await statistics.fold(database)
    after = await read(database, owners[0], TimeRange.HOUR)

    assert before.totals.completed == after.totals.completed == 1
    assert before.totals.rows == after.totals.rows == 25


async def test_many_groups_are_the_largest_and_the_others_together(database: Database) -> None:
    many = [await jobs.user(database) for _ in range(queries.MAX_GROUPS + 3)]
    for number, owner_id in enumerate(many):
        for _ in range(1 + (number < 2)):
            await jobs.cancel(database, await jobs.create(database, owner_id))

    for _ in range(2):
        found = await read(database, ALL_USERS, TimeRange.HOUR, By.USER)

        assert len(found.groups) == queries.MAX_GROUPS
        assert {found.groups[0].key, found.groups[1].key} == {str(many[0]), str(many[1])}
        assert found.other is not None
        assert found.other.jobs == 3
        assert found.totals.jobs == len(many) + 2
        assert all(group.username for group in found.groups)
        await statistics.fold(database)


async def test_attempts_of_an_older_worker_count_with_cost_null(
    database: Database, owners: list[UUID]
) -> None:
    history = History(database, owners, 7)
    await history.go_on(60)
    await rows.execute(
        database,
        "UPDATE job_attempts SET owner_id = NULL, job_status = NULL, model = NULL, rows = NULL,"
        " cpu_seconds = NULL, memory_peak_bytes = NULL, worker_name = NULL",
    )

    for _ in range(2):
        await assert_all_equal(database, owners)
        totals = (await read(database, ALL_USERS, TimeRange.HOUR)).totals
        assert totals.attempts > 0
        assert (totals.measured_attempts, totals.memory_peak_bytes) == (0, None)
        await statistics.fold(database)


async def test_costs_are_those_of_the_measured_attempts(database: Database, owners: list[UUID]) -> None:
    measured, unmeasured = [await jobs.running(database, owners[0]) for _ in range(2)]
    await jobs.complete(database, measured)
    await jobs.complete(database, unmeasured)
    await rows.execute(
        database,
        "UPDATE job_attempts SET cpu_seconds = CASE WHEN job_id = $1 THEN 2.5 END,"
        " memory_peak_bytes = CASE WHEN job_id = $1 THEN 1000 END",
        measured.id,
    )

    for _ in range(2):
        totals = (await read(database, owners[0], TimeRange.HOUR)).totals

        assert totals.jobs == 2
        assert (totals.measured_jobs, totals.measured_rows, totals.cpu_seconds) == (1, 25, 2.5)
        assert totals.memory_peak_bytes == 1000
        await statistics.fold(database)
