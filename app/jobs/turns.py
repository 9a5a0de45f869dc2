"""Turns: whose job is claimed next when several owners wait. The texts are parts of SQL statements.

The owner who runs least and has waited longest goes next, and within an owner the first job by `sort_key`:

    turn = max(due time of the first due job, latest start of any attempt) + running jobs / share × 1 hour

A turn follows from `jobs`. It is not stored, so it cannot drift, and no row is updated by every claim. The
turn of an owner who runs nothing stands still while those of others rise with each start: no owner starves.
"""

from typing import Final

MAX_OWNERS: Final = 256
"""If more owners than this wait in a queue, they take no turns: looking at all of them costs too much."""

CANDIDATES: Final = 16
"""How many jobs a claim considers: more than it asks for, because other claims may have locked some."""

MAX_AT_ONCE: Final = 8
"""How many jobs one claim in turn should ask for."""

RUNNING_LIMIT: Final = "nullif(coalesce(q.max_running_jobs, :max_running::int), 0)"
"""How many jobs an owner may run, with `user_quotas` as `q`; NULL if there is no limit."""

DUE: Final = (
    "j.queue = :queue AND j.status = 'pending' AND j.sort_key <= now() AND j.run_at <= now()"
    " AND j.shards IS NULL"
)
"""A job is due. It is never due before its sort key, which bounds the walk past the delayed jobs.

A parent is never due: its shards are.
"""

RUNNING: Final = "j.status = 'running' AND j.shards IS NULL"
"""A job takes a slot. A parent takes none: its shards do."""

CLAIMABLE: Final = (
    f"{DUE} AND j.kind = ANY (:kinds::text[]) AND (j.gpus = 0 OR j.gpus <= :slot_gpus::smallint)"
)
"""A job is due, the worker knows its kind, and its slots have the GPUs.

Most jobs need none. Postgres knows that of a number, but of a parameter it expects that two thirds of the
jobs are beyond it, and may make a new plan for each claim (decision 0060), which takes longer than the claim.
"""

OPEN: Final = "NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = :queue)"
"""The queue is not paused. It refers to no job: Postgres asks once, before it looks for any."""

UNLIMITED: Final = "NOT EXISTS (SELECT FROM user_quotas WHERE max_running_jobs IS NOT NULL)"
"""The number of running jobs is set for no user. Postgres asks once, too, in an index that is small."""


def turns(ready: str, *, is_limited: bool) -> str:
    """Return the CTEs `waiting` and `turns`, which need WITH RECURSIVE.

    `turns` has a row for each owner with a job that is `ready`, which is `DUE` or `CLAIMABLE`; it has none if
    more than `MAX_OWNERS` wait. With `is_limited`, owners who run as many jobs as they may are `is_at_limit`.
    """
    at_limit = f"coalesce(held.jobs >= {RUNNING_LIMIT}, false)" if is_limited else "false"
    quotas = "LEFT JOIN user_quotas q ON q.user_id = w.owner_id" if is_limited else ""
    return f"""
waiting (owner_id, number) AS (
    -- The owners of pending jobs, by one step in the index for each.
    (SELECT owner_id, 1 FROM jobs WHERE queue = :queue AND status = 'pending' ORDER BY owner_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.owner_id FROM jobs j
        WHERE j.queue = :queue AND j.status = 'pending' AND j.owner_id > w.owner_id
        ORDER BY j.owner_id LIMIT 1
    ), w.number + 1
    FROM waiting w WHERE w.owner_id IS NOT NULL AND w.number <= {MAX_OWNERS}
), turns AS (
    SELECT w.owner_id, u.share, head.id AS head_id, held.jobs AS held, {at_limit} AS is_at_limit,
        greatest(head.run_at, latest.attempt_started_at)
            + held.jobs / u.share * interval '1 hour' AS turn
    FROM waiting w JOIN users u ON u.id = w.owner_id {quotas}
    -- Not the first row: a delayed job of high priority must not put off the owner's other jobs.
    CROSS JOIN LATERAL (
        SELECT j.id, j.run_at FROM jobs j WHERE j.owner_id = w.owner_id AND {ready}
        ORDER BY j.sort_key, j.id LIMIT 1
    ) head
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM jobs j WHERE j.owner_id = w.owner_id AND {RUNNING}
    ) held
    LEFT JOIN LATERAL (
        SELECT j.attempt_started_at FROM jobs j
        WHERE j.owner_id = w.owner_id AND j.attempt_started_at IS NOT NULL
        ORDER BY j.attempt_started_at DESC LIMIT 1
    ) latest ON true
    WHERE (SELECT count(owner_id) FROM waiting) <= {MAX_OWNERS}
)"""  # noqa: S608  # put together from constants


