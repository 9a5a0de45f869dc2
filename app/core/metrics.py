"""Prometheus metrics with their labels. No label holds a user, a job id or a raw path."""

from prometheus_client import Counter, Gauge, Histogram

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

REQUEST_SECONDS = Histogram(
    "headrace_http_request_seconds",
    "Time from the request to the start of its response, by method, route template and status.",
    ("method", "route", "status"),
    buckets=_SHORT,
)
PASSWORD_SECONDS = Histogram(
    "headrace_password_seconds",
    "Time to hash or verify one password, excluding the wait for a thread.",
    buckets=_SHORT,
)
JOBS_CREATED = Counter("headrace_jobs_created", "Jobs created, by kind and queue.", ("kind", "queue"))
JOBS_ENDED = Counter(
    "headrace_jobs_ended", "Jobs that ended on this worker, by kind and final status.", ("kind", "status")
)
ATTEMPTS = Counter(
    "headrace_attempts", "Attempts that ended on this worker, by kind and outcome.", ("kind", "outcome")
)
ATTEMPT_SECONDS = Histogram(
    "headrace_attempt_seconds", "Duration of an attempt, by kind.", ("kind",), buckets=_LONG
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
SLOTS = Gauge("headrace_worker_slots", "Slots of this worker.")
SLOTS_BUSY = Gauge("headrace_worker_slots_busy", "Slots of this worker that are running a job.")
CHILD_DEATHS = Counter(
    "headrace_child_deaths", "Child processes that died or were killed, by reason.", ("reason",)
)
TOKENS_REFUSED = Counter(
    "headrace_tokens_refused", "Queue keys removed from Redis because their type was wrong."
)

QUEUE_DEPTH = Gauge("headrace_queue_depth", "Due jobs that are waiting for a slot, by queue.", ("queue",))
QUEUE_OLDEST_SECONDS = Gauge(
    "headrace_queue_oldest_seconds",
    "Time that the oldest due job has been waiting for a slot, by queue.",
    ("queue",),
)
JOBS_ACTIVE = Gauge(
    "headrace_jobs_active", "Pending and running jobs, by kind and status.", ("kind", "status")
)
WORKERS_ALIVE = Gauge("headrace_workers_alive", "Workers with an unexpired lease.")

REDIS_UP = Gauge("headrace_redis_up", "1 while Redis is available to this process, else 0.")
HINTS_REFUSED = Counter("headrace_hints_refused", "Hints rejected because their signature is invalid.")
HINTS_DROPPED = Counter("headrace_hints_dropped", "Hints and wake tokens that could not be sent.")
LOOP_LAST_SUCCESS = Gauge(
    "headrace_loop_last_success_timestamp_seconds",
    "Unix time at which a maintenance loop last succeeded, by loop.",
    ("loop",),
)
FILES_SWEPT = Counter("headrace_files_swept", "Unreferenced files deleted from storage.")
JOBS_RESCUED = Counter("headrace_jobs_rescued", "Running jobs recovered from workers with an expired lease.")
STREAMS_OPEN = Gauge("headrace_streams_open", "Open event streams, by transport.", ("transport",))
STREAM_RESYNCS = Counter("headrace_stream_resyncs", "Gaps in hints that a stream filled from the event log.")
