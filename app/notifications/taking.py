"""Takes deliveries that are due: a lease on each, so that no two processes try the same one."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from app.core.rows import Row
from app.core.sql import RowSet, Statement
from app.notifications.bodies import CONTENT, CONTENT_JOINS, Notice
from app.notifications.retries import HELD_FROM_FAILURES
from app.notifications.states import NotificationType
from app.notifications.values import SealedSecret

LEASE: Final = timedelta(seconds=60)
"""How long a process may take to try a delivery and to record it; then another process tries."""

_ROOMS: Final = RowSet("room", subscription_id="uuid", deliveries="int")

# The subscriptions with pending deliveries, found one by one in an index: a flood for one hides no other.
WAITING: Final = """waiting (id) AS (
    (SELECT subscription_id FROM deliveries WHERE status = 'pending' ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.subscription_id FROM deliveries d
        WHERE d.status = 'pending' AND d.subscription_id > w.id ORDER BY d.subscription_id LIMIT 1)
    FROM waiting w WHERE w.id IS NOT NULL
)"""

# The order of a job: no delivery before an earlier one of the same job has ended. Replays are not in order,
# and a message that gathers sorts them itself.
IN_TURN: Final = """(s.gather_seconds > 0 OR d.job_id IS NULL OR d.replay_of IS NOT NULL OR NOT EXISTS (
            SELECT FROM deliveries earlier
            WHERE earlier.subscription_id = d.subscription_id AND earlier.job_id = d.job_id
                AND earlier.seq < d.seq AND earlier.status = 'pending' AND earlier.replay_of IS NULL))"""

# Is any delivery due?
_IS_ANY_DUE: Final = Statement("""
SELECT EXISTS (SELECT FROM deliveries
    WHERE status = 'pending' AND next_try_at <= coalesce(:now::timestamptz, now()))""")

# Take due deliveries of one channel: at most so many of a subscription, and so many in all, those of the
# subscriptions after `after` first. A subscription that is held gets only what is due since the epoch, and
# one that is not confirmed only the request for its confirmation. With a channel that gathers, deliveries of
# a subscription are taken together, with those that are due soon, once the first one is due.
_TAKE: Final = Statement(f"""
WITH RECURSIVE clock AS (
    SELECT coalesce(:now::timestamptz, now()) AS at
), {WAITING}, open AS (
    SELECT s.id, s.gather_seconds, coalesce(room.deliveries, :room) AS room,
        s.status = 'pending' AS is_unconfirmed,
        -- Probed with one delivery at a time.
        s.failures >= {HELD_FROM_FAILURES} AS is_failing,
        CASE WHEN s.held_until > c.at THEN 'epoch' ELSE c.at END AS due_until
    FROM clock c CROSS JOIN waiting w
    JOIN subscriptions s ON s.id = w.id
    JOIN users u ON u.id = s.owner_id AND u.is_active AND u.deleted_at IS NULL
    LEFT JOIN {_ROOMS.sql} ON room.subscription_id = s.id
    WHERE s.channel = :channel AND s.status <> 'disabled'
        -- Another process has the key, during a change of SECRET_KEY.
        AND (s.sealed_with IS NULL OR s.sealed_with = ANY (:key_names::text[]))
    ORDER BY s.id <= :after::uuid, s.id
), due AS (
    SELECT d.id, s.gather_seconds FROM open s
    CROSS JOIN LATERAL (
        SELECT d.id FROM deliveries d
        WHERE d.subscription_id = s.id AND d.status = 'pending'
            AND d.next_try_at <= s.due_until + make_interval(secs => s.gather_seconds)
            -- Others are of a newer version, which knows what they say.
            AND d.type = ANY (:types::text[])
            AND (NOT s.is_unconfirmed OR d.type = '{NotificationType.SUBSCRIPTION_CONFIRM}')
            AND {IN_TURN}
        ORDER BY d.next_try_at, d.id
        LIMIT CASE WHEN s.is_failing THEN least(1, s.room) ELSE s.room END
        FOR UPDATE SKIP LOCKED
    ) d
    WHERE s.gather_seconds = 0 OR s.due_until >= (
        SELECT first.next_try_at FROM deliveries first
        WHERE first.subscription_id = s.id AND first.status = 'pending' ORDER BY first.next_try_at LIMIT 1)
    LIMIT :limit
), taken AS (
    UPDATE deliveries d SET
        tries = d.tries + 1,
        next_try_at = c.at + :lease::interval + make_interval(secs => due.gather_seconds)
    FROM due, clock c WHERE d.id = due.id
    RETURNING d.*
)
SELECT d.id AS delivery_id, d.subscription_id, d.tries, {CONTENT}, s.name, s.target, s.secrets,
    c.at AS taken_at
