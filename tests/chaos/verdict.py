"""Checks the guarantees after a drill (nothing lost, nothing duplicated) and measures recovery times."""

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
from tests.chaos.cluster import Cluster
from tests.chaos.faults import FAULTS, Injection, Recovery
from tests.chaos.workload import WorkItem
from tests.support import invariants, rows

_PROGRESS: Final = frozenset({EventType.STARTED, EventType.PROGRESS})
UNWRITTEN_BATCHES: Final = 2
"""Computed batches that a lost attempt may not have written: one being written and one waiting behind it.

The second exists only if a write takes longer than a batch: Postgres is unavailable or the worker is frozen.
"""

_LOG_ERRORS: Final = ("maintenance_loop_raised", "slot_failed", "report_refused", "unhandled")


@dataclass
class Verdict:
    """The counts and measurements of a drill, and every violated guarantee."""

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
    injections: Counter[str] = field(default_factory=Counter)
    log_errors: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


async def judge(cluster: Cluster, clients: Clients, injections: list[Injection], seconds: float) -> Verdict:
    """Check all guarantees against the database, the clients and the logs."""
    verdict = Verdict(seconds, streams=len(clients.followed), reconnects=clients.reconnects)
    verdict.answers = clients.answers
    jobs = {row["id"]: row for row in await rows.fetch(cluster.database, "SELECT * FROM jobs")}
    log = await _log(cluster)
    items = {job_id: item for item in clients.items for job_id in item.job_ids}

    await _check(verdict, "invariants", invariants.all_hold(cluster.database))
    await _check(verdict, "no loss", invariants.no_loss(cluster.database, items))
    submitted = {job_id: job for job_id, job in jobs.items() if job["parent_id"] is None}
    _count_jobs(verdict, clients, submitted, items)
    _count_gaps(verdict, jobs, log)
    _check_streams(verdict, clients, log)
    await _check_contents(verdict, cluster, jobs, items)
    await _check_rework(verdict, cluster, jobs, items)
    _check_failures(verdict, jobs)
    _measure(verdict, injections, log, clients.acknowledged_at)
    _read_logs(verdict, cluster)
    return verdict


async def _check(verdict: Verdict, guarantee: str, check: Awaitable[None]) -> None:
    try:
        await check
    except AssertionError as error:
        verdict.violations.append(f"{guarantee}: {str(error).splitlines()[0][:500]}")


async def _log(cluster: Cluster) -> dict[UUID, list[asyncpg.Record]]:
    log: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for event in await rows.fetch(cluster.database, "SELECT * FROM job_events ORDER BY job_id, seq"):
        log[event["job_id"]].append(event)
    return log


def _count_jobs(
    verdict: Verdict, clients: Clients, jobs: dict[UUID, asyncpg.Record], items: dict[UUID, WorkItem]
) -> None:
    verdict.acknowledged = sum(bool(item.job_ids) for item in clients.items)
    verdict.ended = Counter(str(job["status"]) for job in jobs.values())
    verdict.lost = sum(job_id not in jobs or Status(jobs[job_id]["status"]) not in FINAL for job_id in items)
    verdict.doubled = len(jobs) - len(clients.items)
    if verdict.acknowledged != len(clients.items):
        verdict.violations.append(
            f"{len(clients.items) - verdict.acknowledged} requests were never acknowledged"
        )
    if several := [item.key for item in clients.items if len(item.job_ids) > 1]:
        verdict.violations.append(f"one Idempotency-Key, several jobs: {several}")
    if verdict.doubled:
        verdict.violations.append(f"{len(jobs)} jobs for {len(clients.items)} requests")


def _count_gaps(
    verdict: Verdict, jobs: dict[UUID, asyncpg.Record], log: dict[UUID, list[asyncpg.Record]]
) -> None:
    for job_id, job in jobs.items():
        numbers = [event["seq"] for event in log[job_id]]
        verdict.event_gaps += numbers != list(range(1, job["last_seq"] + 1))
    if verdict.event_gaps:
        verdict.violations.append(f"{verdict.event_gaps} logs have gaps")


def _check_streams(verdict: Verdict, clients: Clients, log: dict[UUID, list[asyncpg.Record]]) -> None:
    """Check that each follower has received exactly the job's log over all its connections."""
    for job_id, seen in clients.followed.items():
        written = [(event["seq"], event["type"], event["data"]["done"]) for event in log[job_id]]
        if [(event["seq"], event["type"], event["done"]) for event in seen] != written:
            verdict.violations.append(
                f"the stream of {job_id} is not its log: {len(seen)} of {len(written)} events"
            )


