"""An upgrade fills in what the statistics need of the jobs that ended before it."""

import asyncio

import alembic.command
import pytest

from app.analytics import queries
from app.analytics.facts import ALL_USERS
from app.analytics.ranges import By, TimeRange
from app.cli.migrations import alembic_config, migrate
from app.core.config import Settings
from app.core.database import Database
from tests.analytics import histories
from tests.analytics.test_exact import assert_equal
from tests.support import jobs, rows, statistics

BEFORE = "0021"


async def test_jobs_that_ended_before_an_upgrade_count_after_it(
    database: Database, settings: Settings
) -> None:
    owner_id = await jobs.user(database)
    done = await jobs.running(database, owner_id)
    await jobs.complete(database, done)
    await jobs.fail(database, await jobs.running(database, owner_id), is_retryable=True)
    await jobs.fail(database, await jobs.claim(database), is_retryable=False)  # the same job
    await jobs.cancel(database, await jobs.create(database, owner_id, queue="other"))
    expected = histories.figures(await histories.ends(database))
    names = await rows.fetch(database, "SELECT job_id, attempt, worker_name FROM job_attempts ORDER BY 1, 2")

    await asyncio.to_thread(alembic.command.downgrade, alembic_config(settings.database_url), BEFORE)
    await asyncio.to_thread(migrate, settings.database_url)

    after = await rows.fetch(database, "SELECT job_id, attempt, worker_name FROM job_attempts ORDER BY 1, 2")
    assert [tuple(row) for row in after] == [tuple(row) for row in names]
    for _ in range(2):
        async with database.connection() as connection:
            found = await queries.statistics(connection, ALL_USERS, TimeRange.HOUR, By.MODEL)
        # Rows are known of the last attempt at each job.
        assert_equal(found.totals, expected | {"rows": found.totals.rows}, "after the upgrade")
        assert found.totals.rows >= 25
        assert [group.key for group in found.groups] == ["sentiment"]
        await statistics.fold(database)


@pytest.mark.parametrize("by", [By.USER, By.MODEL])
async def test_sums_that_were_kept_before_an_upgrade_are_grouped_after_it(
    database: Database, settings: Settings, by: By
) -> None:
    for name in ("ada", "bob"):
        owner_id = await jobs.user(database, name)
        await jobs.complete(database, await jobs.running(database, owner_id))
        await jobs.fail(database, await jobs.running(database, owner_id), is_retryable=False)
    await statistics.fold(database)
    expected = await _groups(database, by)

    await asyncio.to_thread(alembic.command.downgrade, alembic_config(settings.database_url), "0028")
    await asyncio.to_thread(migrate, settings.database_url)

    assert await _groups(database, by) == expected
    assert sum(jobs for jobs, _ in expected.values()) == 4
    await jobs.complete(database, await jobs.running(database))
    await statistics.fold(database)
    assert sum(jobs for jobs, _ in (await _groups(database, by)).values()) == 5


async def _groups(database: Database, by: By) -> dict[str | None, tuple[int, int]]:
    """The jobs of each group, and how many of them have failed."""
    async with database.connection() as connection:
        found = await queries.statistics(connection, ALL_USERS, TimeRange.WEEK, by)
    return {group.key: (group.figures.jobs, group.figures.failed) for group in found.groups}
