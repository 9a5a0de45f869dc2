"""The list of benchmarks."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Figure:
    """One benchmark: its script, what it measures, and the reference that runs beside it."""

    script: str
    what: str
    reference: str


FIGURES: Final = (
    Figure(
        "submit",
        "`POST /jobs/batch-predict`, 16 connections, requests/s",
        "a bare FastAPI + asyncpg route that inserts one row",
    ),
    Figure(
        "pickup",
        "Time from creating a job until it runs, on an idle system",
        "ARQ and PgQueuer with default settings",
    ),
    Figure(
        "small_jobs",
        "Small jobs end to end over HTTP, 16 connections, one worker",
        "FastAPI + Celery (prefork, two processes) + Redis, as in tutorials; the same with Procrastinate",
    ),
    Figure("predict", "`POST /predict`: built-in model, uploaded model, two users alternating", "none"),
    Figure(
        "lane",
        "`POST /predict` while a training runs in every slot: with a lane and without",
        "the same requests on an idle worker",
    ),
    Figure("rows", "Rows/s of a 100 000-row batch job", "a bare loop over the same model in one process"),
    Figure("profiles", "Rows/s of a batch job with a profile", "the same job without one"),
    Figure(
        "million",
        "A linear model on 1 000 000 rows of a CSV: rows/s, memory, correctness after a kill",
        "a bare loop over the same model in one process",
    ),
    Figure(
        "mixed_rows",
        "Pipelines over numbers, categories and texts with gaps, 200 000 rows of a CSV: rows/s",
        "a bare loop over the same Parquet file and pipeline that writes NDJSON",
    ),
    Figure(
        "shards",
        "One job over two slots, and 1000 shards in SQL: create, roll up, cancel, a claim beside them",
        "the same job on one slot; the claim without shards",
    ),
    Figure(
        "streams",
        "Event streams: latency from commit to client, 2000 open streams, clock, shutdown",
        "an endpoint that polls the row every second",
    ),
    Figure(
        "recovery",
        "Time from SIGKILL of a worker until its job runs elsewhere, and batches recomputed",
        "ARQ and Celery with default settings",
    ),
    Figure("cancel", "Time to stop a busy job after its cancel", "an undisturbed job"),
    Figure(
        "notifications",
        "Notifications: cost for a job that settles, time from commit to receiver, deliveries/s",
        "the statement that completes a job without its part for notifications",
    ),
    Figure(
        "analytics",
        "Figures about jobs at 1 000 000 jobs, and while 1000 attempts end per second",
        "the same figures at 1 000 jobs",
    ),
    Figure("growth", "Lists, claim, explain and prune at 1 000 000 jobs", "the same queries at 1 000 jobs"),
    Figure(
        "fairness",
        "Turns between users: time of a claim, throughput, and B's wait behind 100 000 jobs of A",
        "the claim of `CLAIM_ORDER=priority`; ARQ and Celery with one queue",
    ),
    Figure(
        "schedules", "Firing schedules: from a tick to its job, and 10 000 that are due in one second", "none"
    ),
    Figure(
        "dashboard",
        "The dashboard in Chromium: first paint, frames/s and memory with 10 000 jobs and 200 events/s",
        "an empty page",
    ),
    Figure("cost", "An idle system: CPU, Redis, memory, start-up", "none"),
    Figure("dataset_memory", "Memory while a 1 GB dataset is processed", "none"),
    Figure("bodies", "`/health/live` and memory under the largest and worst bodies", "an idle API"),
    Figure("sign_ins", "`/health/live` and memory while 120 clients sign in", "an idle API"),
    Figure(
        "transfers",
        "Uploads of 8 bytes and of a CSV of 50 MB, downloads of 250 000 results",
        "`read_csv` and `write_table` of pyarrow; the same results written from memory",
    ),
    Figure("text_memory", "API memory for a 25 MiB CSV: upload, prediction, downloads", "none"),
)
"""In the order of docs/performance.md."""
