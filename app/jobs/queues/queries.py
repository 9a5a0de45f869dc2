"""Reads of queues: which there are, how many jobs run, and what a waiting job waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, Self
from uuid import UUID

import asyncpg

from app.core.config import ClaimOrder
from app.core.rows import Row
from app.core.sql import Statement
from app.jobs import lane, turns
from app.jobs.schemas import JobError
from app.jobs.workers.states import EngineState

MAX_COUNTED: Final = 10_000
"""Jobs ahead in the queue are counted up to this number; beyond it, the exact position is not known."""

MAX_OWN_COUNTED: Final = 1_000
"""The same for the owner's own jobs, if owners take turns."""

RECENT_ATTEMPTS: Final = 50

MAX_LISTED: Final = 200
"""At most so many queues in which nothing but jobs wait are listed: a request may name any queue."""

MAX_JOBS_LISTED: Final = 10_001
"""Pending jobs of a listed queue are counted up to this number."""

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

# How many jobs could a worker of these queues, kinds and GPUs claim, counted up to a limit in each queue?
_CLAIMABLE: Final = Statement("""
SELECT coalesce(sum(due.jobs), 0)::bigint FROM unnest(:queues::text[]) q (name)
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT FROM jobs j
        WHERE j.queue = q.name AND j.status = 'pending' AND j.shards IS NULL
            AND j.sort_key <= now() AND j.run_at <= now() AND j.kind = ANY (:kinds::text[])
            AND j.gpus <= :slot_gpus::smallint
            AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = q.name)
        LIMIT :limit
    ) counted
) due""")

# How many jobs are running in slots?
_RUNNING: Final = Statement("SELECT count(*) FROM jobs WHERE status = 'running' AND shards IS NULL")

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
# ends. The first due job of an owner has the owner's `turn`; this job too, even if it is not stored. A later
# one has the turn of an owner who has just started the job before: `after` hours from now. `wanted` jobs of
# another owner come before this one, if there are as many. No row if too many owners wait to take turns.
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
    SELECT own.ahead, u.share, first.is_first, (running.jobs + own.ahead) / u.share AS after,
        CASE WHEN first.is_first THEN :job_id::uuid ELSE l.head_id END AS head_id,
        CASE WHEN first.is_first THEN greatest(:run_at::timestamptz, latest.attempt_started_at)
            + running.jobs / u.share * interval '1 hour' ELSE l.turn END AS turn
    FROM own JOIN users u ON u.id = :owner_id LEFT JOIN listed l ON l.owner_id = u.id
    CROSS JOIN LATERAL (SELECT own.ahead = 0 AND :run_at::timestamptz <= now() AS is_first) first
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM jobs WHERE owner_id = u.id AND status = 'running' AND shards IS NULL
    ) running
    LEFT JOIN LATERAL (
        SELECT j.attempt_started_at FROM jobs j
        WHERE j.owner_id = u.id AND j.attempt_started_at IS NOT NULL
        ORDER BY j.attempt_started_at DESC LIMIT 1
    ) latest ON true
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
    SELECT id, slots + CASE WHEN :queue = '{lane.QUEUE}' THEN predict_slots ELSE 0 END AS slots, kinds,
        engine_state, gpus
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
    (SELECT count(*) FROM jobs WHERE status = 'running' AND shards IS NULL AND owner_id = :owner_id)
        AS mine_running,
    (SELECT count(*) FROM serving WHERE :kind = ANY (kinds)) AS knowing_workers,
    (SELECT count(*) FROM serving WHERE :kind = ANY (kinds) AND gpus >= :gpus::smallint) AS able_workers,
    (SELECT coalesce(max(gpus), 0) FROM serving WHERE :kind = ANY (kinds)) AS most_gpus,
    (SELECT array_agg(DISTINCT engine_state) FROM serving WHERE :kind = ANY (kinds)
        AND gpus >= :gpus::smallint) AS engine_states,
    (SELECT extract(epoch FROM avg(duration))::float8 FROM recent) AS attempt_seconds,
    (SELECT jsonb_build_object('at', p.paused_at, 'by', u.username, 'reason', p.reason)
        FROM paused_queues p LEFT JOIN users u ON u.id = p.paused_by WHERE p.name = :queue) AS pause
