"""The trials of a search, ranked."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.jobs.groups.queries import TrialJob
from app.jobs.groups.schemas import FoldOfTrial, SearchView, Trial
from app.jobs.searches import fold_scores
from app.jobs.searches.space import LOWER_IS_BETTER
from app.jobs.states import Status


def rank_trials(search: Mapping[str, Any], jobs: Sequence[TrialJob]) -> SearchView:
    """Return the search with its trials, best first; those without a value come last, in their order."""
    metric = search["metric"]
    folds = search.get("folds")
    if folds is None:
        trials = [_trial(job, metric) for job in jobs]
    else:
        trials = [_trial_with_folds(parts, folds, metric) for parts in _by_trial(jobs)]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    best = search.get("best_job_id")
    # Of equal ones, the version that has the alias comes first.
    trials.sort(key=lambda trial: str(trial["job_id"]) != best)
    trials.sort(key=lambda trial: (trial["value"] is None, sign * (trial["value"] or 0.0)))
    for rank, trial in enumerate(trials, 1):
        trial["rank"] = None if trial["value"] is None else rank
    return SearchView(
        metric=metric,
        best_job_id=search.get("best_job_id"),
        best_model=search.get("best_model"),
        best_value=search.get("best_value"),
        folds=folds,
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
        value=_value(job, metric),
        std=None,
        folds=[],
        metrics=job.metrics,
        model=job.model,
        error=job.error,
    )


def _by_trial(jobs: Sequence[TrialJob]) -> list[list[TrialJob]]:
    trials: dict[int, list[TrialJob]] = {}
    for job in jobs:
        assert job.part is not None  # noqa: S101  # of a search with folds
        trials.setdefault(job.part.trial, []).append(job)
    return list(trials.values())


def _trial_with_folds(jobs: Sequence[TrialJob], folds: int, metric: str | None) -> Trial:
    """Join the jobs of a trial. It has a value when all of them have completed."""
    tested = [(job.part.fold, job) for job in jobs if job.part is not None and job.part.fold is not None]
    trained = next((job for job in jobs if job.part is not None and job.part.fold is None), jobs[0])
    status = _status([job.status for job in jobs])
    # Those of an earlier trial may be deleted one after the other.
    is_complete = status is Status.COMPLETED and len(jobs) == folds + 1
    score = fold_scores.summarize([_value(job, metric) for _, job in tested]) if is_complete else None
    return Trial(
        rank=None,
        job_id=trained.id,
        status=status,
        progress=round(sum(job.progress for job in jobs) / len(jobs), 1),
        algorithm=trained.algorithm,
        params=trained.params,
        value=None if score is None else score.mean,
        std=None if score is None else score.std,
        folds=[
            FoldOfTrial(
                fold=fold, job_id=job.id, status=job.status, progress=job.progress, value=_value(job, metric)
            )
            for fold, job in tested
        ],
        metrics=_means([job.metrics or {} for _, job in tested]) if is_complete else None,
        model=trained.model,
        error=next((job.error for job in jobs if job.error is not None), None),
    )


def _status(statuses: Sequence[Status]) -> Status:
    """Return the status of a trial: while a job of it is open, it is running, unless none has started."""
    if all(status is Status.PENDING for status in statuses):
        return Status.PENDING
    if not all(status.is_final for status in statuses):
        return Status.RUNNING
    return next(
        (status for status in (Status.FAILED, Status.CANCELLED) if status in statuses), Status.COMPLETED
    )


def _means(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each metric, None where a fold has none."""
    names = dict.fromkeys(name for found in metrics for name in found)
    scores = {name: fold_scores.summarize([found.get(name) for found in metrics]) for name in names}
    return {name: None if score is None else score.mean for name, score in scores.items()}


def _value(job: TrialJob, metric: str | None) -> float | None:
    return None if job.metrics is None or metric is None else job.metrics.get(metric)
