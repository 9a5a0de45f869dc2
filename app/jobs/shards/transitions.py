"""Changes to the state of shards and their parents, in the caller's transaction.

A worker claims, commits and ends a shard as it does any job, by `app.jobs.transitions`, and never touches
the parent. The parent follows when its shards are *rolled up*: counted, and what follows from that written.
Of two processes that roll up the same parent, the second waits or passes it by.

Locks are taken in one order, the parent before its shards, and nothing waits for a shard while it holds
another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.core import failpoints, ids
from app.core.rows import Row
from app.jobs.shards import decisions, tallies
from app.jobs.shards import transition_statements as statements
from app.jobs.shards.decisions import ShardDrift, Tally
from app.jobs.shards.plan import ShardPlan
from app.jobs.transition_types import TransitionResult
from app.jobs.unit_of_work import UnitOfWork

FIRST: Final = UUID(int=0)
"""Before the ids of all parents."""


@dataclass(frozen=True)
class LockedParent:
    """An open parent, from its lock until the end of the transaction."""

    is_cancel_requested: bool


async def create_shards(unit: UnitOfWork, parent_id: UUID, plan: ShardPlan) -> None:
    """Store the shards of a parent that the same transaction has stored, each with its first event."""
    await statements.CREATE_SHARDS.execute(
        unit.connection,
        parent_id=parent_id,
        rows=plan.rows,
        ids=[ids.new_id() for _ in range(plan.shards)],
    )


async def reopen(unit: UnitOfWork, parent_id: UUID, *, from_start: bool) -> None:
    """Make the failed and cancelled shards of a parent pending, which the same transaction has retried.

    `from_start` does so with all of them, and deletes what they have computed.
    """
    await statements.REOPEN.execute(unit.connection, parent_id=parent_id, from_start=from_start)


async def lock_next(unit: UnitOfWork, after: UUID, *, limit: int) -> list[UUID]:
    """Lock the next open parents by their ids, except those that another process has locked."""
    rows = await statements.LOCK_NEXT.fetch(unit.connection, after=after, limit=limit)
    failpoints.reach("rollup:lock")
    return [row["id"] for row in rows]


async def lock(unit: UnitOfWork, parent_id: UUID) -> LockedParent | None:
    """Lock a parent. Return None if it has ended."""
    row = await statements.LOCK.fetchrow(unit.connection, parent_id=parent_id)
    return None if row is None else LockedParent(row["is_cancel_requested"])


async def lock_finished(unit: UnitOfWork, parent_ids: Sequence[UUID]) -> list[UUID]:
    """Lock those of these parents whose shards have all ended, except those that are locked already."""
    rows = await statements.LOCK_FINISHED.fetch(unit.connection, parent_ids=list(parent_ids))
    return [row["id"] for row in rows]


async def end_shards(unit: UnitOfWork, parent_ids: Sequence[UUID]) -> None:
    """End the open shards of parents that cannot complete any more. The caller has locked the parents.

    Those that a worker is writing at this moment are left out.
    """
    _record(unit, await statements.END_SHARDS.fetch(unit.connection, parent_ids=list(parent_ids)))
    failpoints.reach("rollup:end")


async def roll_up(unit: UnitOfWork, parent_ids: Sequence[UUID]) -> None:
    """Bring parents, which the caller has locked, up to date with their shards.

    If one cannot complete any more, its open shards are ended. Those that a worker is writing at this moment
    are left to the next time, and the parent with them.
    """
    if not parent_ids:
        return
    found = await tallies.tally(unit.connection, parent_ids)
    doomed = [tally.id for tally in found if tally.open and decisions.is_doomed(tally)]
    if doomed:
        await end_shards(unit, doomed)
        found = await tallies.tally(unit.connection, parent_ids)
    await _begin(unit, [tally for tally in found if decisions.begins(tally)])
    await _report(unit, [tally for tally in found if tally.open])
    await _settle(unit, [tally for tally in found if not tally.open])


async def _begin(unit: UnitOfWork, counted: Sequence[Tally]) -> None:
    if not counted:
        return
    rows = [{"id": tally.id, "began_at": tally.began_at} for tally in counted]
    _record(unit, await statements.BEGIN.fetch(unit.connection, **statements.BEGUN.parameters(rows)))


async def _report(unit: UnitOfWork, counted: Sequence[Tally]) -> None:
    if not counted:
        return
    rows = [_progress(tally) for tally in counted]
    _record(unit, await statements.REPORT.fetch(unit.connection, **statements.PROGRESS.parameters(rows)))


async def _settle(unit: UnitOfWork, counted: Sequence[Tally]) -> None:
    if not counted:
        return
    completed = [tally.id for tally in counted if tally.completed == tally.shards]
    drift = await tallies.drift(unit.connection, completed) if completed else {}
    rows = [_settled(tally, drift.get(tally.id, ())) for tally in counted]
    _record(unit, await statements.SETTLE.fetch(unit.connection, **statements.SETTLED.parameters(rows)))
    failpoints.reach("rollup:settle")


def _progress(tally: Tally) -> dict[str, Any]:
    return {"id": tally.id, "done": tally.done, "errors": tally.errors, "step": tally.step}


def _settled(tally: Tally, drift: Sequence[ShardDrift]) -> dict[str, Any]:
    settlement = decisions.settle(tally, drift)
    return {
        **_progress(tally),
        "status": settlement.status,
        "result": decisions.encode(settlement.result),
        "error": decisions.encode(settlement.error),
    }


def _record(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    unit.record(TransitionResult.from_rows(rows))
