"""The fold counts each attempt exactly once, whatever interrupts it, and waits for those that may come."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.analytics import folding, queries
from app.analytics.facts import ALL_USERS
from app.analytics.figures import Figures, Statistics
from app.analytics.folding import Folding
from app.analytics.ranges import By, TimeRange
from app.analytics.tables import ONCE
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.maintenance.prune import Prune
from app.maintenance.user_removal import UserRemoval
from tests.support import jobs, rows, statistics

NOW = timedelta(0)


@pytest.fixture
async def outside(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection whose idle transactions are not ended after some seconds."""
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def read(database: Database, wanted: TimeRange = TimeRange.ALL, by: By | None = None) -> Statistics:
    async with database.connection() as connection:
        return await queries.statistics(connection, ALL_USERS, wanted, by)


def known(figures: Figures) -> tuple[object, ...]:
    """What figures say, whatever the order in which Postgres adds up durations."""
    return (
        *(figures.jobs, figures.completed, figures.failed, figures.cancelled, figures.attempts, figures.rows),
        *(round(seconds, 6) for seconds in (figures.settled_seconds, figures.run.total, figures.wait.total)),
        *(figures.run.counts, figures.run.longest, figures.wait.counts, figures.last_job_id),
    )


async def peak(database: Database) -> int:
    async with database.connection() as connection:
        since = (await queries.statistics(connection, ALL_USERS, TimeRange.ALL)).since
        return await queries.peak(connection, ALL_USERS, since)


async def end_some(database: Database, count: int = 4) -> UUID:
    """Let jobs of one user end in each way."""
    owner_id = await jobs.user(database)
    for _ in range(count):
        await jobs.complete(database, await jobs.running(database, owner_id))
    await jobs.fail(database, await jobs.running(database, owner_id), is_retryable=False)
    await jobs.cancel(database, await jobs.create(database, owner_id))
    return owner_id


async def stored(database: Database) -> list[dict[str, Any]]:
    found = await rows.fetch(database, "SELECT * FROM job_stats ORDER BY owner_id, step, at, outcome, code")
    return [dict(row) for row in found]


async def folded_until(database: Database) -> Any:
    return await rows.value(database, "SELECT folded_until FROM system_stats")


async def test_two_processes_that_fold_at_once_count_once(
    database: Database, outside: asyncpg.Connection
) -> None:
    await statistics.fold(database)  # so that the row of the watermark exists
    await end_some(database)

    async with outside.transaction():
        await statistics.AT_ONCE.fold(outside)
        second = asyncio.create_task(statistics.fold(database))
        await rows.wait_until_blocked(database)
    await second

    found = await read(database)
    assert (found.totals.jobs, found.totals.attempts) == (6, 5)
    assert await rows.value(database, "SELECT count(*) FROM job_ends") == 0


class Crashed(Exception):
    """The process ends here."""


class CrashingConnection:
    """A connection that fails before its n-th statement."""

    def __init__(self, connection: asyncpg.Connection, statements: int) -> None:
        self._connection = connection
        self._left = statements

    def __getattr__(self, name: str) -> Any:
        if name in {"fetch", "fetchrow", "fetchval", "execute"}:
            self._left -= 1
            if self._left < 0:
                raise Crashed
        return getattr(self._connection, name)


async def test_a_fold_that_ends_at_any_statement_changes_nothing(database: Database) -> None:
    await end_some(database)
    before = await read(database)
    crashes = 0

    for statements in range(10):
        try:
            async with database.transaction() as connection:
                await statistics.AT_ONCE.fold(CrashingConnection(connection, statements))  # type: ignore[arg-type]
        except Crashed:
            crashes += 1
            assert await stored(database) == []
            assert known((await read(database)).totals) == known(before.totals)
        else:
            break

    assert crashes >= 5
    assert known((await read(database)).totals) == known(before.totals)


