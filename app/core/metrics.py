"""Every metric that Prometheus scrapes, with the labels it may have. No user, no job id, no raw path."""

from prometheus_client import Counter, Gauge, Histogram

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

REQUEST_SECONDS = Histogram(
    "headrace_http_request_seconds",
    "Time from a request to the start of its answer, by route template and status.",
    ("method", "route", "status"),
    buckets=_SHORT,
)
PASSWORD_SECONDS = Histogram(
    "headrace_password_seconds",
    "Time to hash or check one password, without the wait for a thread.",
    buckets=_SHORT,
)
JOBS_CREATED = Counter("headrace_jobs_created", "Jobs accepted.", ("kind", "queue"))
JOBS_ENDED = Counter("headrace_jobs_ended", "Jobs that ended on this worker.", ("kind", "status"))
ATTEMPTS = Counter(
    "headrace_attempts", "Attempts that ended on this worker, by outcome.", ("kind", "outcome")
)
ATTEMPT_SECONDS = Histogram(
    "headrace_attempt_seconds", "Duration of an attempt, by kind.", ("kind",), buckets=_LONG
)
WAIT_SECONDS = Histogram(
    "headrace_wait_seconds", "Time from due to claimed, by queue.", ("queue",), buckets=_LONG
)
BATCH_SECONDS = Histogram(
    "headrace_batch_seconds", "Time a child took to compute one batch, by kind.", ("kind",), buckets=_LONG
)
COMMIT_SECONDS = Histogram(
    "headrace_commit_seconds",
    "Time one commit statement took, however many batches it carried.",
    buckets=_SHORT,
)
COMMIT_BATCHES = Histogram(
    "headrace_commit_batches", "Batches in one commit statement.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
SLOTS = Gauge("headrace_worker_slots", "Slots of this worker.")
SLOTS_BUSY = Gauge("headrace_worker_slots_busy", "Slots of this worker that run a job.")
CHILD_DEATHS = Counter("headrace_child_deaths", "Children that were killed or died, by reason.", ("reason",))
TOKENS_REFUSED = Counter("headrace_tokens_refused", "Wake tokens that were not ours to read.")

QUEUE_DEPTH = Gauge("headrace_queue_depth", "Jobs that are due and wait, by queue.", ("queue",))
QUEUE_OLDEST_SECONDS = Gauge(
    "headrace_queue_oldest_seconds",
    "How long the job that is due for longest has waited, by queue.",
    ("queue",),
)
JOBS_ACTIVE = Gauge("headrace_jobs_active", "Jobs that are pending or running, by kind.", ("kind", "status"))
WORKERS_ALIVE = Gauge("headrace_workers_alive", "Workers whose lease holds.")

REDIS_UP = Gauge("headrace_redis_up", "1 while Redis answers this process.")
HINTS_REFUSED = Counter("headrace_hints_refused", "Hints that none of our processes has signed.")
HINTS_DROPPED = Counter("headrace_hints_dropped", "Hints that could not be sent.")
LOOP_LAST_SUCCESS = Gauge(
    "headrace_loop_last_success_timestamp_seconds", "When a keeper loop last succeeded.", ("loop",)
)
FILES_SWEPT = Counter("headrace_files_swept", "Files in storage that nothing referred to any more.")
JOBS_RESCUED = Counter("headrace_jobs_rescued", "Running jobs taken from workers that were gone.")
STREAMS_OPEN = Gauge("headrace_streams_open", "Event streams that are open.", ("transport",))
STREAM_RESYNCS = Counter("headrace_stream_resyncs", "Times a stream went back to the log to fill a gap.")
