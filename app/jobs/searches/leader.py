"""Keeps the alias `best` on the best trial of a search, in the transaction that completes each trial.

A trial with folds completes with the last of its jobs. All of them first lock the search, so of two that
complete at the same moment the second one sees the first.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from app.jobs.groups import commands as groups
from app.jobs.groups import queries
from app.jobs.groups.queries import CompletedPart
from app.jobs.params import TrialPart
from app.jobs.searches import fold_scores
from app.jobs.searches.space import BEST_ALIAS, LOWER_IS_BETTER
from app.jobs.transition_types import ClaimedJob
from app.models import commands as models
from app.models.versions import ModelVersion


async def promote_if_best(
    connection: asyncpg.Connection,
    group_id: UUID,
    job_id: UUID,
    version: ModelVersion,
    version_id: UUID,
    metrics: Mapping[str, Any],
) -> None:
    """Point the alias to this version if it beats the best trial of its search so far."""
    search = await groups.lock_search(connection, group_id)
    if search is None:
        return
    metric = search["metric"] or default_metric(metrics)
    value = metrics.get(metric)
    if value is None or not is_better(metric, value, search.get("best_value")):
        return
    best = {"best_job_id": str(job_id), "best_model": version.reference, "best_value": value}
    await groups.store_search(connection, group_id, {**search, "metric": metric, **best})
    await models.set_alias(connection, version_id, BEST_ALIAS)


async def lock(connection: asyncpg.Connection, job: ClaimedJob) -> None:
    """Lock the search of a job with folds until the commit.

    Every job of a trial with folds does so before it locks the model, so that two of them never deadlock.
    """
    if job.group_id is not None:
        await groups.lock_search(connection, job.group_id)


async def challenge(
    connection: asyncpg.Connection, job: ClaimedJob, name: str, part: TrialPart, own: CompletedPart
) -> None:
    """Settle the trial of a job if it is the last of its jobs: its version becomes the best if its mean is.

    `own` is what this job has measured or registered, a version of the model `name`. The caller has locked
    the search.
    """
    if job.group_id is None or (search := await groups.lock_search(connection, job.group_id)) is None:
        return
    if own.fold is not None and search["metric"] is None:
        search = {**search, "metric": default_metric(own.metrics)}
        await groups.store_search(connection, job.group_id, search)
    others = await queries.completed_parts(connection, job.group_id, part.trial, other_than=job.id)
    if len(others) < part.folds:
        return
    trained = _trained([*others, own])
    metric = search["metric"]
    score = fold_scores.summarize([done.metrics.get(metric) for done in (*others, own) if done.fold])
    if score is None or not is_better(metric, score.mean, search.get("best_value")):
        return
    assert trained.version_id is not None  # noqa: S101  # it has completed
    if not await models.set_alias_of_version(connection, job.owner_id, name, BEST_ALIAS, trained.version_id):
        return  # deleted in the meantime
    best = {"best_job_id": str(trained.job_id), "best_model": trained.model, "best_value": score.mean}
    await groups.store_search(connection, job.group_id, {**search, **best})


def _trained(parts: Sequence[CompletedPart]) -> CompletedPart:
    [trained] = [done for done in parts if done.fold is None]
    return trained


def default_metric(metrics: Mapping[str, Any]) -> str:
    """Return the metric to optimise if the request names none."""
    return "r2" if "r2" in metrics else "accuracy"


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Whether a value of this metric is better than the best so far; None means that there is none yet."""
    if best is None:
        return True
    return value < best if metric in LOWER_IS_BETTER else value > best
