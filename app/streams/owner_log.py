"""The log of the events of all jobs of an owner, in a total order, with positions to resume from.

Transactions commit concurrently. Ordered by time or by a sequence, an event could become visible after a
reader has passed its position, and the reader would miss it. So the log is ordered by transaction id, and
only events older than every open transaction are read: the log up to a position never changes. This delays
an event by one open transaction, about a millisecond.
"""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.errors import BadRequest
from app.core.paging import PAGE_BYTES
from app.core.rows import Row
from app.core.sql import RowSet, Statement
from app.jobs.events import Event
from app.jobs.queries import EVENTS_AT_ONCE

_HORIZON: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


# A log that is read, and after which position.
_ASKED: Final = RowSet("asked", owner_id="uuid", xact_id="bigint", job_id="uuid", seq="int", number="int")

_PAGE_OF_ASKED: Final = paging.bounded(
    f"""SELECT e.job_id, e.seq, e.type, e.at, e.data::text AS data, e.xact_id,
        e.xact_id < (SELECT {_HORIZON}) AS is_complete
    FROM job_events e
    WHERE e.owner_id = asked.owner_id
        AND (e.xact_id, e.job_id, e.seq) > (asked.xact_id, asked.job_id, asked.seq)
    ORDER BY e.xact_id, e.job_id, e.seq LIMIT :limit""",
    size="octet_length(data)",
    order="xact_id, job_id, seq",
    max_bytes=":max_bytes",
)

# Which events of each of these owners' jobs follow a position?
# Events that are not final yet are included: the reader has to know that there will be more.
_EVENTS: Final = Statement(
    f"""
SELECT asked.number, page.* FROM {_ASKED.sql} CROSS JOIN LATERAL ({_PAGE_OF_ASKED}) page
ORDER BY asked.number, page.page_row"""
)

# Which events of some of this owner's jobs follow this position?
# LIMIT keeps the planner from hashing all jobs in the database for a page of events.
_EVENTS_OF_SOME: Final = Statement(
    paging.bounded(
        f"""SELECT e.job_id, e.seq, e.type, e.at, e.data::text AS data, e.xact_id,
            e.xact_id < (SELECT {_HORIZON}) AS is_complete
        FROM job_events e
        CROSS JOIN LATERAL (
            SELECT FROM jobs j
            WHERE j.id = e.job_id
                AND j.kind = coalesce(:kind, j.kind) AND j.queue = coalesce(:queue, j.queue)
                AND (:group_id::uuid IS NULL OR j.group_id = :group_id)
            LIMIT 1) wanted
        WHERE e.owner_id = :owner_id AND (e.xact_id, e.job_id, e.seq) > (:xact_id, :job_id, :seq)
        ORDER BY e.xact_id, e.job_id, e.seq LIMIT :limit""",
        size="octet_length(data)",
        order="xact_id, job_id, seq",
    )
)

# Which events of the jobs of all users follow this position?
# Owner by owner, because the index of the log begins with the owner.
_EVENTS_OF_ALL: Final = Statement(
    paging.bounded(
        f"""SELECT e.*, e.xact_id < (SELECT {_HORIZON}) AS is_complete
        FROM users u CROSS JOIN LATERAL (
            SELECT job_id, seq, type, at, data::text AS data, xact_id FROM job_events
            WHERE owner_id = u.id AND (xact_id, job_id, seq) > (:xact_id, :job_id, :seq)
            ORDER BY xact_id, job_id, seq LIMIT :limit) e
        CROSS JOIN LATERAL (
            SELECT FROM jobs j
            WHERE j.id = e.job_id
                AND j.kind = coalesce(:kind, j.kind) AND j.queue = coalesce(:queue, j.queue)
                AND (:group_id::uuid IS NULL OR j.group_id = :group_id)
            LIMIT 1) wanted
        ORDER BY e.xact_id, e.job_id, e.seq LIMIT :limit""",
        size="octet_length(data)",
        order="xact_id, job_id, seq",
    )
)

# Which transaction is the oldest that may still write to the log?
_HEAD: Final = Statement(f"SELECT {_HORIZON}")

# Which is the last transaction that wrote to the log of each of these owners?
_LAST_TRANSACTIONS: Final = Statement("""
SELECT o.id, e.xact_id FROM unnest(:owner_ids::uuid[]) o (id), LATERAL (
    SELECT xact_id FROM job_events WHERE owner_id = o.id ORDER BY xact_id DESC LIMIT 1) e""")

_MAX_SEQ: Final = 2**31 - 1


class InvalidPosition(BadRequest):
    """Last-Event-ID and `after` take the id of an event of this stream, or 0 for its beginning."""

    code = "invalid_event_id"
    title = "Invalid event id"