def next_in_turn(*, is_limited: bool) -> str:
    """Return the CTEs that end in `next`: the jobs to claim, locked, at most `:limit`, by their `place`.

    Each row has the number of `candidates`. If it is less than `CANDIDATES`, no other job is claimable.

    Several jobs are chosen as if they were claimed one by one: once its first job has started, an owner's
    next one has the turn of an owner who holds one job more and has just started one. Of equal turns, that
    comes first whose owner would have started the job before earlier: with the smaller share, or else with
    the earlier turn. The numbers of candidates are literals: with parameters, Postgres makes a new plan for
    each claim, which takes longer than the claim itself.
    """
    return f"""{turns(CLAIMABLE, is_limited=is_limited)}, chosen AS MATERIALIZED (
    SELECT * FROM turns WHERE NOT is_at_limit AND {OPEN} {"" if is_limited else f"AND {UNLIMITED}"}
    ORDER BY turn, head_id LIMIT {CANDIDATES}
), candidates AS MATERIALIZED (
    SELECT job.id, row_number() OVER (ORDER BY job.turn, t.share, t.turn, t.head_id) AS place
    FROM chosen t CROSS JOIN LATERAL (
        SELECT own.id, CASE own.place WHEN 1 THEN t.turn
            ELSE now() + (t.held + own.place - 1) / t.share * interval '1 hour' END AS turn
        FROM (
            SELECT j.id, row_number() OVER (ORDER BY j.sort_key, j.id) AS place FROM jobs j
            WHERE j.owner_id = t.owner_id AND {CLAIMABLE}
            -- No owner gets more than all, and together they have enough.
            ORDER BY j.sort_key, j.id
            LIMIT greatest(:limit, {CANDIDATES} / (SELECT count(*) FROM chosen) + 1)
        ) own
    ) job
    ORDER BY place LIMIT {CANDIDATES}
), next AS (
    -- Only these rows are locked. The status is checked again: another claim may have been faster.
    SELECT j.id, c.place, (SELECT count(*) FROM candidates) AS candidates
    FROM candidates c JOIN jobs j ON j.id = c.id AND j.status = 'pending'
    ORDER BY c.place LIMIT :limit
    FOR UPDATE OF j SKIP LOCKED
)"""  # noqa: S608  # put together from constants


def next_in_order(limit: int, *, is_limited: bool) -> str:
    """Return the CTEs that end in `next`: the first due jobs of any owner, locked, at most `limit`.

    The number is a literal: of a parameter, Postgres expects a tenth of the queue, and makes a new plan for
    each claim.
    """
    at_limit = f"""
at_limit AS (
    SELECT j.owner_id FROM jobs j LEFT JOIN user_quotas q ON q.user_id = j.owner_id
    WHERE {RUNNING} GROUP BY j.owner_id, q.max_running_jobs
    HAVING count(*) >= {RUNNING_LIMIT}
), """  # noqa: S608  # put together from constants
    others = "NOT j.owner_id = ANY (ARRAY(SELECT owner_id FROM at_limit))"
    return f"""{at_limit if is_limited else ""}next AS (
    SELECT j.id, 0 AS place, NULL::bigint AS candidates FROM jobs j
    WHERE {OPEN} AND {CLAIMABLE} AND {others if is_limited else UNLIMITED}
    ORDER BY j.sort_key, j.id LIMIT {limit}
    FOR UPDATE SKIP LOCKED
)"""  # noqa: S608  # put together from constants
