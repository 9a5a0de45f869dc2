"""Folds what has ended into the statistics, without the delay of production."""

from datetime import timedelta

from app.analytics.folding import Folding
from app.core.database import Database
from tests.support import rows

AT_ONCE = Folding(margin=timedelta(0), longest=timedelta(0))


async def fold(database: Database, folding: Folding = AT_ONCE) -> None:
    """Fold all that has ended, in as many rounds as it takes."""
    is_behind = True
    while is_behind:
        async with database.transaction() as connection:
            is_behind = await folding.fold(connection)


async def count_as_folded(database: Database) -> None:
    """Let everything that has ended count as folded, for tests of what is deleted afterwards."""
    await rows.execute(
        database,
        """INSERT INTO system_stats (folded_until) VALUES (now() + interval '1 day')
        ON CONFLICT (is_current) DO UPDATE SET folded_until = excluded.folded_until""",
    )


async def forget(database: Database) -> None:
    """Fold again from the beginning, after a test has moved what ended. Jobs without an attempt are lost."""
    async with database.transaction() as connection:
        await connection.execute("UPDATE system_stats SET folded_until = NULL")
        await connection.execute("TRUNCATE job_stats, job_durations, job_peaks")
