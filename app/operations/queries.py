"""Reads of the operations: the numbers about the whole system that the metrics show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

import asyncpg

from app.core.metrics import OTHER_QUEUE
from app.core.rows import Row
from app.core.sql import Statement
from app.jobs import lane
from app.jobs.queues.queries import BUSY_SLOTS
from app.notifications.measuring import COUNT, OLDEST
from app.notifications.taking import WAITING

# What do the gauges about the whole system show? One row for each of their samples.
# Queues without a label of their own are counted together. The numbers of `queue_stats` and `system_stats`
# are as old as their last measurement; workers, slots and pauses are read now. The due jobs of a paused queue
# are `paused`: they are late for no alert, and need no worker.
_SAMPLES: Final = Statement(f"""
WITH RECURSIVE {WAITING}, queued AS (
    SELECT CASE WHEN queue = ANY (:queues::text[]) THEN queue ELSE '{OTHER_QUEUE}' END AS queue,
        kind, priority, CASE WHEN p.name IS NULL THEN due ELSE 0 END AS due, delayed, running,
        CASE WHEN p.name IS NULL THEN 0 ELSE due END AS paused,
        CASE WHEN p.name IS NULL THEN oldest_due_at END AS oldest_due_at
    FROM queue_stats LEFT JOIN paused_queues p ON p.name = queue
), fleet AS (
    SELECT id, queues, slots, predict_slots,
        CASE WHEN seen_at <= now() - :lease::interval THEN 'lost'
            WHEN stopping_at IS NOT NULL THEN 'draining' ELSE 'live' END AS state
    FROM workers
), busy AS ({BUSY_SLOTS}), serving AS (
    SELECT DISTINCT f.id,
        f.slots + CASE WHEN name = '{lane.QUEUE}' THEN f.predict_slots ELSE 0 END AS slots,
        CASE WHEN name = '{lane.QUEUE}' THEN b.slots + b.predict_slots ELSE b.slots END AS busy,
        CASE WHEN name = ANY (:queues::text[]) THEN name ELSE '{OTHER_QUEUE}' END AS queue
    FROM fleet f CROSS JOIN unnest(f.queues) name LEFT JOIN busy b ON b.worker_id = f.id
    WHERE f.state = 'live'
), served AS (
    SELECT queue, sum(least(slots, coalesce(busy, 0))) AS busy,
        sum(greatest(slots - coalesce(busy, 0), 0)) AS idle
    FROM serving GROUP BY queue
)
SELECT 'queue_jobs' AS gauge, ARRAY[q.queue, q.priority, s.state] AS labels, sum(s.jobs)::float8 AS value
FROM queued q CROSS JOIN LATERAL (
    VALUES ('due', q.due), ('delayed', q.delayed), ('paused', q.paused), ('running', q.running)
) s (state, jobs)
GROUP BY q.queue, q.priority, s.state
UNION ALL
SELECT 'queue_oldest_seconds', ARRAY[q.queue],
    extract(epoch FROM max(s.measured_at - q.oldest_due_at))::float8
FROM queued q CROSS JOIN system_stats s WHERE q.oldest_due_at IS NOT NULL GROUP BY q.queue
UNION ALL
SELECT 'jobs_active', ARRAY[q.kind, s.status], sum(s.jobs)::float8
FROM queued q CROSS JOIN LATERAL (
    VALUES ('pending', q.due + q.delayed + q.paused), ('running', q.running)) s (status, jobs)
GROUP BY q.kind, s.status
UNION ALL
SELECT 'queue_slots', ARRAY[queue, state], slots::float8
FROM served CROSS JOIN LATERAL (VALUES ('busy', busy), ('idle', idle)) s (state, slots)
UNION ALL
SELECT 'workers', ARRAY[state], count(*)::float8 FROM fleet GROUP BY state
UNION ALL
SELECT 'dead_letters', ARRAY[d.key], d.value::float8
FROM system_stats CROSS JOIN jsonb_each_text(dead_letters) d
UNION ALL
SELECT 'schedules', ARRAY[s.key], s.value::float8
FROM system_stats CROSS JOIN jsonb_each_text(schedules) s
UNION ALL
SELECT 'delivery_oldest_seconds', ARRAY[o.channel], o.seconds FROM ({OLDEST}) o
UNION ALL
SELECT 'subscriptions', ARRAY[c.channel, c.status], c.subscriptions::float8 FROM ({COUNT}) c
UNION ALL
SELECT n.gauge, '{{}}', n.value
FROM system_stats CROSS JOIN LATERAL (VALUES
    ('database_bytes', database_bytes::float8),
    ('queue_stats_timestamp_seconds', extract(epoch FROM measured_at)::float8),
    ('statistics_folded_timestamp_seconds', extract(epoch FROM folded_until)::float8)) n (gauge, value)
WHERE n.value IS NOT NULL""")  # put together from a constant


@dataclass(frozen=True)
class Sample:
    """One sample of a gauge, which is named without the prefix."""

    gauge: str
    labels: tuple[str, ...]
    value: float

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["gauge"], tuple(row["labels"]), row["value"])


async def samples(connection: asyncpg.Connection, *, queues: Sequence[str], lease: timedelta) -> list[Sample]:
    """Return the samples of the gauges about the whole system. `queues` have a label of their own.

    A worker is lost if it was not seen within the lease.
    """
    rows = await _SAMPLES.fetch(connection, queues=list(queues), lease=lease)
    return [Sample.from_row(row) for row in rows]
