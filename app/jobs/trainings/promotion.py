"""Moves an alias to a trained version that beats the version that has it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

import asyncpg

from app.jobs.params import Promotion
from app.jobs.searches import leader
from app.models import commands, queries
from app.models.versions import EvaluatedVersion, ModelVersion


class Verdict(StrEnum):
    """Why an alias was moved to the new version, or not."""

    FIRST = "first"
    BETTER = "better"
    NOT_BETTER = "not_better"
    NO_VALUE = "no_value"
    """The new version has no value of the metric."""
    NOT_COMPARABLE = "not_comparable"
    """The version that has the alias has no value of the metric, for it was uploaded, or has another task."""

    @property
    def moves_the_alias(self) -> bool:
        """Whether the new version takes the alias."""
        return self in (Verdict.FIRST, Verdict.BETTER)


class PromotionResult(TypedDict):
    """The member `promotion` of a training's result: what was compared, and whether the alias was moved."""

    alias: str
    metric: str
    value: float | None
    previous_model: str | None
    previous_value: float | None
    promoted: bool
    reason: Verdict


async def promote_if_better(
    connection: asyncpg.Connection,
    version: ModelVersion,
    version_id: UUID,
    promotion: Promotion,
    metrics: Mapping[str, Any],
) -> PromotionResult:
    """Point the alias to this version if it beats the version that has it, or if there is none.

    Call it in the transaction that registered the version: that holds the lock of the model, so that
    trainings of one model compare one after the other.
    """
    metric = promotion.metric or leader.default_metric(metrics)
    value = metrics.get(metric)
    previous = await queries.aliased(connection, version_id, promotion.alias)
    verdict = judge(metric, value, previous)
    if verdict.moves_the_alias:
        await commands.set_alias(connection, version_id, promotion.alias)
    return PromotionResult(
        alias=promotion.alias,
        metric=metric,
        value=value,
        previous_model=None if previous is None else f"{version.name}@{previous.version}",
        previous_value=None if previous is None else previous.metrics.get(metric),
        promoted=verdict.moves_the_alias,
        reason=verdict,
    )


def judge(metric: str, value: float | None, previous: EvaluatedVersion | None) -> Verdict:
    """Compare the value of a new version with that of the version that has the alias, if there is one."""
    if value is None:
        return Verdict.NO_VALUE
    if previous is None:
        return Verdict.FIRST
    previous_value = previous.metrics.get(metric)
    if previous_value is None:
        return Verdict.NOT_COMPARABLE
    return Verdict.BETTER if leader.is_better(metric, value, previous_value) else Verdict.NOT_BETTER
