"""Why a job is in its present state, as a code, a sentence and the facts behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import asyncpg

from app.core.config import ClaimOrder, Settings
from app.jobs.job import Job
from app.jobs.queues import queries as queues
from app.jobs.queues.queries import MAX_OWN_COUNTED, Circumstances, Pause, PendingJob
from app.jobs.schemas import Explanation
from app.jobs.states import Status
from app.jobs.workers.states import EngineState
from app.quotas.values import OwnQuotas, Quotas

STOPPING: Final = "It is stopping: its cancellation was requested."


@dataclass(frozen=True)
class Reason:
    """A reason: its stable code, a sentence, and the facts behind it."""

    code: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outlook:
    """Why a pending job waits, its place, how many of its owner's jobs are ahead, and when it may start."""

    reason: Reason
    position: int
    mine_ahead: int
    estimated_start_at: datetime | None


@dataclass(frozen=True)
class ClaimConditions:
    """The conditions under which workers claim a job, beside what is stored of jobs and workers.

    `max_running` is how many jobs its owner may run, `max_running_of_others` how many those may for whom no
    number is set; 0 means no limit. A worker counts if it was seen within the `lease`.
    """

    lease: timedelta
    is_redis_up: bool
    max_running: int = 0
    max_running_of_others: int = 0
    order: ClaimOrder = ClaimOrder.TURNS

    @classmethod
    def from_settings(cls, settings: Settings, own: OwnQuotas, *, is_redis_up: bool) -> Self:
        """Return the conditions for jobs of an owner who has these quotas."""
        return cls(
            lease=timedelta(seconds=settings.lease_seconds),
            is_redis_up=is_redis_up,
            max_running=own.over(Quotas.from_settings(settings)).max_running_jobs,
            max_running_of_others=settings.max_running_jobs_per_user,
            order=settings.claim_order,
        )


async def explain(connection: asyncpg.Connection, job: Job, conditions: ClaimConditions) -> Explanation:
    """Explain why the job is in its state, and when it may start or complete."""
    if job.status is not Status.PENDING:
        return explanation(
            job, _REASONS[job.status](job), estimated_completion=job.estimated_completion(datetime.now(UTC))
        )
    outlook = await foresee(connection, job, conditions)
    return explanation(
        job,
        outlook.reason,
        position=outlook.position,
        jobs_of_mine_ahead=outlook.mine_ahead,
        estimated_start_at=outlook.estimated_start_at,
    )


async def foresee(connection: asyncpg.Connection, job: PendingJob, conditions: ClaimConditions) -> Outlook:
    """Return what a job that waits, or would wait, has ahead of it."""
    found = await queues.circumstances(
        connection,
        job,
        lease=conditions.lease,
        order=conditions.order,
        max_running=conditions.max_running_of_others,
    )
    return Outlook(
        _why_pending(job, found, conditions),
        position=found.ahead + 1,
        mine_ahead=found.mine_ahead,
        estimated_start_at=_estimated_start(job, found),
    )


def _why_pending(job: PendingJob, found: Circumstances, conditions: ClaimConditions) -> Reason:
    """Return the first reason that applies; a later one matters only once the earlier ones do not apply."""
    if job.run_at > found.now:
        return _why_not_due(job, found.now)
    if found.pause is not None:
        return _why_paused(job.queue, found.pause)
    if not found.workers:
        return Reason("no_worker", f"No worker that is alive serves the queue {job.queue!r}.")
    if not found.knowing_workers:
        return Reason(
            "no_worker_knows_kind",
            f"No worker of the queue {job.queue!r} knows the kind {job.kind!r}.",
            {"workers": found.workers},
        )
    if not found.able_workers:
        return _why_without_gpus(job, found)
    if 0 < conditions.max_running <= found.mine_running:
        return Reason(
            "owner_limit",
            f"{found.mine_running} of your jobs are running, which is the limit; it waits until one ends.",
            {"running": found.mine_running, "limit": conditions.max_running},
        )
    if found.engine_states == {EngineState.UNAVAILABLE}:
        return Reason(
            "engine_unavailable",
            "Its workers cannot start processes on other machines at present; they try again.",
            {"workers": found.able_workers},
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
        return Reason("waiting_its_turn", sentence, facts)
    if EngineState.WAITING in found.engine_states and EngineState.READY not in found.engine_states:
        return Reason("waiting_for_node", "It is next: it starts as soon as a node has room for it.", facts)
    if not conditions.is_redis_up:
        return Reason("slow_pick_up", "It is next. Without Redis, workers poll only once a second.", facts)
    return Reason("next", "It is next: it starts as soon as a slot is free.", facts)


def _why_not_due(job: PendingJob, now: datetime) -> Reason:
    seconds = round((job.run_at - now).total_seconds(), 1)
    facts = {"run_at": job.run_at, "seconds": seconds}
    if not job.failures:
        return Reason("delayed", f"It starts in {seconds} s at the earliest.", facts)
    facts |= {"failures": job.failures, "max_attempts": job.max_attempts, "error": job.error}
    return Reason("retry_wait", f"Its last attempt failed; the next one is due in {seconds} s.", facts)


def _why_without_gpus(job: PendingJob, found: Circumstances) -> Reason:
    wanted = "1 GPU" if job.gpus == 1 else f"{job.gpus} GPUs"
    most = "none" if not found.most_gpus else f"at most {found.most_gpus}"
    return Reason(
        "no_worker_has_gpus",
        f"It needs {wanted}; slots of workers of the queue {job.queue!r} have {most}.",
        {"workers": found.workers, "gpus": job.gpus, "most_gpus": found.most_gpus},
    )


def _why_paused(queue: str, pause: Pause) -> Reason:
    facts = {"name": pause.by, "paused_at": pause.at, "reason": pause.reason}
    paused = f"{pause.by} paused the queue {queue!r}" if pause.by else f"The queue {queue!r} is paused"
    return Reason("queue_paused", f"{paused}: {pause.reason}", facts)


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


def _estimated_start(job: PendingJob, found: Circumstances) -> datetime | None:
    """Return when those ahead will be done at the pace of recent attempts; None if that is unknown."""
    if EngineState.READY not in found.engine_states or found.pause is not None:
        return None
    due = max(job.run_at, found.now)
    if found.ahead + found.busy < found.slots:
        return due
    if found.attempt_seconds is None:
        return None
    # On average, running jobs are half done.
    attempts = found.ahead + found.busy / 2
    try:
        return due + timedelta(seconds=attempts * found.attempt_seconds / found.slots)
    except OverflowError:  # after the year 9999
        return None


def _running(job: Job) -> Reason:
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
        return Reason("cancel_requested", STOPPING, facts)
    return Reason("running", f"Attempt {job.attempt} is running.", facts)


def _failed(job: Job) -> Reason:
    message = "" if job.error is None else job.error["message"]
    return Reason("failed", f"It failed: {message}", {"error": job.error})


_REASONS: Final[dict[Status, Callable[[Job], Reason]]] = {
    Status.RUNNING: _running,
    Status.FAILED: _failed,
    Status.COMPLETED: lambda job: Reason("completed", "It is completed.", {"completed_at": job.finished_at}),
    Status.CANCELLED: lambda job: Reason("cancelled", "It was cancelled.", {"completed_at": job.finished_at}),
}


def explanation(
    job: Job,
    reason: Reason,
    *,
    position: int | None = None,
    jobs_of_mine_ahead: int | None = None,
    estimated_start_at: datetime | None = None,
    estimated_completion: datetime | None = None,
) -> Explanation:
    """Return the explanation of a job for this reason."""
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
