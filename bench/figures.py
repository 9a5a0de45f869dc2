"""Which figures there are, and which script measures each."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Figure:
    """One promise about speed, memory or time, and what it is held against in the same run."""

    script: str
    what: str
    reference: str


FIGURES: Final = (
    Figure(
        "submit",
        "`POST /jobs/batch-predict`, 16 connections, requests/s",
        "a bare FastAPI + asyncpg route that inserts one row",
    ),
    Figure("pickup", "create → running on an idle system", "bare ARQ with its defaults"),
    Figure(
        "small_jobs",
        "small jobs end to end over HTTP, 16 connections, one worker",
        "FastAPI + Celery (prefork, two processes) + Redis as tutorials build it",
    ),
    Figure("predict", "`POST /predict`: the built-in model, a user's, two users in turn", "none"),
    Figure("rows", "rows/s of a 100 000-row batch job", "a bare loop over the same model in one process"),
    Figure(
        "million",
        "1 000 000 rows of a CSV through a linear model: rows/s, memory, exact after a kill",
        "a bare loop over the same model in one process",
    ),
    Figure(
        "streams", "commit → client; 2000 open streams; the clock; the stop", "polling the row each second"
    ),
    Figure(
        "recovery", "SIGKILL → running elsewhere, and what is computed again", "ARQ and Celery, by default"
    ),
    Figure("cancel", "cancel of a busy job → stopped", "a sibling that nobody disturbs"),
    Figure("growth", "lists, claim, explain, prune at 1 000 000 jobs", "the same at 1 000"),
    Figure("cost", "an idle system: processor, Redis, memory, start", "none"),
    Figure("dataset_memory", "memory while a 1 GB dataset goes through", "none"),
    Figure("bodies", "`/health/live` and memory beside the largest and worst bodies", "an idle API"),
    Figure("text_memory", "memory of the API for a 25 MiB CSV: upload, prediction, downloads", "none"),
)
"""In the order of docs/performance.md."""
