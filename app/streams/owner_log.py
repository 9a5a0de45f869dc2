"""The log of everything that happens to an owner's jobs, in one order, with places to resume from.

Events of different jobs are committed at the same time, so a clock or a sequence would give an event a place
before others that become visible later, and whoever had read past it would never see those. Here the order
is that of the transactions that wrote the events, and only those are read that are older than every
transaction still open. What is behind a place is therefore complete for good. It costs the time of the open
transactions, which are a millisecond long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import paging
from app.core.errors import BadRequest
from app.jobs.events import Event
from app.jobs.queries import EVENTS_AT_ONCE
from app.jobs.states import EventType

_HORIZON: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# Also what is not complete yet: whoever waits for that has to know that it comes.
_EVENTS: Final = f"""
SELECT e.job_id, e.seq, e.type, e.at, e.data::text AS data, e.xact_id,
    e.xact_id < (SELECT {_HORIZON}) AS is_complete
FROM job_events e"""  # noqa: S608  # put together from constants

_AFTER: Final = """
WHERE e.owner_id = $1 AND (e.xact_id, e.job_id, e.seq) > ($2, $3, $4)
ORDER BY e.xact_id, e.job_id, e.seq LIMIT $5"""

_SIZED: Final = partial(paging.bounded, size="octet_length(data)", order="xact_id, job_id, seq")

_LOG: Final = _SIZED(_EVENTS + _AFTER)

# LIMIT keeps the planner from hashing all jobs there are for a page of events.
_LOG_OF_SOME: Final = _SIZED(f"""{_EVENTS}
CROSS JOIN LATERAL (
    SELECT FROM jobs j
    WHERE j.id = e.job_id AND j.kind = coalesce($6, j.kind) AND j.queue = coalesce($7, j.queue)
        AND ($8::uuid IS NULL OR j.group_id = $8)
    LIMIT 1) wanted
{_AFTER}""")

_MAX_SEQ: Final = 2**31 - 1


class InvalidPlace(BadRequest):
    """Last-Event-ID and `after` take the id of an event of this stream, or 0 for its beginning."""

    code = "invalid_event_id"
    title = "Invalid event id"


@dataclass(frozen=True)
class OwnerPlace:
    """A place in an owner's log: after this event of this transaction."""

    xact_id: int
    job_id: UUID
    seq: int

    def __str__(self) -> str:
        return f"{self.xact_id}-{self.job_id.hex}-{self.seq}"


BEGINNING: Final = OwnerPlace(0, UUID(int=0), 0)


@dataclass(frozen=True)
class EventFilter:
    """Which of an owner's jobs are followed; None means any."""

    kind: str | None = None
    queue: str | None = None
    group_id: UUID | None = None


EVERYTHING: Final = EventFilter()


@dataclass(frozen=True)
class PlacedEvent:
    """An event, and the place from which to go on after it."""

    place: OwnerPlace
    event: Event


@dataclass(frozen=True)
class Page:
    """A part of an owner's log.

    `is_to_be_continued`: more is committed, and has to wait for open transactions. `is_last`: the log ended
    with what was found.
    """

    events: list[PlacedEvent]
    is_to_be_continued: bool
    is_last: bool


def parse_place(text: str) -> OwnerPlace:
    """The place that an event id stands for; raises InvalidPlace if we never gave it."""
    if text == "0":
        return BEGINNING
    try:
        xact_id, job_id, seq = text.split("-")
        place = OwnerPlace(int(xact_id), UUID(job_id), int(seq))
    except ValueError as error:
        raise InvalidPlace from error
    # Numbers have many spellings, and not all of them fit into a column.
    if str(place) != text or place.xact_id >= 10**18 or place.seq > _MAX_SEQ:
        raise InvalidPlace
    return place


async def read(
    connection: asyncpg.Connection, owner_id: UUID, after: OwnerPlace, wanted: EventFilter
) -> Page:
    """The events after a place, as far as the log is complete: at most EVENTS_AT_ONCE, bounded in bytes."""
    place = (owner_id, after.xact_id, after.job_id, after.seq, EVENTS_AT_ONCE)
    if wanted == EVERYTHING:
        rows = await connection.fetch(_LOG, *place)
    else:
        rows = await connection.fetch(_LOG_OF_SOME, *place, wanted.kind, wanted.queue, wanted.group_id)
    events = [
        PlacedEvent(
            OwnerPlace(row["xact_id"], row["job_id"], row["seq"]),
            Event(
                row["job_id"],
                row["seq"],
                EventType(row["type"]),
                row["at"],
                msgspec.Raw(row["data"].encode()),
            ),
        )
        for row in rows
        if row["is_complete"]
    ]
    return Page(
        events,
        is_to_be_continued=len(events) < len(rows),
        is_last=not rows or len(rows) == rows[0]["found"] < EVENTS_AT_ONCE,
    )


async def present(connection: asyncpg.Connection) -> OwnerPlace:
    """The place after everything that is complete now."""
    horizon: int = await connection.fetchval(f"SELECT {_HORIZON}")  # a constant
    return OwnerPlace(horizon - 1, UUID(int=2**128 - 1), _MAX_SEQ)


async def last_transactions(connection: asyncpg.Connection, owner_ids: Sequence[UUID]) -> dict[UUID, int]:
    """For each of the owners, the last transaction that wrote to the log; none for an empty log."""
    rows = await connection.fetch(
        """SELECT o.id, e.xact_id FROM unnest($1::uuid[]) o (id), LATERAL (
            SELECT xact_id FROM job_events WHERE owner_id = o.id ORDER BY xact_id DESC LIMIT 1) e""",
        list(owner_ids),
    )
    return {row["id"]: row["xact_id"] for row in rows}
