"""An alias moves to a new version only if that one is better."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from app.core.database import Database
from app.jobs.kinds import train_model
from app.jobs.params import Promotion
from app.jobs.trainings import promotion
from app.jobs.trainings.promotion import PromotionResult, Verdict
from app.models import commands, queries
from app.models.versions import EvaluatedVersion
from tests.models import versions
from tests.support import jobs, rows


@pytest.fixture
async def owner(database: Database) -> UUID:
    return await jobs.user(database)


async def train(
    database: Database, owner: UUID, metrics: dict[str, Any], metric: str | None = None
) -> PromotionResult:
    """Register the next version of the model `churn` as the completion of a training does."""
    async with database.transaction() as connection:
        version = await commands.register(
            connection, owner_id=owner, name="churn", runtime="sklearn", file=versions.FILE, metrics=metrics
        )
        assert version.id is not None
        return await promotion.promote_if_better(
            connection, version, version.id, Promotion("prod", metric), metrics
        )


async def in_production(database: Database, owner: UUID) -> int:
    """The number of the version that has the alias."""
    async with database.transaction() as connection:
        return (await queries.get_for_job(connection, owner, "churn@prod")).version


@pytest.mark.parametrize(
    ("metric", "value", "previous", "verdict"),
    [
        ("accuracy", 0.9, None, Verdict.FIRST),
        ("accuracy", 0.9, {"accuracy": 0.8}, Verdict.BETTER),
        ("accuracy", 0.8, {"accuracy": 0.9}, Verdict.NOT_BETTER),
        ("accuracy", 0.9, {"accuracy": 0.9}, Verdict.NOT_BETTER),
        ("rmse", 1.0, {"rmse": 2.0}, Verdict.BETTER),
        ("rmse", 2.0, {"rmse": 1.0}, Verdict.NOT_BETTER),
        ("roc_auc", None, None, Verdict.NO_VALUE),
        ("roc_auc", None, {"roc_auc": 0.1}, Verdict.NO_VALUE),
        ("roc_auc", 0.9, {"roc_auc": None}, Verdict.NOT_COMPARABLE),
        ("accuracy", 0.9, {}, Verdict.NOT_COMPARABLE),
        ("accuracy", 0.9, {"rmse": 3.0}, Verdict.NOT_COMPARABLE),
        ("accuracy", 0.1, {"accuracy": 0.0}, Verdict.BETTER),
    ],
)
def test_a_version_is_judged_by_one_metric(
    metric: str, value: float | None, previous: dict[str, Any] | None, verdict: Verdict
) -> None:
    holder = None if previous is None else EvaluatedVersion(1, previous)

    assert promotion.judge(metric, value, holder) is verdict


async def test_the_alias_follows_the_best_version(database: Database, owner: UUID) -> None:
    first = await train(database, owner, {"accuracy": 0.8})
    worse = await train(database, owner, {"accuracy": 0.7})
    assert await in_production(database, owner) == 1
    better = await train(database, owner, {"accuracy": 0.9})

    assert await in_production(database, owner) == 3
    assert first == {
        "alias": "prod",
        "metric": "accuracy",
        "value": 0.8,
        "previous_model": None,
        "previous_value": None,
        "promoted": True,
        "reason": "first",
    }
    assert (worse["promoted"], worse["reason"], worse["previous_model"]) == (False, "not_better", "churn@1")
    assert better == {
        "alias": "prod",
        "metric": "accuracy",
        "value": 0.9,
        "previous_model": "churn@1",
        "previous_value": 0.8,
        "promoted": True,
        "reason": "better",
    }


async def test_the_metric_is_r2_for_a_regression_unless_another_is_named(
    database: Database, owner: UUID
) -> None:
    await train(database, owner, {"r2": 0.8, "rmse": 1.0})

    by_default = await train(database, owner, {"r2": 0.7, "rmse": 0.5})
    by_name = await train(database, owner, {"r2": 0.7, "rmse": 0.5}, metric="rmse")

    assert (by_default["metric"], by_default["promoted"]) == ("r2", False)
    assert (by_name["metric"], by_name["promoted"]) == ("rmse", True)


async def test_an_uploaded_version_keeps_its_alias(database: Database, owner: UUID) -> None:
    await versions.register(database, owner)
    async with database.transaction() as connection:
        await commands.set_own_alias(connection, owner, "churn", "prod", 1)

    result = await train(database, owner, {"accuracy": 1.0})

    assert (result["promoted"], result["reason"]) == (False, "not_comparable")
    assert await in_production(database, owner) == 1


async def test_the_alias_of_another_model_is_not_compared_with(database: Database, owner: UUID) -> None:
    await versions.register(database, owner, "other", metrics={"accuracy": 0.99})
    async with database.transaction() as connection:
        await commands.set_own_alias(connection, owner, "other", "prod", 1)

    assert (await train(database, owner, {"accuracy": 0.5}))["reason"] == "first"


async def test_of_trainings_that_end_at_once_the_best_has_the_alias(database: Database, owner: UUID) -> None:
    accuracies = [0.1, 0.9, 0.5, 0.3, 0.8, 0.2, 0.7, 0.4, 0.6]

    await asyncio.gather(*(train(database, owner, {"accuracy": accuracy}) for accuracy in accuracies))

    best = await rows.value(
        database, "SELECT version FROM model_versions WHERE metrics ->> 'accuracy' = '0.9'"
    )
    assert await in_production(database, owner) == best


async def test_a_promotion_is_rolled_back_with_its_version(database: Database, owner: UUID) -> None:
    await train(database, owner, {"accuracy": 0.8})

    async def fail_after_it() -> None:
        async with database.transaction() as connection:
            version = await commands.register(
                connection, owner_id=owner, name="churn", runtime="sklearn", file=versions.FILE
            )
            assert version.id is not None
            await promotion.promote_if_better(
                connection, version, version.id, Promotion("prod"), {"accuracy": 0.9}
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_it()

    assert await in_production(database, owner) == 1


# Requests


def request(**more: Any) -> train_model.TrainModelRequest:
    body = {"dataset": "reviews.csv", "target": "label", "model": "reviews", **more}
    return train_model.TrainModelRequest.model_validate(body)


SEARCH = {"algorithm": "ridge", "search": {"params": {"alpha": [0.1, 1]}}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model": None, "promote": {"alias": "prod"}}, "name the model"),
        ({"promote": {"alias": "best"}, **SEARCH}, "'best'"),
        ({"promote": {"alias": "prod", "metric": "beauty"}}, "metric is one of"),
        ({"promote": {"alias": "2"}}, "pattern"),
        ({"promote": {}}, "required"),
        ({"promote": {"alias": "prod", "force": True}}, "not permitted"),
    ],
    ids=str,
)
def test_a_promotion_that_cannot_work_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        request(**more)


def test_each_trial_of_a_search_may_take_another_alias() -> None:
    fan_out = train_model.fan_out(request(promote={"alias": "prod"}, **SEARCH))

    assert fan_out is not None
    assert [trial.promote.alias for trial in fan_out.requests] == ["prod", "prod"]  # type: ignore[attr-defined]


def test_a_request_without_the_new_members_keeps_its_digest() -> None:
    plain = train_model.TrainModelRequest.model_validate({"rows": [{"a": 1}], "target": "a"})

    assert {"dataset", "promote"}.isdisjoint(plain.model_dump(mode="json"))
    assert {"dataset", "promote"} <= set(request(promote={"alias": "prod"}).model_dump(mode="json"))