async def test_a_fold_whose_reply_is_lost_is_not_repeated(database: Database) -> None:
    await end_some(database)
    await statistics.fold(database)
    once = await stored(database)

    await statistics.fold(database)

    assert await stored(database) == once


async def test_an_attempt_that_commits_late_is_not_skipped(
    database: Database, outside: asyncpg.Connection
) -> None:
    job = await jobs.running(database)
    async with outside.transaction():
        await outside.execute("SELECT pg_current_xact_id()")  # the attempt ends when the transaction began
        await statistics.fold(database)
        await outside.execute(
            """INSERT INTO job_attempts (job_id, attempt, kind, queue, worker_id, due_at, started_at, outcome,
                owner_id, job_status)
            SELECT id, 9, kind, queue, worker_id, now(), now(), 'released', owner_id, 'pending'
            FROM jobs WHERE id = $1""",
            job.id,
        )

    found = await read(database)
    await statistics.fold(database)

    assert found.totals.released == 1
    assert (await read(database)).totals.released == 1


async def test_the_fold_stays_behind_a_transaction_that_may_still_write(
    database: Database, outside: asyncpg.Connection
) -> None:
    await end_some(database)
    cautious = Folding(margin=NOW, longest=timedelta(days=1))
    async with outside.transaction():
        started = await outside.fetchval("SELECT now()")
        await jobs.complete(database, await jobs.running(database))
        await statistics.fold(database, cautious)

        assert await folded_until(database) == started
        assert (
            await rows.value(
                database,
                f"SELECT sum(jobs) FROM job_stats WHERE step = 'day' AND owner_id = $1 AND {ONCE}",
                ALL_USERS,
            )
            == 6
        )
    await statistics.fold(database, cautious)
    assert await folded_until(database) > started


async def test_a_long_reader_does_not_stop_the_fold(database: Database, outside: asyncpg.Connection) -> None:
    await end_some(database)
    async with outside.transaction():
        await outside.execute("SELECT 1")
        await jobs.complete(database, await jobs.running(database))

        await statistics.fold(database, Folding(margin=NOW, longest=NOW))

        assert (
            await rows.value(
                database,
                f"SELECT sum(jobs) FROM job_stats WHERE step = 'day' AND owner_id = $1 AND {ONCE}",
                ALL_USERS,
            )
            == 7
        )


async def test_what_has_ended_within_the_margin_is_not_folded(database: Database) -> None:
    await end_some(database)

    await statistics.fold(database, Folding(margin=timedelta(hours=1), longest=timedelta(hours=1)))

    assert await stored(database) == []
    assert timedelta(seconds=1) <= folding.MARGIN < folding.LONGEST


async def test_pruned_jobs_stay_in_the_figures(
    database: Database, resources: Resources, settings: Settings
) -> None:
    await end_some(database)
    await statistics.fold(database)
    before = [await read(database, by=by) for by in (By.KIND, By.DAY, By.ERROR)]
    highest = await peak(database)

    await rows.execute(database, "DELETE FROM jobs")

    assert highest > 0
    assert await peak(database) == highest
    for by, earlier in zip((By.KIND, By.DAY, By.ERROR), before, strict=True):
        found = await read(database, by=by)
        assert known(found.totals) == known(earlier.totals)
        assert [(group.key, known(group.figures)) for group in found.groups] == [
            (group.key, known(group.figures)) for group in earlier.groups
        ]