async def _check_contents(
    verdict: Verdict, cluster: Cluster, jobs: dict[UUID, asyncpg.Record], items: dict[UUID, WorkItem]
) -> None:
    """Check that each stored row is the model's prediction for it."""
    stored = await rows.fetch(cluster.database, "SELECT * FROM job_batches ORDER BY job_id, index")
    verdict.batches = len(stored)
    for batch in stored:
        job = jobs[batch["job_id"]]
        item = items.get(job["parent_id"] or job["id"])
        outputs = [msgspec.json.decode(line)["prediction"] for line in batch["output"].splitlines()]
        if item is not None and not all(
            item.expects(row, output)
            for row, output in enumerate(outputs, job["first_row"] + batch["first_row"])
        ):
            verdict.violations.append(f"batch {batch['index']} of {batch['job_id']} has a wrong content")


async def _check_rework(
    verdict: Verdict, cluster: Cluster, jobs: dict[UUID, asyncpg.Record], items: dict[UUID, WorkItem]
) -> None:
    """Check that each lost attempt has lost at most `UNWRITTEN_BATCHES` computed batches."""
    computed = _computed(cluster)
    lost_attempts: Counter[UUID] = Counter()
    for attempt in await rows.fetch(cluster.database, "SELECT job_id, outcome FROM job_attempts"):
        verdict.outcomes[attempt["outcome"]] += 1
        if attempt["outcome"] != Outcome.COMPLETED:
            lost_attempts[attempt["job_id"]] += 1
    for job_id, item in items.items():
        if not item.does_real_work or item.was_retried:
            continue
        in_vain = computed[job_id] - jobs[job_id]["next_batch"]
        verdict.recomputed += in_vain
        verdict.attempts_lost += lost_attempts[job_id]
        if in_vain < 0:
            verdict.violations.append(f"{job_id} has {-in_vain} batches that no attempt computed")
        if in_vain > UNWRITTEN_BATCHES * lost_attempts[job_id]:
            verdict.violations.append(
                f"{job_id}: {in_vain} batches recomputed in {lost_attempts[job_id]} lost attempts"
            )


def _computed(cluster: Cluster) -> Counter[UUID]:
    """Count the computed batches of each job, including repetitions."""
    if not cluster.counter.exists():
        return Counter()
    return Counter(UUID(line.split()[0]) for line in cluster.counter.read_text().splitlines())


def _check_failures(verdict: Verdict, jobs: dict[UUID, asyncpg.Record]) -> None:
    """Check that jobs have failed only after losing all attempts: none of these jobs fails by itself.

    A job with shards fails with one of these.
    """
    for job_id, job in jobs.items():
        if job["shards"] is not None:
            failed = [
                one for one in jobs.values() if one["parent_id"] == job_id and one["status"] == "failed"
            ]
            if job["status"] == Status.FAILED and not failed:
                verdict.violations.append(f"{job_id} failed without a failed shard: {job['error']}")
            continue
        if job["status"] == Status.FAILED and job["failures"] < job["max_attempts"]:
            verdict.violations.append(f"{job_id} failed with budget left: {job['error']}")


def _measure(
    verdict: Verdict,
    injections: list[Injection],
    log: dict[UUID, list[asyncpg.Record]],
    acknowledged_at: list[datetime],
) -> None:
    verdict.injections = Counter(injection.fault for injection in injections)
    verdict.recoveries = {fault: [] for fault in FAULTS}
    for injection in injections:
        moments = [
            next((event["at"] for event in log[job_id] if _is_well(injection, attempt, event)), None)
            for job_id, attempt in injection.hit.items()
        ]
        found = [moment for moment in moments if moment is not None]
        if injection.recovery is Recovery.STARTED:
            found = sorted(found)[:1]
        if injection.recovery is Recovery.ANSWER:
            found = sorted(at for at in acknowledged_at if at > injection.at)[:1]
        verdict.recoveries[injection.fault] += [(moment - injection.at).total_seconds() for moment in found]


def _is_well(injection: Injection, attempt: int, event: Any) -> bool:
    if event["at"] <= injection.at:
        return False
    event_type = EventType(event["type"])
    if event_type.is_final:
        return True
    match injection.recovery:
        case Recovery.ELSEWHERE:
            return event_type is EventType.STARTED and bool(event["data"]["attempt"] > attempt)
        case Recovery.STARTED:
            return event_type is EventType.STARTED
        case _:
            return event_type in _PROGRESS


def _read_logs(verdict: Verdict, cluster: Cluster) -> None:
    for process in cluster.processes:
        text = process.log_path.read_text()
        for event in _LOG_ERRORS:
            verdict.log_errors[event] += text.count(event)
