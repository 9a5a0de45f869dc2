"""Keeps the alias `best` on the best trial of a search, in the transaction that completes each trial."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from app.jobs.groups import commands as groups
from app.jobs.searches.space import BEST_ALIAS, LOWER_IS_BETTER
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


def default_metric(metrics: Mapping[str, Any]) -> str:
    """Return the metric to optimise if the request names none."""
    return "r2" if "r2" in metrics else "accuracy"


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Whether a value of this metric is better than the best so far; None means that there is none yet."""
    if best is None:
        return True
    return value < best if metric in LOWER_IS_BETTER else value > best
