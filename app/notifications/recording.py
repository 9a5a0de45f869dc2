"""Records how tries ended: the deliveries, the tries, and what follows for the subscriptions."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from app.core.rows import Row
from app.core.sql import RowSet, Statement
from app.notifications.retries import (
    DISABLED_AFTER_DAYS,
    HELD_FROM_FAILURES,
    HOLD_BASE_SECONDS,
    HOLD_MAX_SECONDS,
)
from app.notifications.states import DisabledReason

_RESULTS: Final = RowSet(
    "result",
    position="int",
    delivery_id="uuid",
    tries="int",
    verdict="text",
    delay_seconds="float8",
    retry_after="float8",
    disables="text",
    at="timestamptz",
    duration_ms="int",
    http_status="int",
    error="text",
    response="bytea",
)

_FAILURES: Final = "(CASE WHEN p.has_success THEN 0 ELSE s.failures END + p.failures)"
_FAILING_SINCE: Final = f"""(CASE WHEN {_FAILURES} = 0 THEN NULL WHEN p.has_success THEN c.at
            ELSE coalesce(s.failing_since, c.at) END)"""
_IS_DISABLED: Final = f"""(p.disables IS NOT NULL
            OR {_FAILING_SINCE} <= c.at - interval '{DISABLED_AFTER_DAYS} days')"""

# Record the ends of tries whose leases are still held, and change the subscriptions accordingly.
# A test never counts as a failure. The deliveries of one message have the same position and count once; after
# the last success in this statement, failures count anew. Subscriptions are locked in the order of their ids,
# so that two of these statements never deadlock, and only those that change.
_RECORD: Final = Statement(f"""
WITH clock AS (
    SELECT coalesce(:now::timestamptz, now()) AS at
), results AS (
    SELECT * FROM {_RESULTS.sql}
), changed AS (
    UPDATE deliveries d SET
        status = CASE WHEN r.verdict IN ('retry', 'put_back') THEN 'pending' ELSE r.verdict END,
        tries = d.tries - (r.verdict = 'put_back')::int,
        next_try_at = CASE WHEN r.verdict IN ('retry', 'put_back')
            THEN c.at + make_interval(secs => r.delay_seconds) END,
        ended_at = CASE WHEN r.verdict NOT IN ('retry', 'put_back') THEN c.at END
    FROM results r, clock c
    WHERE d.id = r.delivery_id AND d.status = 'pending' AND d.tries = r.tries
    RETURNING d.subscription_id, d.type, r.position, r.delivery_id, r.tries AS number, r.verdict,
        r.retry_after, r.disables, r.at, r.duration_ms, r.http_status, r.error, r.response
), tried AS (
    INSERT INTO delivery_tries (delivery_id, number, at, duration_ms, status, error, response)
    SELECT delivery_id, number, at, duration_ms, http_status, error, response
    FROM changed WHERE verdict IN ('delivered', 'failed', 'retry')
), successes AS (
    SELECT subscription_id, max(position) AS position FROM changed WHERE verdict = 'delivered'
    GROUP BY subscription_id
), per_subscription AS (
    SELECT c.subscription_id, bool_or(c.verdict = 'delivered') AS has_success,
        count(DISTINCT c.position) FILTER (
            WHERE c.verdict IN ('retry', 'failed') AND c.type <> 'ping'
                AND c.position > coalesce(l.position, -1))::int AS failures,
        max(c.retry_after) AS retry_after, min(c.disables) AS disables
    FROM changed c LEFT JOIN successes l ON l.subscription_id = c.subscription_id
    GROUP BY c.subscription_id
), locked AS (
    SELECT s.id, p.has_success, p.failures, p.retry_after, p.disables
    FROM subscriptions s JOIN per_subscription p ON p.subscription_id = s.id
    WHERE p.failures > 0 OR p.retry_after IS NOT NULL OR p.disables IS NOT NULL
        OR (p.has_success AND (s.failures > 0 OR s.held_until IS NOT NULL))
    ORDER BY s.id FOR NO KEY UPDATE OF s
), settled AS (
    UPDATE subscriptions s SET
        failures = {_FAILURES},
        failing_since = {_FAILING_SINCE},
        -- `greatest` ignores NULL.
        held_until = greatest(
            CASE WHEN NOT p.has_success THEN s.held_until END,
            c.at + make_interval(secs => p.retry_after),
            CASE WHEN {_FAILURES} >= {HELD_FROM_FAILURES} AND p.failures > 0 THEN c.at + make_interval(
                secs => least({HOLD_MAX_SECONDS},
                    {HOLD_BASE_SECONDS} * 2 ^ least({_FAILURES} - {HELD_FROM_FAILURES}, 20))) END),
        status = CASE WHEN {_IS_DISABLED} THEN 'disabled' ELSE s.status END,
        reason = CASE WHEN {_IS_DISABLED} THEN
            jsonb_build_object('code', coalesce(p.disables, '{DisabledReason.FAILING}')) ELSE s.reason END
    FROM locked p, clock c
    WHERE s.id = p.id AND s.status <> 'disabled'
    RETURNING s.id, s.owner_id, s.name, s.channel, s.status, s.reason
), announced AS (
    INSERT INTO deliveries (subscription_id, type, data, next_try_at)
    SELECT s.id, 'subscription.disabled',
        jsonb_build_object(
            'subscription_id', d.id, 'name', d.name, 'channel', d.channel, 'reason', d.reason),
        c.at + make_interval(secs => s.gather_seconds)
    FROM settled d CROSS JOIN clock c
    JOIN subscriptions s ON s.owner_id = d.owner_id AND s.status = 'active' AND s.id <> d.id
        AND 'subscription.disabled' = ANY (s.events)
    WHERE d.status = 'disabled'
)
SELECT delivery_id, verdict FROM changed""")


class Verdict(StrEnum):
    """What became of a delivery by one try. `put_back`: it was not made, and does not count."""

    DELIVERED = "delivered"
    RETRY = "retry"
    FAILED = "failed"
    DROPPED = "dropped"
    PUT_BACK = "put_back"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The end of one try of one delivery. The deliveries of one message share its `position`.

    `tries` is the fence: nothing is recorded if another process has taken the delivery since.
    """

    position: int
    delivery_id: UUID
    tries: int
    verdict: Verdict
    delay_seconds: float = 0.0
    retry_after: float | None = None
    disables: DisabledReason | None = None
    at: datetime
    duration_ms: int = 0
    status: int | None = None
    error: str | None = None
    response: bytes | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the row that the statement takes."""
        return {
            "position": self.position,
            "delivery_id": self.delivery_id,
            "tries": self.tries,
            "verdict": self.verdict,
            "delay_seconds": self.delay_seconds,
            "retry_after": self.retry_after,
            "disables": self.disables,
            "at": self.at,
            "duration_ms": self.duration_ms,
            "http_status": self.status,
            "error": self.error,
            "response": self.response,
        }


@dataclass(frozen=True)
class Recorded:
    """A delivery whose result was recorded."""

    delivery_id: UUID
    verdict: Verdict

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the statement that records."""
        return cls(row["delivery_id"], Verdict(row["verdict"]))


async def record(
    connection: asyncpg.Connection, results: Sequence[Result], *, now: datetime | None
) -> list[Recorded]:
    """Record results in one statement. Return those whose lease was still held."""
    rows = await _RECORD.fetch(
        connection, now=now, **_RESULTS.parameters([result.parameters() for result in results])
    )
    return [Recorded.from_row(row) for row in rows]
