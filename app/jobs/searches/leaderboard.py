"""The trials of a search, ranked."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.jobs.groups.schemas import SearchView, Trial
from app.jobs.searches.space import LOWER_IS_BETTER
from app.jobs.states import Status


def of(search: Mapping[str, Any], rows: Sequence[Any]) -> SearchView:
    """The search with its trials, the best first; those without a value come last, in their order."""
    metric = search["metric"]
    trials = [_trial(row, metric) for row in rows]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    trials.sort(key=lambda trial: (trial["value"] is None, sign * (trial["value"] or 0.0)))
    for place, trial in enumerate(trials, 1):
        trial["rank"] = None if trial["value"] is None else place
    return SearchView(
        metric=metric,
        best_job_id=search.get("best_job_id"),
        best_model=search.get("best_model"),
        best_value=search.get("best_value"),
        leaderboard=trials,
    )


def _trial(row: Any, metric: str | None) -> Trial:
    metrics = row["metrics"]
    return Trial(
        rank=None,
        job_id=row["id"],
        status=Status(row["status"]),
        progress=row["progress"],
        params=row["params"],
        value=None if metrics is None or metric is None else metrics.get(metric),
        metrics=metrics,
        model=row["model"],
        error=row["error"],
    )
