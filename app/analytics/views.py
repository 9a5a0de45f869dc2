"""Figures in the shape the API returns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from app.analytics.figures import Durations, Figures, Group, Statistics, success_rate
from app.analytics.folding import OTHER_CODE
from app.analytics.overview import COUNTED, Bucket, Buckets, Mark, Pending, Running
from app.analytics.performance import Fleet, Minute, Minutes, Queue
from app.analytics.ranges import By, OverviewRange, OwnerScope, TimeRange
from app.analytics.schemas import (
    BucketView,
    EndedView,
    FiguresView,
    FleetView,
    LoopView,
    MarkView,
    MinuteView,
    Overview,
    PendingView,
    QueueSeconds,
    QueueView,
    RunningView,
    RunSeconds,
    StatsGroup,
    StatsView,
    SystemView,
    TaskAnalytics,
    TaskPerformance,
    TaskProgress,
    WaitSeconds,
)
from app.core.loops import LoopState
from app.core.machine import MachineUse
from app.jobs import faults
from app.jobs.job import Job

HOUR: Final = timedelta(hours=1)
_LENGTHS: Final = {By.HOUR: HOUR, By.DAY: timedelta(days=1)}
MEGABYTE: Final = 1_000_000


def task_analytics(
    scope: OwnerScope,
    wanted: TimeRange,
    found: Statistics,
    *,
    waiting: int,
    peak: int,
    uptime_seconds: float,
) -> TaskAnalytics:
    """Return the figures of a range in brief."""
    totals = found.totals
    # Rounded once, so that the text and the number agree.
    average = round(totals.settled_seconds / totals.settled, 3) if totals.settled else 0.0
    return TaskAnalytics(
        scope=scope,
        range=wanted,
        since=found.since,
        as_of=found.as_of,
        total_tasks_executed=totals.executed,
        successful_tasks=totals.completed,
        failed_tasks=totals.failed,
        cancelled_tasks=totals.cancelled,
        success_rate=_rounded(totals.success_rate, 4),
        average_execution_time=f"{average:.2f}s",
        average_execution_seconds=average,
        current_queue_size=waiting,
        peak_concurrent_tasks=peak,
        uptime=f"{uptime_seconds / 3600:.1f} hours",
        uptime_seconds=round(uptime_seconds, 1),
    )


def task_performance(
    found: Minutes,
    fleet: Fleet,
    queues: Sequence[Queue],
    loops: Sequence[LoopState],
    use: MachineUse,
    now: datetime,
) -> TaskPerformance:
    """Return the state of the worker pool."""
    completed = sum(minute.completed for minute in found.recent)
    failed = sum(minute.failed for minute in found.recent)
    failed_by_system = sum(minute.failed_by_system for minute in found.recent)
    return TaskPerformance(
        as_of=found.as_of,
        cpu_usage=round(fleet.cpu_percent, 1),
        memory_usage=round(fleet.rss_bytes / MEGABYTE, 1),
        active_workers=fleet.workers,
        tasks_per_second=round(found.executed_per_second, 3),
        error_rate=_percent(failed, completed + failed),
        system_error_rate=_percent(failed_by_system, completed + failed),
        slots=fleet.slots,
        slots_busy=fleet.busy,
        utilization=round(fleet.busy / fleet.slots, 4) if fleet.slots else None,
        queues=[_queue(queue) for queue in queues],
        minutes=[_minute(minute) for minute in found.minutes],
        loops=[loop_view(loop, now) for loop in loops],
        system=SystemView(
            cpu_percent=round(use.cpu_percent, 1), memory_percent=round(use.memory_percent, 1), timestamp=now
        ),
    )


def stats(scope: OwnerScope, wanted: TimeRange, by: By | None, found: Statistics) -> StatsView:
    """Return figures in total and in groups."""
    whole = found.as_of - found.since
    return StatsView(
        scope=scope,
        range=wanted,
        since=found.since,
        as_of=found.as_of,
        by=by,
        totals=figures(found.totals, whole),
        groups=[] if by is None else [_group(by, group, found) for group in found.groups],
        other=None if found.other is None else figures(found.other, None if _is_of_time(by) else whole),
    )


def figures(found: Figures, length: timedelta | None) -> FiguresView:
    """Return figures over so long a time; None if it is not one span."""
    is_measured = found.measured_attempts > 0
    return FiguresView(
        jobs=found.jobs,
        completed=found.completed,
        failed=found.failed,
        cancelled=found.cancelled,
        success_rate=_rounded(found.success_rate, 4),
        jobs_per_hour=round(found.jobs / (length / HOUR), 3) if length else None,
        attempts=found.attempts,
        retried=found.retried,
        rescued=found.rescued,
        released=found.released,
        rows=found.rows,
        run_seconds=RunSeconds(
            total=round(found.run.total, 6),
            mean=_rounded(found.run.mean),
            p50=_percentile(found.run, 0.5),
            p95=_percentile(found.run, 0.95),
            p99=_percentile(found.run, 0.99),
            max=_rounded(found.run.longest),
        ),
        wait_seconds=WaitSeconds(
            mean=_rounded(found.wait.mean),
            p50=_percentile(found.wait, 0.5),
            p95=_percentile(found.wait, 0.95),
            p99=_percentile(found.wait, 0.99),
            max=_rounded(found.wait.longest),
        ),
        cpu_seconds=round(found.cpu_seconds, 6) if is_measured else None,
        cpu_seconds_per_job=(
            round(found.cpu_seconds / found.measured_jobs, 6) if found.measured_jobs else None
        ),
        cpu_seconds_per_1000_rows=(
            round(1000 * found.cpu_seconds / found.measured_rows, 6) if found.measured_rows else None
        ),
        memory_peak_bytes=found.memory_peak_bytes,
    )


def overview(
    scope: OwnerScope,
    wanted: OverviewRange,
    found: Buckets,
    *,
    pending: Sequence[Pending],
    running: Running,
    fleet: Fleet,
    marks: Sequence[Mark],
    ended_per_second: float,
) -> Overview:
    """Return what waits, runs and has ended."""
    completed = sum(bucket.completed for bucket in found.buckets)
    failed = sum(bucket.failed for bucket in found.buckets)
    return Overview(
        scope=scope,
        range=wanted,
        as_of=found.as_of,
        pending=_pending(pending, ended_per_second),
        running=RunningView(total=running.jobs, rows_per_second=round(running.rows_per_second, 3)),
        fleet=FleetView(workers=fleet.workers, slots=fleet.slots, busy=fleet.busy),
        ended=EndedView(
            completed=completed,
            failed=failed,
            cancelled=sum(bucket.cancelled for bucket in found.buckets),
            success_rate=_rounded(success_rate(completed, failed), 4),
            rescued=sum(bucket.rescued for bucket in found.buckets),
        ),
        queue_seconds=QueueSeconds(p50=_rounded(found.waited(0.5)), p95=_rounded(found.waited(0.95))),
        buckets=[_bucket(bucket) for bucket in found.buckets],
        marks=[
            MarkView(at=mark.at, code="worker_lost", worker=mark.worker, jobs=mark.jobs) for mark in marks
        ],
    )


def task_progress(job: Job) -> TaskProgress:
    """Return how far a job is."""
    return TaskProgress(
        task_id=job.id,
        progress_percent=job.progress,
        current_step=job.step,
        status=job.status,
        started_at=job.started_at,
        estimated_completion=job.estimated_completion(datetime.now(UTC)),
    )


def _group(by: By, group: Group, found: Statistics) -> StatsGroup:
    key = group.key
    length = found.as_of - found.since
    if by in _LENGTHS:
        begin = datetime.fromisoformat(key)
        length = min(begin + _LENGTHS[by], found.as_of) - max(begin, found.since)
    # The members that it lacks are not required.
    view: StatsGroup = {**figures(group.figures, length)}  # type: ignore[typeddict-item]
    match by:
        case By.KIND:
            view["kind"] = key
        case By.QUEUE:
            view["queue"] = key
        case By.MODEL:
            view["model"] = key or None
        case By.ERROR:
            view["error"] = key
            view["fault"] = None if key == OTHER_CODE else faults.fault_of(key)
            view["last_job_id"] = group.figures.last_job_id
        case By.HOUR:
            view["hour"] = datetime.fromisoformat(key)
        case By.DAY:
            view["day"] = datetime.fromisoformat(key)
        case By.USER:
            view["user_id"] = UUID(key)
            view["username"] = group.username
    return view


def _is_of_time(by: By | None) -> bool:
    return by is not None and by.is_of_time


def _pending(found: Sequence[Pending], ended_per_second: float) -> PendingView:
    total = min(sum(pending.jobs for pending in found), COUNTED)
    waits = [pending.oldest_seconds for pending in found if pending.oldest_seconds is not None]
    clear_seconds = total / ended_per_second if ended_per_second else None
    return PendingView(
        total=total,
        by_priority={pending.priority: pending.jobs for pending in found},
        oldest_seconds=_rounded(max(waits)) if waits else None,
        clear_seconds=_rounded(clear_seconds) if total else 0.0,
    )


def _bucket(bucket: Bucket) -> BucketView:
    return BucketView(
        at=bucket.at,
        completed=bucket.completed,
        failed=bucket.failed,
        cancelled=bucket.cancelled,
        queue_p50=_rounded(bucket.waited(0.5)),
        queue_p95=_rounded(bucket.waited(0.95)),
    )


def _queue(queue: Queue) -> QueueView:
    return QueueView(
        queue=queue.queue,
        due=queue.due,
        delayed=queue.delayed,
        running=queue.running,
        oldest_due_seconds=_rounded(queue.oldest_due_seconds),
    )


def _minute(minute: Minute) -> MinuteView:
    return MinuteView(
        minute=minute.at,
        completed=minute.completed,
        failed=minute.failed,
        cancelled=minute.cancelled,
        rows=minute.rows,
    )


def loop_view(loop: LoopState, now: datetime) -> LoopView:
    """How a background loop is doing."""
    at = loop.last_success_at
    return LoopView(
        loop=loop.name,
        is_healthy=loop.is_healthy,
        last_success_at=at,
        age_seconds=None if at is None else round(max((now - at).total_seconds(), 0), 1),
        rounds=loop.rounds,
        failures=loop.failures,
    )


def _percentile(durations: Durations, share: float) -> float | None:
    return _rounded(durations.percentile(share))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.2f}%"


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)
