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
        "pickup", "Time from creating a job until it runs, on an idle system", "ARQ with default settings"
    ),
    Figure(
        "small_jobs",
        "Small jobs end to end over HTTP, 16 connections, one worker",
        "FastAPI + Celery (prefork, two processes) + Redis, built as in tutorials",
    ),
    Figure("predict", "`POST /predict`: built-in model, uploaded model, two users alternating", "none"),
    Figure("rows", "Rows/s of a 100 000-row batch job", "a bare loop over the same model in one process"),
    Figure(
        "million",
        "A linear model on 1 000 000 rows of a CSV: rows/s, memory, correctness after a kill",
        "a bare loop over the same model in one process",
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
    Figure("growth", "Lists, claim, explain and prune at 1 000 000 jobs", "the same queries at 1 000 jobs"),
    Figure("cost", "An idle system: CPU, Redis, memory, start-up", "none"),
    Figure("dataset_memory", "Memory while a 1 GB dataset is processed", "none"),
    Figure("bodies", "`/health/live` and memory under the largest and worst bodies", "an idle API"),
    Figure("text_memory", "API memory for a 25 MiB CSV: upload, prediction, downloads", "none"),
)
"""In the order of docs/performance.md."""
