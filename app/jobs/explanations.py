"""Why a job is in its present state, as a code, a sentence and the facts behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from app.core.config import ClaimOrder
from app.jobs.job import Job
from app.jobs.queues import queries as queues
from app.jobs.queues.queries import MAX_OWN_COUNTED, Circumstances
from app.jobs.schemas import Explanation
from app.jobs.states import Status


@dataclass(frozen=True)
class _Reason:
    code: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


async def explain(
    connection: asyncpg.Connection,
    job: Job,
    *,
    lease_seconds: float,
    is_redis_up: bool,
    max_running: int = 0,
    max_running_of_others: int = 0,
    order: ClaimOrder = ClaimOrder.TURNS,
) -> Explanation:
    """Explain why the job is in its state, and when it may start or complete.

    `max_running` is how many jobs its owner may run, `max_running_of_others` how many those may for whom no
    number is set; 0 means no limit.
    """
    if job.status is not Status.PENDING:
        return _explanation(
            job, _REASONS[job.status](job), estimated_completion=job.estimated_completion(datetime.now(UTC))
        )
    found = await queues.circumstances(
        connection,
        job,
        lease=timedelta(seconds=lease_seconds),
        order=order,
        max_running=max_running_of_others,
    )
    return _explanation(
        job,
        _why_pending(job, found, is_redis_up=is_redis_up, max_running=max_running),
        position=found.ahead + 1,
        jobs_of_mine_ahead=found.mine_ahead,
        estimated_start_at=_estimated_start(job, found),
    )


def _why_pending(job: Job, found: Circumstances, *, is_redis_up: bool, max_running: int) -> _Reason:
    """Return the first reason that applies; a later one matters only once the earlier ones do not apply."""
    if job.run_at > found.now:
        return _why_not_due(job, found.now)
    if not found.workers:
        return _Reason("no_worker", f"No worker that is alive serves the queue {job.queue!r}.")
    if not found.able_workers:
        return _Reason(
            "no_worker_knows_kind",
            f"No worker of the queue {job.queue!r} knows the kind {job.kind!r}.",
            {"workers": found.workers},
        )
    if 0 < max_running <= found.mine_running:
        return _Reason(
            "owner_limit",
            f"{found.mine_running} of your jobs are running, which is the limit; it waits until one ends.",
            {"running": found.mine_running, "limit": max_running},
        )
    facts = {
        "ahead": found.ahead,
        "mine_ahead": found.mine_ahead,
        "other_owners": found.other_owners,
        "mine_running": found.mine_running,
        "workers": found.workers,
        "slots": found.slots,
        "busy": found.busy,
    }
    if found.ahead:
        sentence = _whose_turn(found) if found.takes_turns else _ahead(found)
        return _Reason("waiting_its_turn", sentence, facts)
    if not is_redis_up:
        return _Reason("slow_pick_up", "It is next. Without Redis, workers poll only once a second.", facts)
    return _Reason("next", "It is next: it starts as soon as a slot is free.", facts)


def _why_not_due(job: Job, now: datetime) -> _Reason:
    seconds = round((job.run_at - now).total_seconds(), 1)
    facts = {"run_at": job.run_at, "seconds": seconds}
    if not job.failures:
        return _Reason("delayed", f"It starts in {seconds} s at the earliest.", facts)
    facts |= {"failures": job.failures, "max_attempts": job.max_attempts, "error": job.error}
    return _Reason("retry_wait", f"Its last attempt failed; the next one is due in {seconds} s.", facts)


def _ahead(found: Circumstances) -> str:
    if found.ahead == 1:
        return "1 job is ahead of it."
    return f"{'' if found.is_exact else 'At least '}{found.ahead} jobs are ahead of it."


def _whose_turn(found: Circumstances) -> str:
    match found.mine_ahead:
        case 0:
            mine = "None of your jobs is before it"
        case 1:
            mine = "1 of your jobs is before it"
        case count:
            mine = f"{'At least ' if count >= MAX_OWN_COUNTED else ''}{count} of your jobs are before it"
    match found.other_owners:
        case 0:
            others = "no other user waits"
        case 1:
            others = "1 other user waits"
        case count:
            others = f"{count} other users wait"
    slots = "1 slot" if found.slots == 1 else f"{found.slots} slots"
    return f"{mine}; {others}; you hold {found.mine_busy} of {slots}."


def _estimated_start(job: Job, found: Circumstances) -> datetime | None:
    """Return when those ahead will be done at the pace of recent attempts; None if that is unknown."""
    if not found.able_workers:
        return None
    due = max(job.run_at, found.now)
    if found.ahead + found.busy < found.slots:
        return due
    if found.attempt_seconds is None:
        return None
    # On average, running jobs are half done.
    attempts = found.ahead + found.busy / 2
    return due + timedelta(seconds=attempts * found.attempt_seconds / found.slots)


def _running(job: Job) -> _Reason:
    seconds = 0.0
    if job.attempt_started_at is not None:
        seconds = (datetime.now(UTC) - job.attempt_started_at).total_seconds()
    facts = {
        "attempt": job.attempt,
        "since": job.attempt_started_at,
        "step": job.step,
        "rows_per_second": round((job.done - job.attempt_first_row) / seconds, 1) if seconds > 0 else None,
    }
    if job.cancel_requested_at is not None:
        return _Reason("cancel_requested", "It is stopping: its cancellation was requested.", facts)
    return _Reason("running", f"Attempt {job.attempt} is running.", facts)


def _failed(job: Job) -> _Reason:
    message = "" if job.error is None else job.error["message"]
    return _Reason("failed", f"It failed: {message}", {"error": job.error})


_REASONS: Final[dict[Status, Callable[[Job], _Reason]]] = {
    Status.RUNNING: _running,
    Status.FAILED: _failed,
    Status.COMPLETED: lambda job: _Reason("completed", "It is completed.", {"completed_at": job.finished_at}),
    Status.CANCELLED: lambda job: _Reason(
        "cancelled", "It was cancelled.", {"completed_at": job.finished_at}
    ),
}


def _explanation(
    job: Job,
    reason: _Reason,
    *,
    position: int | None = None,
    jobs_of_mine_ahead: int | None = None,
    estimated_start_at: datetime | None = None,
    estimated_completion: datetime | None = None,
) -> Explanation:
    return Explanation(
        job_id=job.id,
        code=reason.code,
        sentence=reason.sentence,
        status=job.status,
        queue=job.queue,
        position=position,
        jobs_of_mine_ahead=jobs_of_mine_ahead,
        estimated_start_at=estimated_start_at,
        estimated_completion=estimated_completion,
        facts=reason.facts,
    )