@dataclass(frozen=True)
class OwnerPosition:
    """A position in an owner's log: after this event of this transaction."""

    xact_id: int
    job_id: UUID
    seq: int

    def __str__(self) -> str:
        return f"{self.xact_id}-{self.job_id.hex}-{self.seq}"


BEGINNING: Final = OwnerPosition(0, UUID(int=0), 0)


@dataclass(frozen=True)
class EventFilter:
    """Which of an owner's jobs to follow; None means any."""

    kind: str | None = None
    queue: str | None = None
    group_id: UUID | None = None


EVERYTHING: Final = EventFilter()


@dataclass(frozen=True)
class LogEntry:
    """An event, and its position in the log."""

    position: OwnerPosition
    event: Event

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `job_events`, `data` as text."""
        return cls(OwnerPosition(row["xact_id"], row["job_id"], row["seq"]), Event.from_row(row))


@dataclass(frozen=True)
class Page:
    """A part of an owner's log.

    `has_held_back` means that later events are committed, but held back until older transactions end;
    `is_last` that the log had no more events.
    """

    events: list[LogEntry]
    has_held_back: bool
    is_last: bool


def parse_position(text: str) -> OwnerPosition:
    """Return the position in an event id. Raises InvalidPosition for one that the API never issued."""
    if text == "0":
        return BEGINNING
    try:
        xact_id, job_id, seq = text.split("-")
        position = OwnerPosition(int(xact_id), UUID(job_id), int(seq))
    except ValueError as error:
        raise InvalidPosition from error
    # Numbers have many spellings, and not all of them fit into a column.
    if str(position) != text or position.xact_id >= 10**18 or position.seq > _MAX_SEQ:
        raise InvalidPosition
    return position


async def read(
    connection: asyncpg.Connection, owner_id: UUID | None, after: OwnerPosition, wanted: EventFilter
) -> Page:
    """Return the final events after a position: at most EVENTS_AT_ONCE, and bounded in bytes.

    Those of all users if `owner_id` is None.
    """
    position = {
        "xact_id": after.xact_id,
        "job_id": after.job_id,
        "seq": after.seq,
        "limit": EVENTS_AT_ONCE,
    }
    selection = {"kind": wanted.kind, "queue": wanted.queue, "group_id": wanted.group_id}
    if owner_id is None:
        rows = await _EVENTS_OF_ALL.fetch(connection, **selection, **position)
    else:
        rows = await _EVENTS_OF_SOME.fetch(connection, owner_id=owner_id, **selection, **position)
    return _to_page(rows)


async def read_many(
    connection: asyncpg.Connection,
    asked: Sequence[tuple[UUID, OwnerPosition]],
    *,
    max_bytes: int = PAGE_BYTES,
) -> list[Page]:
    """Return the final events after a position of each of these owners' logs, in the same order.

    Each page has at most EVENTS_AT_ONCE events, and all together about `max_bytes` bytes.
    """
    rows = await _EVENTS.fetch(
        connection,
        limit=EVENTS_AT_ONCE,
        max_bytes=max_bytes // max(len(asked), 1),
        **_ASKED.parameters(
            [
                {
                    "owner_id": owner_id,
                    "xact_id": after.xact_id,
                    "job_id": after.job_id,
                    "seq": after.seq,
                    "number": number,
                }
                for number, (owner_id, after) in enumerate(asked)
            ]
        ),
    )
    found: list[list[Row]] = [[] for _ in asked]
    for row in rows:
        found[row["number"]].append(row)
    return [_to_page(page) for page in found]


def _to_page(rows: Sequence[Row]) -> Page:
    events = [LogEntry.from_row(row) for row in rows if row["is_complete"]]
    return Page(
        events,
        has_held_back=len(events) < len(rows),
        is_last=not rows or len(rows) == rows[0]["found"] < EVENTS_AT_ONCE,
    )


def coalesce(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Return the last event of each job and every event that ends a job, in their order."""
    newest = {entry.event.job_id: entry for entry in entries}
    return [entry for entry in entries if entry.event.is_final or newest[entry.event.job_id] is entry]


async def head(connection: asyncpg.Connection) -> OwnerPosition:
    """Return the current end of the log: the position after all events that are final."""
    horizon: int = await _HEAD.fetchval(connection)
    return OwnerPosition(horizon - 1, UUID(int=2**128 - 1), _MAX_SEQ)


async def last_transactions(connection: asyncpg.Connection, owner_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the last transaction that wrote to each owner's log; omits owners with an empty log."""
    rows = await _LAST_TRANSACTIONS.fetch(connection, owner_ids=list(owner_ids))
    return {row["id"]: row["xact_id"] for row in rows}
