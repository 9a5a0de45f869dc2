"""Writes deliveries of events that are no job's, in the transaction of what they report.

Those of jobs are written by the transitions themselves (`app.jobs.outbox`).
"""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.sql import RowSet, Statement
from app.notifications.states import NotificationType

_EVENTS: Final = RowSet(
    "event", position="int", owner_id="uuid", type="text", data="text", schedule_id="uuid"
)

# Write each event for the active subscriptions of its owner that name its type. Filters are about jobs; only
# that by schedule is also about its events. A message that gathers events has them in this order.
# The OFFSET keeps Postgres from reading the subscriptions of all users for many events.
_ADD: Final = Statement(f"""
INSERT INTO deliveries (subscription_id, type, data, next_try_at)
SELECT s.id, event.type, event.data::jsonb,
    now() + make_interval(secs => s.gather_seconds) + event.position * interval '1 microsecond'
FROM {_EVENTS.sql}
CROSS JOIN LATERAL (
    SELECT s.id, s.gather_seconds FROM subscriptions s
    WHERE s.owner_id = event.owner_id AND s.status = 'active' AND event.type = ANY (s.events)
        AND (event.schedule_id IS NULL OR s.schedule_id IS NULL OR s.schedule_id = event.schedule_id)
    OFFSET 0
) s
RETURNING id""")

# Write an event for one subscription, whatever it names, due before all others.
_ADD_FOR_ONE: Final = Statement("""
INSERT INTO deliveries (subscription_id, type, data, next_try_at)
SELECT s.id, :type, :data::jsonb, 'epoch' FROM subscriptions s WHERE s.id = :subscription_id
RETURNING id""")


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event that is no job's. `data` are the members of the body's `data`, but for links."""

    owner_id: UUID
    type: NotificationType
    data: Mapping[str, Any]
    schedule_id: UUID | None = None


async def add(connection: asyncpg.Connection, events: Sequence[Event]) -> int:
    """Write events, in one statement, for the subscriptions of their owners that match. Return how many."""
    if not events:
        return 0
    rows = [
        {
            "position": position,
            "owner_id": event.owner_id,
            "type": event.type,
            "data": msgspec.json.encode(event.data).decode(),
            "schedule_id": event.schedule_id,
        }
        for position, event in enumerate(events)
    ]
    return len(await _ADD.fetch(connection, **_EVENTS.parameters(rows)))


async def add_for_one(
    connection: asyncpg.Connection,
    subscription_id: UUID,
    *,
    type: NotificationType,  # the column
    data: Mapping[str, Any],
) -> UUID | None:
    """Write a test, or the request for a confirmation. Return the delivery, None without the subscription.

    It overtakes what the subscription waits for, and a subscription that is held gets it too.
    """
    found: UUID | None = await _ADD_FOR_ONE.fetchval(
        connection, subscription_id=subscription_id, type=type, data=data
    )
    return found
