"""The best trial of a search, decided as each trial completes, in the same transaction."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.jobs.groups import commands as groups
from app.jobs.searches.space import LOWER_IS_BETTER
from app.models import commands as models
from app.models.versions import ModelVersion

ALIAS: Final = "best"
"""The alias of the best version of a search: `name@best`."""


async def challenge(
    connection: asyncpg.Connection,
    group_id: UUID,
    job_id: UUID,
    version: ModelVersion,
    version_id: UUID,
    metrics: Mapping[str, Any],
) -> None:
    """Point the alias to this version if it is better than the best of its search so far."""
    search = await groups.lock_search(connection, group_id)
    if search is None:
        return
    metric = search["metric"] or default_metric(metrics)
    value = metrics.get(metric)
    if value is None or not is_better(metric, value, search.get("best_value")):
        return
    found = {"best_job_id": str(job_id), "best_model": version.reference, "best_value": value}
    await groups.store_search(connection, group_id, {**search, "metric": metric, **found})
    await models.set_alias(connection, version_id, ALIAS)


def default_metric(metrics: Mapping[str, Any]) -> str:
    """Return the metric to optimise if the request names none."""
    return "r2" if "r2" in metrics else "accuracy"


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Whether a value of this metric is better than another; None is worse than any value."""
    if than is None:
        return True
    return value < than if metric in LOWER_IS_BETTER else value > than
