"""Reads of queues: how many jobs run, and what a waiting job waits for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import asyncpg

from app.core.config import ClaimOrder
from app.core.rows import Row
from app.core.sql import Statement
from app.jobs import lane, turns
from app.jobs.job import Job

MAX_COUNTED: Final = 10_000
"""Jobs ahead in the queue are counted up to this number; beyond it, the exact position is not known."""

MAX_OWN_COUNTED: Final = 1_000
"""The same for the owner's own jobs, if owners take turns."""

RECENT_ATTEMPTS: Final = 50

# How many slots of each worker are busy? A prediction counts in the lane as long as that has slots: which
# slot a job runs in is known only to its worker.
BUSY_SLOTS: Final = f"""
    SELECT b.worker_id, b.in_lane AS predict_slots, b.jobs - b.in_lane AS slots
    FROM (
        SELECT j.worker_id, count(*) AS jobs,
            least(count(*) FILTER (WHERE j.queue = '{lane.QUEUE}'), w.predict_slots) AS in_lane
        FROM jobs j JOIN workers w ON w.id = j.worker_id
        WHERE j.status = 'running' GROUP BY j.worker_id, w.predict_slots
    ) b
"""  # put together from a constant

# How many jobs are running?
_RUNNING: Final = Statement("SELECT count(*) FROM jobs WHERE status = 'running'")

# Which due jobs of the queue are ahead of this one, if the first job by `sort_key` is claimed next?
# The limits are literals here and below: with parameters, Postgres would make a new plan each time, which
# takes longer than the query itself.
_AHEAD_IN_ORDER: Final = f"""
WITH ahead AS (
    SELECT owner_id FROM jobs j
    WHERE {turns.DUE} AND (j.sort_key, j.id) < (:sort_key, :job_id)
    ORDER BY j.sort_key, j.id LIMIT {MAX_COUNTED}
), place AS (
    SELECT count(*) AS ahead, count(*) FILTER (WHERE owner_id = :owner_id) AS mine_ahead,
        count(DISTINCT owner_id) FILTER (WHERE owner_id <> :owner_id) AS other_owners,
        count(*) < {MAX_COUNTED} AS is_exact
    FROM ahead
)"""

# The same if owners take turns: the jobs that would be claimed before it one by one, while no running job
# ends. The first due job of an owner has the owner's `turn`. A later one has the turn of an owner who has
# just started the job before: `after` hours from now. `wanted` jobs of another owner come before this one, if
# there are as many. No row if too many owners wait to take turns.
_AHEAD_IN_TURN: Final = f"""
WITH RECURSIVE {turns.turns(turns.DUE, is_limited=True)}, listed AS MATERIALIZED (
    SELECT * FROM turns
), own AS (
    SELECT count(*) AS ahead FROM (
        SELECT FROM jobs j
        WHERE j.owner_id = :owner_id AND {turns.DUE} AND (j.sort_key, j.id) < (:sort_key, :job_id)
        ORDER BY j.sort_key, j.id LIMIT {MAX_OWN_COUNTED}
    ) counted
), mine AS (
    SELECT own.ahead, u.share, l.turn, l.head_id, own.ahead = 0 AND l.turn IS NOT NULL AS is_first,
        (running.jobs + own.ahead) / u.share AS after
    FROM own JOIN users u ON u.id = :owner_id LEFT JOIN listed l ON l.owner_id = u.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM jobs WHERE owner_id = u.id AND status = 'running'
    ) running
), compared AS (
    SELECT l.*,
        CASE WHEN m.is_first THEN (l.turn, l.head_id) < (m.turn, m.head_id)
            ELSE l.turn < now() + m.after * interval '1 hour' END AS is_before,
        CASE WHEN m.is_first THEN extract(epoch FROM m.turn - now())::float8 / 3600 ELSE m.after END AS after,
        NOT m.is_first AND coalesce((l.share, l.turn, l.head_id) < (m.share, m.turn, m.head_id), true)
            AS wins_ties
    FROM listed l CROSS JOIN mine m WHERE l.owner_id <> :owner_id
), others AS (
    SELECT owner_id, {MAX_COUNTED} / count(*) OVER () AS at_most, CASE
        WHEN is_at_limit OR NOT is_before THEN 0
        WHEN wins_ties THEN 1 + greatest(0, floor(after * share) - held)
        ELSE 1 + greatest(0, ceil(after * share) - 1 - held) END AS wanted
    FROM compared
), place AS (
    SELECT m.ahead + coalesce(sum(due.jobs), 0)::bigint AS ahead, m.ahead AS mine_ahead,
        count(o.owner_id) AS other_owners,
        m.ahead < {MAX_OWN_COUNTED}
            AND coalesce(bool_and(due.jobs < o.at_most OR o.wanted <= o.at_most), true) AS is_exact
    FROM mine m LEFT JOIN others o ON true LEFT JOIN LATERAL (
        SELECT count(*) AS jobs FROM (
            SELECT FROM jobs j WHERE j.owner_id = o.owner_id AND {turns.DUE}
            LIMIT least(o.wanted, o.at_most)::bigint
        ) counted
    ) due ON true
    WHERE (SELECT count(owner_id) FROM waiting) <= {turns.MAX_OWNERS}
    GROUP BY m.ahead
)"""