FROM place""")


# What does this pending job wait for: which jobs are ahead of it, and which workers serve its queue?
_IN_ORDER: Final = _circumstances(_AHEAD_IN_ORDER)
_IN_TURN: Final = _circumstances(_AHEAD_IN_TURN)

# Which queues are there: served by live workers, paused, with running jobs, or else with pending ones? And
# what waits and runs in each, or in the one with this name? It goes from queue to queue, however many jobs
# wait in each. Workers claim shards, and not the job that has them: both are counted, apart.
_LISTED: Final = Statement(f"""
WITH RECURSIVE waiting (name, number) AS (
    (SELECT queue, 1 FROM jobs WHERE status = 'pending' AND shards IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.queue FROM jobs j
        WHERE j.status = 'pending' AND j.shards IS NULL AND j.queue > w.name ORDER BY j.queue LIMIT 1
    ), w.number + 1
    FROM waiting w WHERE w.name IS NOT NULL AND w.number < {MAX_LISTED}
), serving AS (
    SELECT served.queue, count(*) AS workers,
        sum(w.slots + CASE WHEN served.queue = '{lane.QUEUE}' THEN w.predict_slots ELSE 0 END)::bigint
            AS slots
    FROM workers w CROSS JOIN unnest(w.queues) served (queue)
    WHERE w.seen_at > now() - :lease::interval AND w.stopping_at IS NULL GROUP BY served.queue
), running AS (
    SELECT queue, count(*) FILTER (WHERE parent_id IS NULL) AS jobs,
        count(*) FILTER (WHERE parent_id IS NOT NULL) AS shards
    FROM jobs WHERE status = 'running' GROUP BY queue
), parents AS (
    SELECT queue, count(*) AS jobs FROM jobs WHERE status = 'pending' AND shards IS NOT NULL GROUP BY queue
), named AS (
    SELECT name FROM waiting WHERE name IS NOT NULL
    UNION SELECT queue FROM serving UNION SELECT queue FROM running UNION SELECT name FROM paused_queues
    UNION SELECT :name::text WHERE :name IS NOT NULL
)
SELECT n.name, pending.shards AS pending_shards, coalesce(running.shards, 0) AS running_shards,
    least(pending.jobs + coalesce(parents.jobs, 0), {MAX_JOBS_LISTED}) AS pending,
    coalesce(running.jobs, 0) AS running,
    (SELECT extract(epoch FROM now() - j.run_at)::float8 FROM jobs j
        WHERE j.queue = n.name AND j.status = 'pending' AND j.shards IS NULL
            AND j.sort_key <= now() AND j.run_at <= now()
        ORDER BY j.sort_key, j.id LIMIT 1) AS oldest_seconds,
    coalesce(serving.workers, 0) AS workers, coalesce(serving.slots, 0) AS slots,
    p.paused_at, u.username AS paused_by, p.reason
FROM named n CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE parent_id IS NULL) AS jobs,
        count(*) FILTER (WHERE parent_id IS NOT NULL) AS shards
    FROM (
        SELECT parent_id FROM jobs j
        WHERE j.queue = n.name AND j.status = 'pending' AND j.shards IS NULL LIMIT {MAX_JOBS_LISTED}
    ) counted
) pending
LEFT JOIN parents ON parents.queue = n.name
LEFT JOIN running ON running.queue = n.name LEFT JOIN serving ON serving.queue = n.name
LEFT JOIN paused_queues p ON p.name = n.name LEFT JOIN users u ON u.id = p.paused_by
WHERE :name IS NULL OR n.name = :name
ORDER BY n.name""")


@dataclass(frozen=True)
class ListedQueue:
    """A queue, and the jobs of all users in it. `oldest_seconds` is how long the first due job has been due.

    The shards of jobs are counted apart. `workers` that take jobs serve it with `slots`. `paused_by` is None
    if that user has been deleted.
    """

    name: str
    pending: int
    running: int
    pending_shards: int
    running_shards: int
    oldest_seconds: float | None
    workers: int
    slots: int
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(
            name=row["name"],
            pending=row["pending"],
            running=row["running"],
            pending_shards=row["pending_shards"],
            running_shards=row["running_shards"],
            oldest_seconds=row["oldest_seconds"],
            workers=row["workers"],
            slots=row["slots"],
            paused_at=row["paused_at"],
            paused_by=row["paused_by"],
            reason=row["reason"],
        )


@dataclass(frozen=True)
class Pause:
    """Since when a queue is paused, by whom, and why. `by` is None if that user has been deleted."""

    at: datetime
    by: str | None
    reason: str


# What time is it, and how fast were recent attempts at jobs of this kind in this queue: at jobs with the same
# model version, if there are any?
_PACE: Final = Statement(f"""
SELECT now() AS now, coalesce(same_seconds, all_seconds) AS seconds, coalesce(same_rows, all_rows) AS rows,
    coalesce(nullif(same_attempts, 0), all_attempts) AS attempts
