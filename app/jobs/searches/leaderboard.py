"""The trials of a search, ranked."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.jobs.groups.queries import TrialJob
from app.jobs.groups.schemas import SearchView, Trial
from app.jobs.searches.space import LOWER_IS_BETTER


def rank_trials(search: Mapping[str, Any], jobs: Sequence[TrialJob]) -> SearchView:
    """Return the search with its trials, best first; those without a value come last, in their order."""
    metric = search["metric"]
    trials = [_trial(job, metric) for job in jobs]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    trials.sort(key=lambda trial: (trial["value"] is None, sign * (trial["value"] or 0.0)))
    for rank, trial in enumerate(trials, 1):
        trial["rank"] = None if trial["value"] is None else rank
    return SearchView(
        metric=metric,
        best_job_id=search.get("best_job_id"),
        best_model=search.get("best_model"),
        best_value=search.get("best_value"),
        leaderboard=trials,
    )


def _trial(job: TrialJob, metric: str | None) -> Trial:
    return Trial(
        rank=None,
        job_id=job.id,
        status=job.status,
        progress=job.progress,
        algorithm=job.algorithm,
        params=job.params,
        value=None if job.metrics is None or metric is None else job.metrics.get(metric),
        metrics=job.metrics,
        model=job.model,
        error=job.error,
    )