async def age_all(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_guard")
        await connection.execute(
            "UPDATE jobs SET finished_at = now() - interval '60 days',"
            " expires_at = now() - interval '59 days'"
        )
        await connection.execute("UPDATE job_attempts SET ended_at = now() - interval '60 days'")
        await connection.execute("UPDATE job_ends SET ended_at = now() - interval '60 days'")
        await connection.execute("ALTER TABLE jobs ENABLE TRIGGER jobs_guard")


async def test_jobs_that_are_not_folded_are_not_pruned(
    database: Database, resources: Resources, settings: Settings
) -> None:
    await end_some(database)
    await age_all(database)

    for expected in (6, 0):
        async with database.transaction() as connection:
            await Prune(settings, resources.storage)(connection)
        assert await rows.value(database, "SELECT count(*) FROM jobs") == expected
        await statistics.fold(database)

    assert (await read(database)).totals.jobs == 6


async def test_jobs_of_a_deleted_user_are_folded_before_they_are_removed(
    database: Database, resources: Resources
) -> None:
    owner_id = await end_some(database)
    await rows.execute(database, "UPDATE users SET deleted_at = now() - interval '1 hour'")
    removal = UserRemoval(resources.storage, resources.hints)

    for expected in (1, 0):
        async with database.transaction() as connection:
            await removal(connection)
        assert await rows.value(database, "SELECT count(*) FROM users WHERE id = $1", owner_id) == expected
        await statistics.fold(database)

    assert (await read(database)).totals.jobs == 6
    for table in ("job_stats", "job_durations", "job_peaks"):
        assert await rows.value(database, f"SELECT count(*) FROM {table} WHERE owner_id = $1", owner_id) == 0
        assert await rows.value(database, f"SELECT count(*) FROM {table}") > 0


async def test_statistics_are_deleted_step_by_step(
    database: Database, resources: Resources, settings: Settings
) -> None:
    await end_some(database)
    await statistics.fold(database)
    kept: dict[str, set[str]] = {}

    for age in ("1 day", "2 days", "6 days", "27 days", "365 days"):
        for table, column in (("job_stats", "at"), ("job_durations", "at"), ("job_peaks", "hour")):
            await rows.execute(database, f"UPDATE {table} SET {column} = {column} - interval '{age}'")
        async with database.transaction() as connection:
            await Prune(settings, resources.storage)(connection)
        found = await rows.fetch(
            database,
            """SELECT 's ' || step AS kept FROM job_stats UNION SELECT 'd ' || step FROM job_durations
            UNION SELECT 'peaks' FROM job_peaks""",
        )
        kept[age] = {row["kept"] for row in found}

    everything = {"s minute", "s hour", "s day", "d minute", "d hour", "d day", "peaks"}
    assert kept["1 day"] == everything
    assert kept["2 days"] == everything - {"d minute"}  # three days old
    assert kept["6 days"] == everything - {"d minute", "s minute"}  # nine days
    assert kept["27 days"] == {"s day", "d day", "peaks"}  # 36 days
    assert kept["365 days"] == set()  # 401 days


@pytest.mark.parametrize("at_once", [1, 2, 1000])
async def test_a_round_is_bounded_and_the_next_one_goes_on(database: Database, at_once: int) -> None:
    await end_some(database, 6)
    bounded = Folding(margin=NOW, longest=NOW, max_attempts=at_once)

    rounds = 0
    is_behind = True
    while is_behind:
        async with database.transaction() as connection:
            is_behind = await bounded.fold(connection)
        rounds += 1

    assert (rounds > 1) == (at_once < 1000)
    assert (await read(database)).totals.jobs == 8


async def test_rare_codes_are_folded_together(database: Database) -> None:
    owner_id = await end_some(database, 0)
    many = folding.MAX_CODES + 5
    for number in range(many):
        job = await jobs.running(database, owner_id)
        await jobs.fail(database, job, is_retryable=False)
        await rows.execute(
            database,
            "UPDATE job_attempts SET error = jsonb_build_object('code', $2::text) WHERE job_id = $1",
            job.id,
            f"code_{number:03}",
        )

    await statistics.fold(database)

    codes = await rows.fetch(
        database, "SELECT DISTINCT code FROM job_stats WHERE step = 'day' AND owner_id = $1", owner_id
    )
    assert len({row["code"] for row in codes} - {"", "boom", folding.OTHER_CODE}) >= folding.MAX_CODES - 1
    assert folding.OTHER_CODE in {row["code"] for row in codes}
    assert (await read(database)).totals.failed == many + 1
