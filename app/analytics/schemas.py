"""Responses of the routes of figures. Times are UTC, durations seconds."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.analytics.ranges import OverviewRange, OwnerScope, TimeRange
from app.jobs.schemas import JobView
from app.jobs.states import Status

Count = Annotated[int, Field(examples=[12])]
Seconds = Annotated[float, Field(examples=[4.951])]
Share = Annotated[float | None, Field(examples=[0.9867])]
Percent = Annotated[str, Field(examples=["1.25%"])]


class TaskAnalytics(TypedDict):
    """How jobs of a range have ended. `total_tasks_executed` ran and ended, in whichever way."""

    scope: OwnerScope
    range: TimeRange
    since: datetime
    as_of: datetime
    total_tasks_executed: Annotated[int, Field(examples=[1284])]
    successful_tasks: Annotated[int, Field(examples=[1260])]
    failed_tasks: Annotated[int, Field(examples=[17])]
    cancelled_tasks: Annotated[int, Field(examples=[7])]
    success_rate: Share
    average_execution_time: Annotated[str, Field(examples=["4.95s"])]
    average_execution_seconds: Seconds
    current_queue_size: Count
    peak_concurrent_tasks: Annotated[int, Field(examples=[8])]
    uptime: Annotated[str, Field(examples=["12.3 hours"])]
    uptime_seconds: Annotated[float, Field(examples=[44280.5])]


class QueueView(TypedDict):
    """The unfinished jobs of one queue, as last measured."""

    queue: Annotated[str, Field(examples=["default"])]
    due: Count
    delayed: Count
    running: Count
    oldest_due_seconds: Annotated[float | None, Field(examples=[0.8])]


class MinuteView(TypedDict):
    """What ended in one minute."""

    minute: datetime
    completed: Annotated[int, Field(examples=[250])]
    failed: Annotated[int, Field(examples=[2])]
    cancelled: Annotated[int, Field(examples=[0])]
    rows: Annotated[int, Field(examples=[25000])]


class LoopView(TypedDict):
    """A background loop of the answering process. `rounds` is null if it does not count them."""

    loop: Annotated[str, Field(examples=["rescue"])]
    is_healthy: Annotated[bool, Field(examples=[True])]
    last_success_at: datetime | None
    age_seconds: Annotated[float | None, Field(examples=[0.4])]
    rounds: Annotated[int | None, Field(examples=[8123])]
    failures: Annotated[int | None, Field(examples=[0])]


class SystemView(TypedDict):
    """How busy the machine of the answering process is."""

    cpu_percent: Annotated[float, Field(examples=[12.5])]
    memory_percent: Annotated[float, Field(examples=[41.0])]
    timestamp: datetime


class TaskPerformance(TypedDict):
    """The worker pool now. The rates are those of the last five whole minutes."""

    as_of: datetime
    cpu_usage: Annotated[float, Field(description="Percent of one core.", examples=[143.2])]
    memory_usage: Annotated[float, Field(description="Megabytes.", examples=[512.3])]
    active_workers: Annotated[int, Field(examples=[3])]
    tasks_per_second: Annotated[float, Field(examples=[4.2])]
    error_rate: Percent
    system_error_rate: Percent
    slots: Annotated[int, Field(examples=[6])]
    slots_busy: Annotated[int, Field(examples=[5])]
    utilization: Annotated[float | None, Field(examples=[0.83])]
    queues: list[QueueView]
    minutes: list[MinuteView]
    loops: list[LoopView]
    system: SystemView


class RunSeconds(TypedDict):
    """How long attempts ran. Percentiles are null where they are not kept."""

    total: Seconds
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class WaitSeconds(TypedDict):
    """How long attempts waited, from due to claimed. Percentiles are null where they are not kept."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class FiguresView(TypedDict):
    """Figures about ended attempts and the jobs that they ended. Costs are null where none was measured."""

    jobs: Count
    completed: Count
    failed: Count
    cancelled: Count
    success_rate: Share
    jobs_per_hour: Annotated[float | None, Field(examples=[53.5])]
    attempts: Count
    retried: Count
    rescued: Count
    released: Count
    rows: Count
    run_seconds: RunSeconds
    wait_seconds: WaitSeconds
    cpu_seconds: Annotated[float | None, Field(examples=[512.25])]
    cpu_seconds_per_job: Annotated[float | None, Field(examples=[0.42])]
    cpu_seconds_per_1000_rows: Annotated[float | None, Field(examples=[1.7])]
    memory_peak_bytes: Annotated[int | None, Field(examples=[210763776])]


class StatsGroup(FiguresView, total=False):
    """The figures of one group, under the name of what they are grouped by."""

    kind: Annotated[str, Field(examples=["train_model"])]
    queue: Annotated[str, Field(examples=["default"])]
    model: Annotated[str | None, Field(examples=["churn"])]
    error: Annotated[str, Field(examples=["time_limit"])]
    fault: Annotated[str | None, Field(examples=["user"])]
    last_job_id: UUID | None
    hour: datetime
    day: datetime
    user_id: UUID
    username: Annotated[str | None, Field(examples=["ada"])]


class StatsView(TypedDict):
    """Figures of a range: in total, in groups, and of all other groups together."""

    scope: OwnerScope
    range: TimeRange
    since: datetime
    as_of: datetime
    by: str | None
    totals: FiguresView
    groups: list[StatsGroup]
    other: FiguresView | None


class PendingView(TypedDict):
    """The jobs that wait. `clear_seconds` is about how long they take at the rate of the last minutes.

    For all users, each waiting shard counts as a job, and its parent does not: slots run shards.
    """

    total: Count
    by_priority: dict[str, int]
    oldest_seconds: float | None
    clear_seconds: float | None


class RunningView(TypedDict):
    """The jobs that run."""

    total: Count
    rows_per_second: Annotated[float, Field(examples=[820.5])]


class FleetView(TypedDict):
    """The live workers of the whole system."""

    workers: Count
    slots: Count
    busy: Count


class EndedView(TypedDict):
    """The jobs that ended in the range."""

    completed: Count
    failed: Count
    cancelled: Count
    success_rate: Share
    rescued: Count


class QueueSeconds(TypedDict):
    """How long attempts waited in the range."""

    p50: float | None
    p95: float | None


class BucketView(TypedDict):
    """What ended in one bucket of the range."""

    at: datetime
    completed: Count
    failed: Count
    cancelled: Count
    queue_p50: float | None
    queue_p95: float | None


class MarkView(TypedDict):
    """Attempts that were taken from one lost worker in one minute."""

    at: datetime
    code: Annotated[str, Field(examples=["worker_lost"])]
    worker: Annotated[str | None, Field(examples=["worker-1"])]
    jobs: Count


class Overview(TypedDict):
    """What waits, runs and has ended. Counts of waiting and running jobs end at 10 001."""

    scope: OwnerScope
    range: OverviewRange
    as_of: datetime
    pending: PendingView
    running: RunningView
    fleet: FleetView
    ended: EndedView
    queue_seconds: QueueSeconds
    buckets: list[BucketView]
    marks: list[MarkView]


class ActiveTasks(TypedDict):
    """Running jobs, the latest start first; `next_cursor` is null on the last page."""

    active_tasks: list[JobView]
    total_count: Count
    next_cursor: str | None


class TaskProgress(TypedDict):
    """How far a job is."""

    task_id: UUID
    progress_percent: Annotated[float, Field(examples=[62.5])]
    current_step: Annotated[str | None, Field(examples=["Batch 5/8"])]
    status: Status
    started_at: datetime | None
    estimated_completion: datetime | None
