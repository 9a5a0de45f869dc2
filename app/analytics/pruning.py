"""Deletes statistics that are older than they are kept: each step for a time of its own."""

from datetime import timedelta
from typing import Final

import asyncpg

from app.core.sql import Statement

KEPT: Final = {"minute": timedelta(days=8), "hour": timedelta(days=35)}
"""How long the rows of minutes and hours are kept. The setting STATISTICS_DAYS says so of days."""

MINUTES_OF_DURATIONS_KEPT: Final = timedelta(days=2)

# Deletes sums of this step that are older than this.
_PRUNE_STATS: Final = Statement("""
DELETE FROM job_stats WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM job_stats WHERE step = :step AND at < now() - :age::interval
    ORDER BY at LIMIT :limit))""")

# Deletes histograms of this step that are older than this.
_PRUNE_DURATIONS: Final = Statement("""
DELETE FROM job_durations WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM job_durations WHERE step = :step AND at < now() - :age::interval
    ORDER BY at LIMIT :limit))""")

# Deletes peaks that are older than this.
_PRUNE_PEAKS: Final = Statement("""
DELETE FROM job_peaks WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM job_peaks WHERE hour < now() - :age::interval ORDER BY hour LIMIT :limit))""")


async def prune(connection: asyncpg.Connection, days_kept: timedelta, *, limit: int) -> None:
    """Delete at most `limit` rows of each table and step that are older than they are kept."""
    kept = {**KEPT, "day": days_kept}
    for step, age in kept.items():
        await _PRUNE_STATS.execute(connection, step=step, age=age, limit=limit)
    for step, age in {**kept, "minute": MINUTES_OF_DURATIONS_KEPT}.items():
        await _PRUNE_DURATIONS.execute(connection, step=step, age=age, limit=limit)
    await _PRUNE_PEAKS.execute(connection, age=days_kept, limit=limit)
