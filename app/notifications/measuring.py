"""Measures the deliveries and the subscriptions of the whole system, for the metrics."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from dataclasses import dataclass
from typing import Final, Self

import asyncpg

from app.core.rows import Row
from app.core.sql import Statement
from app.notifications.states import SubscriptionStatus
from app.notifications.taking import IN_TURN, WAITING

OLDEST: Final = f"""
SELECT s.channel,
    extract(epoch FROM max(now() - greatest(first.next_try_at, s.held_until)))::float8 AS seconds
FROM waiting w JOIN subscriptions s ON s.id = w.id AND s.status = 'active'
JOIN users u ON u.id = s.owner_id AND u.is_active AND u.deleted_at IS NULL
CROSS JOIN LATERAL (
    SELECT d.next_try_at FROM deliveries d
    WHERE d.subscription_id = s.id AND d.status = 'pending' AND d.next_try_at > 'epoch' AND {IN_TURN}
    ORDER BY d.next_try_at LIMIT 1
) first
WHERE greatest(first.next_try_at, s.held_until) <= now()
GROUP BY s.channel"""
"""The oldest due delivery of each channel, after the common table expression WAITING."""

COUNT: Final = """
SELECT channel, status, count(*)::int AS subscriptions FROM subscriptions GROUP BY channel, status"""
"""How many subscriptions there are."""

# How long has the oldest delivery of each channel been due, if its subscription is not held?
_OLDEST: Final = Statement(f"WITH RECURSIVE {WAITING}{OLDEST}")

# How many subscriptions are there, by channel and status?
_COUNT: Final = Statement(COUNT)


@dataclass(frozen=True)
class Oldest:
    """For how many seconds the oldest delivery of a channel has been due."""

    channel: str
    seconds: float

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["channel"], row["seconds"])


@dataclass(frozen=True)
class SubscriptionCount:
    """How many subscriptions a channel has in one state."""

    channel: str
    status: SubscriptionStatus
    subscriptions: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["channel"], SubscriptionStatus(row["status"]), row["subscriptions"])


async def oldest(connection: asyncpg.Connection) -> list[Oldest]:
    """Return the oldest due deliveries, for the channels that have any."""
    return [Oldest.from_row(row) for row in await _OLDEST.fetch(connection)]


async def count(connection: asyncpg.Connection) -> list[SubscriptionCount]:
    """Count the subscriptions."""
    return [SubscriptionCount.from_row(row) for row in await _COUNT.fetch(connection)]
