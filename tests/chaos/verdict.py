"""What a drill proves: nothing lost, nothing twice, and how long each recovery took."""

from collections import Counter, defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.jobs.states import FINAL, EventType, Outcome, Status
from tests.chaos.clients import Clients
from tests.chaos.faults import FAULTS, Recovery, Strike
from tests.chaos.orders import Order
from tests.chaos.world import World
from tests.support import invariants, rows

_PROGRESS: Final = frozenset({EventType.STARTED, EventType.PROGRESS})
UNWRITTEN_BATCHES: Final = 2
"""What an attempt may have computed and not written: one that is being written, one that waits behind it.

The second one is there only if the write takes longer than a batch: Postgres is away, the worker is frozen.
"""

_TROUBLE: Final = ("keeper_loop_raised", "slot_failed", "report_refused", "unhandled")


@dataclass
class Verdict:
    """The figures of a drill, and every promise that was broken."""

    seconds: float
    acknowledged: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    event_gaps: int = 0
    batches: int = 0
    recomputed: int = 0
    attempts_lost: int = 0
    streams: int = 0
    reconnects: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    strikes: Counter[str] = field(default_factory=Counter)
    trouble: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


async def judge(world: World, clients: Clients, strikes: list[Strike], seconds: float) -> Verdict:
    """Look at everything that is left."""
    verdict = Verdict(seconds, streams=len(clients.followed), reconnects=clients.reconnects)
    verdict.answers = clients.answers
    jobs = {row["id"]: row for row in await rows.fetch(world.database, "SELECT * FROM jobs")}
    log = await _log(world)
    orders = {job_id: order for order in clients.orders for job_id in order.job_ids}

    await _hold(verdict, "invariants", invariants.all_hold(world.database))
    await _hold(verdict, "no loss", invariants.no_loss(world.database, orders))
    _count_jobs(verdict, clients, jobs, orders)
    _count_gaps(verdict, jobs, log)
    _check_streams(verdict, clients, log)
    await _check_contents(verdict, world, jobs, orders)
    await _check_rework(verdict, world, jobs, orders)
    _check_failures(verdict, jobs)
    _measure(verdict, strikes, log, clients.acknowledged_at)
    _read_logs(verdict, world)
    return verdict


async def _hold(verdict: Verdict, promise: str, check: Awaitable[None]) -> None:
    try:
        await check
    except AssertionError as error:
        verdict.broken.append(f"{promise}: {str(error).splitlines()[0][:500]}")


async def _log(world: World) -> dict[UUID, list[asyncpg.Record]]:
    log: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for event in await rows.fetch(world.database, "SELECT * FROM job_events ORDER BY job_id, seq"):
        log[event["job_id"]].append(event)
    return log


def _count_jobs(
    verdict: Verdict, clients: Clients, jobs: dict[UUID, asyncpg.Record], orders: dict[UUID, Order]
) -> None:
    verdict.acknowledged = sum(bool(order.job_ids) for order in clients.orders)
    verdict.ended = Counter(str(job["status"]) for job in jobs.values())
    verdict.lost = sum(job_id not in jobs or Status(jobs[job_id]["status"]) not in FINAL for job_id in orders)
    verdict.doubled = len(jobs) - len(clients.orders)
    if verdict.acknowledged != len(clients.orders):
        verdict.broken.append(
            f"{len(clients.orders) - verdict.acknowledged} requests were never acknowledged"
        )
    if several := [order.key for order in clients.orders if len(order.job_ids) > 1]:
        verdict.broken.append(f"one Idempotency-Key, several jobs: {several}")
    if verdict.doubled:
        verdict.broken.append(f"{len(jobs)} jobs for {len(clients.orders)} requests")


def _count_gaps(
    verdict: Verdict, jobs: dict[UUID, asyncpg.Record], log: dict[UUID, list[asyncpg.Record]]
) -> None:
    for job_id, job in jobs.items():
        numbers = [event["seq"] for event in log[job_id]]
        verdict.event_gaps += numbers != list(range(1, job["last_seq"] + 1))
    if verdict.event_gaps:
        verdict.broken.append(f"{verdict.event_gaps} logs have gaps")


def _check_streams(verdict: Verdict, clients: Clients, log: dict[UUID, list[asyncpg.Record]]) -> None:
    """What a follower saw, over all its connections, is the log."""
    for job_id, seen in clients.followed.items():
        written = [(event["seq"], event["type"], event["data"]["done"]) for event in log[job_id]]
        if [(event["seq"], event["type"], event["done"]) for event in seen] != written:
            verdict.broken.append(
                f"the stream of {job_id} is not its log: {len(seen)} of {len(written)} events"
            )