def _circumstances(ahead: str) -> Statement:
    return Statement(f"""{ahead}, serving AS (
    SELECT id, slots + CASE WHEN :queue = '{lane.QUEUE}' THEN predict_slots ELSE 0 END AS slots, kinds
    FROM workers
    WHERE seen_at > now() - :lease::interval AND stopping_at IS NULL AND :queue = ANY (queues)
), busy AS ({BUSY_SLOTS}), recent AS (
    SELECT a.ended_at - a.started_at AS duration FROM job_attempts a
    WHERE a.queue = :queue ORDER BY a.ended_at DESC LIMIT {RECENT_ATTEMPTS}
)
SELECT now() AS now, place.*,
    (SELECT count(*) FROM serving) AS workers,
    (SELECT coalesce(sum(slots), 0) FROM serving) AS slots,
    (SELECT coalesce(sum(b.slots + CASE WHEN :queue = '{lane.QUEUE}' THEN b.predict_slots ELSE 0 END), 0)
        FROM busy b JOIN serving s ON s.id = b.worker_id)::bigint AS busy,
    (SELECT count(*) FROM jobs j JOIN serving s ON s.id = j.worker_id
        WHERE j.status = 'running' AND j.owner_id = :owner_id
            AND (j.queue <> '{lane.QUEUE}' OR :queue = '{lane.QUEUE}')) AS mine_busy,
    (SELECT count(*) FROM jobs WHERE status = 'running' AND owner_id = :owner_id) AS mine_running,
    (SELECT count(*) FROM serving WHERE :kind = ANY (kinds)) AS able_workers,
    (SELECT extract(epoch FROM avg(duration))::float8 FROM recent) AS attempt_seconds
FROM place""")


# What does this pending job wait for: which jobs are ahead of it, and which workers serve its queue?
_IN_ORDER: Final = _circumstances(_AHEAD_IN_ORDER)
_IN_TURN: Final = _circumstances(_AHEAD_IN_TURN)


@dataclass(frozen=True)
class Circumstances:
    """What a pending job waits for, at the moment `now` of the database's clock.

    `ahead` jobs start before it, or more unless `is_exact`; `mine_ahead` of them are its owner's. If owners
    take turns, `other_owners` have due jobs, too; otherwise they have jobs ahead of it. `workers` serve its
    queue with `slots`, of which `busy` are taken, `mine_busy` by jobs of its owner, and `able_workers` of
    them know its kind. `mine_running` jobs of its owner run in all queues. Recent attempts in the queue took
    `attempt_seconds` on average; None if there were none.
    """

    now: datetime
    takes_turns: bool
    ahead: int
    mine_ahead: int
    other_owners: int
    is_exact: bool
    workers: int
    slots: int
    busy: int
    mine_busy: int
    mine_running: int
    able_workers: int
    attempt_seconds: float | None

    @classmethod
    def from_row(cls, row: Row, *, takes_turns: bool) -> Self:
        """Read the row of the query."""
        return cls(
            now=row["now"],
            takes_turns=takes_turns,
            ahead=row["ahead"],
            mine_ahead=row["mine_ahead"],
            other_owners=row["other_owners"],
            is_exact=row["is_exact"],
            workers=row["workers"],
            slots=row["slots"],
            busy=row["busy"],
            mine_busy=row["mine_busy"],
            mine_running=row["mine_running"],
            able_workers=row["able_workers"],
            attempt_seconds=row["attempt_seconds"],
        )


async def running(connection: asyncpg.Connection) -> int:
    """Return how many jobs are running."""
    count: int = await _RUNNING.fetchval(connection)
    return count


async def circumstances(
    connection: asyncpg.Connection, job: Job, *, lease: timedelta, order: ClaimOrder, max_running: int
) -> Circumstances:
    """Return what a pending job waits for. A worker counts if it was seen within the lease.

    `max_running` is how many jobs an owner may run for whom no other number is set; 0 means no limit.
    """
    parameters = {
        "queue": job.queue,
        "sort_key": job.sort_key,
        "job_id": job.id,
        "lease": lease,
        "owner_id": job.owner_id,
        "kind": job.kind,
    }
    if order is ClaimOrder.TURNS:
        row = await _IN_TURN.fetchrow(connection, max_running=max_running, **parameters)
        if row is not None:
            return Circumstances.from_row(row, takes_turns=True)
    row = await _IN_ORDER.fetchrow(connection, **parameters)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Circumstances.from_row(row, takes_turns=False)