FROM (
    SELECT sum(seconds) FILTER (WHERE is_same) AS same_seconds, sum(seconds) AS all_seconds,
        sum(rows) FILTER (WHERE is_same)::bigint AS same_rows, sum(rows)::bigint AS all_rows,
        count(*) FILTER (WHERE is_same) AS same_attempts, count(*) AS all_attempts
    FROM (
        SELECT extract(epoch FROM a.ended_at - a.started_at)::float8 AS seconds, a.rows,
            j.model_version_id IS NOT DISTINCT FROM :model_version_id::uuid AS is_same
        FROM (
            SELECT * FROM job_attempts WHERE queue = :queue ORDER BY ended_at DESC LIMIT {RECENT_ATTEMPTS}
        ) a JOIN jobs j ON j.id = a.job_id
        WHERE j.kind = :kind AND a.outcome = 'completed' AND a.rows IS NOT NULL
    ) recent
) summed""")


class PendingJob(Protocol):
    """What the place of a job in its queue depends on: of one that waits, or of one that is not created."""

    @property
    def id(self) -> UUID:
        """Decides between jobs with the same `sort_key`."""

    @property
    def owner_id(self) -> UUID:
        """The owner, who has turns."""

    @property
    def kind(self) -> str:
        """The kind, which its worker must know."""

    @property
    def queue(self) -> str:
        """The queue in which it waits."""

    @property
    def sort_key(self) -> datetime:
        """Its place among the owner's jobs."""

    @property
    def run_at(self) -> datetime:
        """When it is due."""

    @property
    def gpus(self) -> int:
        """How many GPUs its slot must have."""

    @property
    def failures(self) -> int:
        """How many attempts have failed."""

    @property
    def max_attempts(self) -> int:
        """How many may fail."""

    @property
    def error(self) -> JobError | None:
        """Why the last attempt failed."""


@dataclass(frozen=True)
class Pace:
    """The database's time, and what recent attempts took together: `seconds` for `rows`."""

    now: datetime
    seconds: float | None
    rows: int | None
    attempts: int

    def seconds_for(self, total: int | None) -> float | None:
        """Return how long so many rows take, or one attempt if their number is unknown; None if unknown."""
        if self.seconds is None or not self.attempts:
            return None
        if total is None:
            return self.seconds / self.attempts
        return self.seconds * total / self.rows if self.rows else None


@dataclass(frozen=True)
class Circumstances:
    """What a pending job waits for, at the moment `now` of the database's clock.

    `ahead` jobs start before it, or more unless `is_exact`; `mine_ahead` of them are its owner's. If owners
    take turns, `other_owners` have due jobs, too; otherwise they have jobs ahead of it. `workers` serve its
    queue with `slots`, of which `busy` are taken, `mine_busy` by jobs of its owner. `knowing_workers` of them
    know its kind, with up to `most_gpus` in a slot. `able_workers` have enough GPUs as well, and engines in
    these states. `mine_running` jobs of its owner run in all queues. Recent attempts in the queue took
    `attempt_seconds` on average; None if there were none. `pause` is None unless the queue is paused.
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
    knowing_workers: int
    most_gpus: int
    able_workers: int
    engine_states: frozenset[EngineState]
    attempt_seconds: float | None
    pause: Pause | None

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
            knowing_workers=row["knowing_workers"],
            most_gpus=row["most_gpus"],
            able_workers=row["able_workers"],
            engine_states=frozenset(map(EngineState, row["engine_states"] or ())),
            attempt_seconds=row["attempt_seconds"],
            pause=_pause(row["pause"]),
        )


def _pause(found: dict[str, str] | None) -> Pause | None:
    if found is None:
        return None
    return Pause(datetime.fromisoformat(found["at"]), found["by"], found["reason"])


async def listed(connection: asyncpg.Connection, lease: timedelta) -> list[ListedQueue]:
    """Return the queues by name. A worker counts if it was seen within the lease."""
    return [ListedQueue.from_row(row) for row in await _LISTED.fetch(connection, lease=lease, name=None)]


async def get(connection: asyncpg.Connection, name: str, lease: timedelta) -> ListedQueue:
    """Return one queue. Any name is that of a queue; in one that has never been named, there is nothing."""
    row = await _LISTED.fetchrow(connection, lease=lease, name=name)
    assert row is not None  # noqa: S101  # the name is always there
    return ListedQueue.from_row(row)


async def claimable(
    connection: asyncpg.Connection,
    queues: Sequence[str],
    kinds: Sequence[str],
    *,
    slot_gpus: int = 0,
    limit: int,
) -> int:
    """Return how many due jobs a worker of these queues, kinds and GPUs could claim.

    Counted up to `limit` in each queue.
    """
    found: int = await _CLAIMABLE.fetchval(
        connection, queues=list(queues), kinds=list(kinds), slot_gpus=slot_gpus, limit=limit
    )
    return found


async def running(connection: asyncpg.Connection) -> int:
    """Return how many jobs are running, each shard for itself."""
    count: int = await _RUNNING.fetchval(connection)
    return count


async def pace(
    connection: asyncpg.Connection, *, kind: str, queue: str, model_version_id: UUID | None
) -> Pace:
    """Return how fast recent attempts at such jobs were."""
    row = await _PACE.fetchrow(connection, kind=kind, queue=queue, model_version_id=model_version_id)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Pace(row["now"], row["seconds"], row["rows"], row["attempts"])


async def circumstances(
    connection: asyncpg.Connection, job: PendingJob, *, lease: timedelta, order: ClaimOrder, max_running: int
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
        "gpus": job.gpus,
    }
    if order is ClaimOrder.TURNS:
        row = await _IN_TURN.fetchrow(connection, max_running=max_running, run_at=job.run_at, **parameters)
        if row is not None:
            return Circumstances.from_row(row, takes_turns=True)
    row = await _IN_ORDER.fetchrow(connection, **parameters)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Circumstances.from_row(row, takes_turns=False)