async def _check_contents(
    verdict: Verdict, world: World, jobs: dict[UUID, asyncpg.Record], orders: dict[UUID, Order]
) -> None:
    """Each row that is stored is what the model gives for it."""
    stored = await rows.fetch(world.database, "SELECT * FROM job_batches ORDER BY job_id, index")
    verdict.batches = len(stored)
    for batch in stored:
        order = orders.get(batch["job_id"])
        outputs = [msgspec.json.decode(line)["prediction"] for line in batch["output"].splitlines()]
        if order is not None and not all(
            order.expects(row, output) for row, output in enumerate(outputs, batch["first_row"])
        ):
            verdict.broken.append(f"batch {batch['index']} of {batch['job_id']} has a wrong content")


async def _check_rework(
    verdict: Verdict, world: World, jobs: dict[UUID, asyncpg.Record], orders: dict[UUID, Order]
) -> None:
    """An attempt that is lost takes one computed batch with it at most, or two that could not be written."""
    computed = _computed(world)
    lost_attempts: Counter[UUID] = Counter()
    for attempt in await rows.fetch(world.database, "SELECT job_id, outcome FROM job_attempts"):
        verdict.outcomes[attempt["outcome"]] += 1
        if attempt["outcome"] != Outcome.COMPLETED:
            lost_attempts[attempt["job_id"]] += 1
    for job_id, order in orders.items():
        if not order.does_real_work or order.was_retried:
            continue
        in_vain = computed[job_id] - jobs[job_id]["next_batch"]
        verdict.recomputed += in_vain
        verdict.attempts_lost += lost_attempts[job_id]
        if in_vain < 0:
            verdict.broken.append(f"{job_id} has {-in_vain} batches that nobody computed")
        if in_vain > UNWRITTEN_BATCHES * lost_attempts[job_id]:
            verdict.broken.append(
                f"{job_id}: {in_vain} batches computed in vain in {lost_attempts[job_id]} lost attempts"
            )


def _computed(world: World) -> Counter[UUID]:
    """How many batches were computed for each job, those in vain too."""
    if not world.counter.exists():
        return Counter()
    return Counter(UUID(line.split()[0]) for line in world.counter.read_text().splitlines())


def _check_failures(verdict: Verdict, jobs: dict[UUID, asyncpg.Record]) -> None:
    """No job here fails by itself: only by having lost as many attempts as its budget allows."""
    for job_id, job in jobs.items():
        if job["status"] == Status.FAILED and job["failures"] < job["max_attempts"]:
            verdict.broken.append(f"{job_id} failed with budget left: {job['error']}")


def _measure(
    verdict: Verdict,
    strikes: list[Strike],
    log: dict[UUID, list[asyncpg.Record]],
    acknowledged_at: list[datetime],
) -> None:
    verdict.strikes = Counter(strike.fault for strike in strikes)
    verdict.recoveries = {fault: [] for fault in FAULTS}
    for strike in strikes:
        moments = [
            next((event["at"] for event in log[job_id] if _is_well(strike, attempt, event)), None)
            for job_id, attempt in strike.hit.items()
        ]
        found = [moment for moment in moments if moment is not None]
        if strike.recovery is Recovery.STARTED:
            found = sorted(found)[:1]
        if strike.recovery is Recovery.ANSWER:
            found = sorted(at for at in acknowledged_at if at > strike.at)[:1]
        verdict.recoveries[strike.fault] += [(moment - strike.at).total_seconds() for moment in found]


def _is_well(strike: Strike, attempt: int, event: Any) -> bool:
    if event["at"] <= strike.at:
        return False
    event_type = EventType(event["type"])
    if event_type.is_final:
        return True
    match strike.recovery:
        case Recovery.ELSEWHERE:
            return event_type is EventType.STARTED and bool(event["data"]["attempt"] > attempt)
        case Recovery.STARTED:
            return event_type is EventType.STARTED
        case _:
            return event_type in _PROGRESS


def _read_logs(verdict: Verdict, world: World) -> None:
    for part in world.parts:
        text = part.log_path.read_text()
        for trouble in _TROUBLE:
            verdict.trouble[trouble] += text.count(trouble)
