"""Prometheus metrics with their labels. No label holds a user, a job id or a raw path."""

import os
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import (
    GC_COLLECTOR,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    values,
)

from app.core.component import Component
from app.core.errors import ConfigurationError
from app.core.version import VERSION

MULTIPROCESS_VARIABLES: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")

# Whatever those variables say: metrics that write files would do so now, before the process can refuse to
# start.
values.ValueClass = values.MutexValue

disable_created_metrics()  # type: ignore[no-untyped-call]  # series that no query reads
REGISTRY.unregister(GC_COLLECTOR)

MAX_QUEUES: Final = 40
OTHER_QUEUE: Final = "other"
"""The label of the queues that have none of their own."""


class QueueLabels:
    """The queues that have a label of their own, at most MAX_QUEUES.

    Requests may name any queue. One gets its label when a worker serves it or a kind defaults to it, and
    keeps it as long as the process runs: a counter must not continue under another name.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}  # in the order in which they were admitted

    @property
    def names(self) -> tuple[str, ...]:
        """The queues that have a label."""
        return tuple(self._names)

    def admit(self, names: Iterable[str], limit: int = MAX_QUEUES) -> list[str]:
        """Give these queues a label while fewer than `limit` queues have one. Returns the new ones."""
        new = [name for name in dict.fromkeys(names) if name not in self._names]
        new = new[: max(0, min(limit, MAX_QUEUES) - len(self._names))]
        self._names.update(dict.fromkeys(new))
        return new

    def label(self, name: str) -> str:
        """Return the value of the label `queue` for a queue."""
        return name if name in self._names else OTHER_QUEUE


class OptionalGauge(Gauge):
    """A gauge without labels that has no sample until it is set: 0 would be wrong."""

    _is_set = False

    def set(self, value: float) -> None:
        """Set the value."""
        self._is_set = True
        super().set(value)

    def set_function(self, f: Callable[[], float]) -> None:
        """Have each scrape call a function for the value."""
        self._is_set = True
        super().set_function(f)

    def collect(self) -> Iterable[Metric]:
        """Return the metric, with its sample once it has one."""
        return super().collect() if self._is_set else self.describe()


queue_labels: Final = QueueLabels()
queue_label: Final = queue_labels.label

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Fewer, because there is one histogram for each route. 0.25 is the objective for submitting a job.
_REQUEST = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LOOP = (0.001, 0.01, 0.1, 0.5, 2.5, 10.0)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_UP_TO_A_DAY = (*_LONG, 7200.0, 21_600.0, 86_400.0)  # a training runs for hours

BUILD_INFO = Gauge("headrace_build_info", "1, with the component and the version.", ("component", "version"))

REQUESTS = Counter(
    "headrace_http_requests",
    "HTTP requests, by method, route template and status.",
    ("method", "route", "status"),
)
REQUESTS_IN_FLIGHT = Gauge("headrace_http_requests_in_flight", "HTTP requests that this process is serving.")
CONNECTIONS_REFUSED = Counter(
    "headrace_connections_refused",
    "Connections closed with an error before a request was read, by code.",
    ("code",),
)
REQUEST_SECONDS = Histogram(
    "headrace_http_request_seconds",
    "Time from a request to the start of its response, by method and route template, "
    "except of requests that wait for a job.",
    ("method", "route"),
    buckets=_REQUEST,
)
PASSWORD_SECONDS = Histogram(
    "headrace_password_seconds",
    "Time to hash or verify one password, excluding the wait for a thread.",
    buckets=_SHORT,
)
SIGN_INS = Counter("headrace_sign_ins", "Attempts to sign in, by result.", ("result",))

JOBS_CREATED = Counter("headrace_jobs_created", "Jobs created, by kind and queue.", ("kind", "queue"))
JOBS_ENDED = Counter(
    "headrace_jobs_ended",
    "Jobs that ended, by kind, queue, final status and fault: none, user or system.",
    ("kind", "queue", "status", "fault"),
)
ATTEMPTS = Counter(
    "headrace_attempts",
    "Attempts that ended, by kind, outcome and fault: none, user or system.",
    ("kind", "outcome", "fault"),
)
ATTEMPT_SECONDS = Histogram(
    "headrace_attempt_seconds", "Duration of an attempt, by kind.", ("kind",), buckets=_UP_TO_A_DAY
)
WAIT_SECONDS = Histogram(
    "headrace_wait_seconds", "Time from a job's due time to its claim, by queue.", ("queue",), buckets=_LONG
)
BATCH_SECONDS = Histogram(
    "headrace_batch_seconds",
    "Time a child process took to compute one batch, by kind.",
    ("kind",),
    buckets=_LONG,
)
COMMIT_SECONDS = Histogram(
    "headrace_commit_seconds",
    "Duration of one commit statement, which may contain several batches.",
    buckets=_SHORT,
)
COMMIT_BATCHES = Histogram(
    "headrace_commit_batches", "Batches in one commit statement.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
ROWS = Counter("headrace_rows", "Rows committed by attempts, by kind.", ("kind",))
CPU_SECONDS = Counter(
    "headrace_cpu_seconds", "Processor time that child processes used for attempts, by kind.", ("kind",)
)
CLAIMS = Counter("headrace_claims", "Claims, by result: a job, or an empty queue.", ("result",))

SLOTS = OptionalGauge("headrace_worker_slots", "Slots of this worker.")
SLOTS_BUSY = OptionalGauge("headrace_worker_slots_busy", "Slots of this worker that are running a job.")
CHILD_DEATHS = Counter(
    "headrace_child_deaths", "Child processes that died or were killed, by reason.", ("reason",)
)
CHILD_MEMORY_BYTES = OptionalGauge(
    "headrace_child_memory_bytes", "Memory of the largest child process right now."
)
CHILD_MEMORY_LIMIT_BYTES = OptionalGauge(
    "headrace_child_memory_limit_bytes", "Memory limit of each child process."
)
ENGINE_HOSTS = Gauge(
    "headrace_engine_hosts",
    "Hosts of this worker, by state: starting, idle, busy or ending.",
    ("state",),
)
LEASE_AGE_SECONDS = OptionalGauge(
    "headrace_lease_age_seconds", "Time since this worker last renewed its lease."
)
TOKENS_RESTORED = Counter(
    "headrace_tokens_restored",
    "Wake tokens added to Redis because they were missing: lost, or jobs became due.",
)
TOKENS_REFUSED = Counter(
    "headrace_tokens_refused", "Queue keys removed from Redis because their type was wrong."
)

QUEUE_OLDEST_SECONDS = Gauge(
    "headrace_queue_oldest_seconds",
    "Time that the oldest due job has been waiting for a slot, by queue.",
    ("queue",),
)
JOBS_ACTIVE = Gauge(
    "headrace_jobs_active", "Pending and running jobs, by kind and status.", ("kind", "status")
)
QUEUE_JOBS = Gauge(
    "headrace_queue_jobs",
    "Jobs that are due, delayed, paused or running, by queue and priority.",
    ("queue", "priority", "state"),
)
QUEUE_SLOTS = Gauge(
    "headrace_queue_slots", "Slots of the live workers that serve a queue, busy or idle.", ("queue", "state")
)
WORKERS = Gauge("headrace_workers", "Workers, by state: live, draining or lost.", ("state",))
DEAD_LETTERS = Gauge("headrace_dead_letters", "Failed jobs that wait for a decision, by kind.", ("kind",))
DATABASE_BYTES = OptionalGauge("headrace_database_bytes", "Size of the database.")
QUEUE_STATS_TIMESTAMP = OptionalGauge(
    "headrace_queue_stats_timestamp_seconds", "Unix time at which the queues were last measured."
)
STATISTICS_FOLDED_TIMESTAMP = OptionalGauge(
    "headrace_statistics_folded_timestamp_seconds", "Unix time up to which ended jobs are in the statistics."
)

DELIVERIES = Counter(
    "headrace_deliveries",
    "Tries of deliveries, by channel and outcome: delivered, retry, failed, dropped or put_back.",
    ("channel", "outcome"),
)
DELIVERY_SECONDS = Histogram(
    "headrace_delivery_seconds", "Duration of one try of a delivery, by channel.", ("channel",), buckets=_LONG
)
DELIVERY_OLDEST_SECONDS = Gauge(
    "headrace_delivery_oldest_seconds",
    "Time that the oldest delivery has been due, by channel, except of subscriptions that are held.",
    ("channel",),
)
SUBSCRIPTIONS = Gauge(
    "headrace_subscriptions", "Subscriptions, by channel and status.", ("channel", "status")
)

POSTGRES_UP = Gauge("headrace_postgres_up", "1 while Postgres answers this process, else 0.")
POSTGRES_CONNECTIONS = Gauge(
    "headrace_postgres_pool_connections", "Connections of this process to Postgres, by state.", ("state",)
)
POSTGRES_WAIT_SECONDS = Histogram(
    "headrace_postgres_pool_wait_seconds", "Time to get a connection from the pool.", buckets=_SHORT
)
POSTGRES_ERRORS = Counter(
    "headrace_postgres_errors",
    "Failures to use Postgres, by reason: pool, connection, time_limit.",
    ("reason",),
)
REDIS_UP = Gauge("headrace_redis_up", "1 while Redis is available to this process, else 0.")
MAIL_UP = OptionalGauge(
    "headrace_mail_up", "1 if the SMTP server was usable for the last message of this process, else 0."
)
SPANS_DROPPED = Counter(
    "headrace_spans_dropped", "Spans dropped: the queue was full, or the collector did not take them."
)
SCHEDULE_FIRINGS = Counter(
    "headrace_schedule_firings", "Ticks of schedules, by what became of them.", ("outcome",)
)
SCHEDULE_LATENESS_SECONDS = Histogram(
    "headrace_schedule_lateness_seconds",
    "Time from a tick to its job, of ticks that were on time.",
    buckets=_SHORT,
)
SCHEDULES = Gauge("headrace_schedules", "Schedules, by status.", ("status",))
HINTS_REFUSED = Counter("headrace_hints_refused", "Hints rejected because their signature is invalid.")
HINTS_DROPPED = Counter("headrace_hints_dropped", "Hints and wake tokens that could not be sent.")
LOOP_LAST_SUCCESS = Gauge(
    "headrace_loop_last_success_timestamp_seconds",
    "Unix time at which a background loop last succeeded, by loop.",
    ("loop",),
)
LOOP_ROUNDS = Counter(
    "headrace_loop_rounds",
    "Rounds of a maintenance loop, by loop and result: done, left to another process, or failed.",
    ("loop", "result"),
)
LOOP_SECONDS = Histogram(
    "headrace_loop_seconds", "Duration of a round of a maintenance loop, by loop.", ("loop",), buckets=_LOOP
)
EVENT_LOOP_LAG_SECONDS = Histogram(
    "headrace_event_loop_lag_seconds", "How late the event loop runs a callback that is due.", buckets=_SHORT
)
FILES_SWEPT = Counter("headrace_files_swept", "Unreferenced files deleted from storage.")
JOBS_RESCUED = Counter("headrace_jobs_rescued", "Running jobs recovered from workers with an expired lease.")
STREAMS_OPEN = Gauge("headrace_streams_open", "Open event streams, by transport.", ("transport",))
STREAM_RESYNCS = Counter("headrace_stream_resyncs", "Gaps in hints that a stream filled from the event log.")
STREAM_EVENTS = Counter("headrace_stream_events", "Events written to streams, by transport.", ("transport",))
STREAM_LAG_SECONDS = Histogram(
    "headrace_stream_lag_seconds",
    "Time from the start of the transaction that wrote an event to its write to the client, by transport.",
    ("transport",),
    buckets=_SHORT,
)


def describe_process(component: Component) -> None:
    """Publish the component and the version of this process.

    Raises ConfigurationError in the multiprocess mode of prometheus-client, which drops exemplars and leaves
    files behind. Every process of Headrace has a page of its own.
    """
    for name in MULTIPROCESS_VARIABLES:
        if name in os.environ:
            raise ConfigurationError(f"{name} must not be set: each process serves its own metrics")
    BUILD_INFO.labels(component, VERSION).set(1)


class _Traces:
    """Where exemplars come from: nowhere, until tracing is on."""

    def __init__(self) -> None:
        self.read_id: Callable[[], str | None] = lambda: None


_traces: Final = _Traces()


def take_exemplars_from(read_trace_id: Callable[[], str | None]) -> None:
    """Have observations name the trace that this function returns: that of the current sampled span."""
    _traces.read_id = read_trace_id


def exemplar(trace_id: str | None = None) -> dict[str, str] | None:
    """Return the exemplar of an observation: this trace, else the current one; None without a sampled one."""
    trace_id = trace_id or _traces.read_id()
    return None if trace_id is None else {"trace_id": trace_id}


def counters(counter: Counter, values: Iterable[str]) -> dict[str, Counter]:
    """Create the children of a counter with one label, so that `rate()` sees the first event of each."""
    return {value: counter.labels(value) for value in values}