FROM taken d CROSS JOIN clock c JOIN subscriptions s ON s.id = d.subscription_id
    {CONTENT_JOINS}
ORDER BY d.subscription_id, coalesce(e.at, d.created_at), d.seq, d.id""")

# Drop what disabled subscriptions still wait for.
_DROP_OF_DISABLED: Final = Statement(f"""
WITH RECURSIVE {WAITING}
UPDATE deliveries SET status = 'dropped', next_try_at = NULL, ended_at = coalesce(:now::timestamptz, now())
WHERE id = ANY (ARRAY(
    SELECT d.id FROM waiting w JOIN subscriptions s ON s.id = w.id AND s.status = 'disabled'
    CROSS JOIN LATERAL (
        SELECT d.id FROM deliveries d WHERE d.subscription_id = s.id AND d.status = 'pending'
        LIMIT :limit FOR UPDATE SKIP LOCKED
    ) d
    LIMIT :limit))
RETURNING id""")


@dataclass(frozen=True, kw_only=True)
class TakenDelivery:
    """A delivery under a lease, with what its channel needs. `notice` is None if its job is gone.

    `tries` counts this one: the fence of what is recorded about it.
    """

    id: UUID
    subscription_id: UUID
    subscription_name: str
    tries: int
    target: dict[str, Any] = field(repr=False)
    secrets: tuple[SealedSecret, ...]
    notice: Notice | None
    type: str
    taken_at: datetime

    @classmethod
    def from_row(cls, row: Row, *, public_url: str | None) -> Self:
        """Read a row of the statement that takes."""
        return cls(
            id=row["delivery_id"],
            subscription_id=row["subscription_id"],
            subscription_name=row["name"],
            tries=row["tries"],
            target=row["target"],
            secrets=tuple(map(SealedSecret.from_json, row["secrets"])),
            notice=Notice.from_row(row, public_url=public_url),
            type=row["type"],
            taken_at=row["taken_at"],
        )


async def is_any_due(connection: asyncpg.Connection, *, now: datetime | None) -> bool:
    """Whether any delivery is due, though it may be of a subscription that is held."""
    is_due: bool = await _IS_ANY_DUE.fetchval(connection, now=now)
    return is_due


async def take(
    connection: asyncpg.Connection,
    *,
    channel: str,
    rooms: Mapping[UUID, int],
    room: int,
    limit: int,
    after: UUID,
    key_names: Collection[str],
    public_url: str | None,
    now: datetime | None,
) -> list[TakenDelivery]:
    """Take at most `limit` due deliveries: of each subscription as many as `rooms` says, else `room`."""
    rows = await _TAKE.fetch(
        connection,
        now=now,
        channel=channel,
        room=room,
        limit=limit,
        after=after,
        lease=LEASE,
        types=list(NotificationType),
        key_names=list(key_names),
        **_ROOMS.parameters(
            [{"subscription_id": subscription, "deliveries": of} for subscription, of in rooms.items()]
        ),
    )
    return [TakenDelivery.from_row(row, public_url=public_url) for row in rows]


async def drop_of_disabled(connection: asyncpg.Connection, *, limit: int, now: datetime | None) -> int:
    """Drop at most `limit` pending deliveries of disabled subscriptions. Return how many."""
    rows: Sequence[Row] = await _DROP_OF_DISABLED.fetch(connection, limit=limit, now=now)
    return len(rows)
