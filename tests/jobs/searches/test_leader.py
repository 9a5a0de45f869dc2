"""A trial with folds is settled once, by the last of its jobs to complete."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs import transitions
from app.jobs.trainings import completion
from app.jobs.transition_types import ClaimedJob, Report
from app.jobs.unit_of_work import UnitOfWork
from tests.models import versions
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account

ROWS = [{"size": size, "label": "big" if size > 10 else "small"} for size in range(20)]
BODY = {"rows": ROWS, "target": "label", "model": "sizes", "algorithm": "logistic_regression", "folds": 2}


class Trials:
    """The jobs of a request with two folds, all claimed, by trial: the training, then the folds."""

    def __init__(self, client: httpx.AsyncClient, account: Account, database: Database, url: str) -> None:
        self._client = client
        self._account = account
        self._database = database
        self._url = url
        self.jobs: dict[tuple[int, int | None], ClaimedJob] = {}

    async def claim(self) -> None:
        worker = await jobs.worker(self._database)
        for job in await jobs.claim_all(self._database, worker, kinds=("train_model",)):
            part = msgspec.json.decode(job.params)["part"]
            self.jobs[part["trial"], part["fold"]] = job

    @asynccontextmanager
    async def completing(self, trial: int, fold: int | None, **metrics: float | None) -> AsyncIterator[None]:
        """Complete a job as its worker does, and commit at the end of the body."""
        async with rows.transaction(self._database) as connection:
            await complete(connection, self.jobs[trial, fold], metrics)
            yield

    async def complete(self, trial: int, fold: int | None, **metrics: float | None) -> None:
        async with self.completing(trial, fold, **metrics):
            pass

    async def search(self) -> dict[str, Any]:
        answer = await self._client.get(self._url, headers=self._account.headers)
        view: dict[str, Any] = answer.json()["search"]
        return view

    async def best(self) -> int | None:
        """The number of the version that has the alias `best`."""
        found: int | None = await rows.value(
            self._database,
            """SELECT v.version FROM model_aliases a JOIN model_versions v ON v.id = a.version_id
            WHERE a.alias = 'best'""",
        )
        return found


async def complete(connection: asyncpg.Connection, job: ClaimedJob, metrics: dict[str, Any]) -> None:
    found = {
        "metrics": metrics,
        "algorithm": "logistic_regression",
        "params": {},
        "library_versions": {},
        "report": {},
        "signature": {"task": "classification", "columns": [], "classes": ["big", "small"]},
    }
    result = await completion.complete(connection, found, job=job, artifacts={"model": versions.FILE})
    report = Report(
        job.id, job.attempt, job.next_batch, (), result=msgspec.json.encode(result), is_early=True
    )
    applied = await transitions.advance(UnitOfWork(connection), worker_id=ids.new_id(), reports=[report])
    assert job.id in applied


class Create:
    def __init__(self, client: httpx.AsyncClient, account: Account, database: Database) -> None:
        self._client = client
        self._account = account
        self._database = database

    async def __call__(self, **more: Any) -> Trials:
        answer = await self._client.post("/jobs/train-model", json=BODY | more, headers=self._account.headers)
        assert answer.status_code == 202, answer.text
        trials = Trials(self._client, self._account, self._database, answer.json()["poll_url"])
        await trials.claim()
        return trials


@pytest.fixture
def create(client: httpx.AsyncClient, alice: Account, store: Database) -> Create:
    return Create(client, alice, store)


async def test_the_mean_over_the_folds_is_the_value_of_a_trial(create: Create, store: Database) -> None:
    trials = await create()

    await trials.complete(0, 1, accuracy=0.5, f1_macro=0.25)
    await trials.complete(0, None, accuracy=1.0, f1_macro=1.0)
    [before] = (await trials.search())["leaderboard"]
    assert await trials.best() is None
    await trials.complete(0, 2, accuracy=1.0, f1_macro=None)

    search = await trials.search()
    [trial] = search["leaderboard"]
    assert (before["status"], before["rank"], before["value"], before["std"]) == ("running", None, None, None)
    assert [fold["value"] for fold in before["folds"]] == [0.5, None]
    assert (search["metric"], search["folds"], search["best_model"]) == ("accuracy", 2, "sizes@1")
    assert (trial["status"], trial["rank"], trial["value"], trial["std"]) == ("completed", 1, 0.75, 0.25)
    assert trial["metrics"] == {"accuracy": 0.75, "f1_macro": None}
    assert [(fold["fold"], fold["status"], fold["value"]) for fold in trial["folds"]] == [
        (1, "completed", 0.5),
        (2, "completed", 1.0),
    ]
    assert (search["best_job_id"], search["best_value"]) == (str(trials.jobs[0, None].id), 0.75)
    assert trial["job_id"] == search["best_job_id"]
    assert await trials.best() == 1
    assert await rows.value(store, "SELECT count(*) FROM model_versions") == 1
    await invariants.all_hold(store)


@pytest.mark.parametrize("order", [((0, 2), (0, None)), ((0, None), (0, 2)), ((0, 1), (0, 2))], ids=str)
async def test_of_two_jobs_that_complete_at_the_same_moment_the_second_settles_the_trial(
    order: tuple[tuple[int, int | None], ...], create: Create, store: Database
) -> None:
    trials = await create()
    for place in set(trials.jobs) - {*order}:
        await trials.complete(*place, accuracy=0.5)

    async with trials.completing(*order[0], accuracy=0.5):
        second = asyncio.create_task(trials.complete(*order[1], accuracy=0.5))
        await rows.wait_until_blocked(store)
        assert await trials.best() is None
    await second

    assert ((await trials.search())["best_value"], await trials.best()) == (0.5, 1)
    await invariants.all_hold(store)


async def test_jobs_of_many_trials_that_complete_at_once_settle_each_trial(
    create: Create, store: Database
) -> None:
    trials = await create(search={"params": {"alpha": [0.1, 0.2, 0.3, 0.4]}})
    accuracies = {0: 0.1, 1: 0.9, 2: 0.5, 3: 0.3}

    await asyncio.gather(*(trials.complete(*place, accuracy=accuracies[place[0]]) for place in trials.jobs))

    search = await trials.search()
    assert [trial["value"] for trial in search["leaderboard"]] == [0.9, 0.5, 0.3, 0.1]
    assert search["best_job_id"] == search["leaderboard"][0]["job_id"] == str(trials.jobs[1, None].id)
    assert search["best_model"] == search["leaderboard"][0]["model"] == f"sizes@{await trials.best()}"
    await invariants.all_hold(store)


async def test_a_trial_has_no_value_without_its_version_or_without_one_of_its_folds(
    create: Create, store: Database
) -> None:
    trials = await create()
    await trials.complete(0, 1, accuracy=0.5)
    await trials.complete(0, 2, accuracy=1.0)
    [before] = (await trials.search())["leaderboard"]
    await trials.complete(0, None, accuracy=1.0)
    await rows.execute(store, "DELETE FROM jobs WHERE id = $1", trials.jobs[0, 1].id)
    [afterwards] = (await trials.search())["leaderboard"]

    for trial in (before, afterwards):
        assert (trial["value"], trial["std"], trial["rank"], trial["metrics"]) == (None, None, None, None)
    assert [fold["value"] for fold in before["folds"]] == [0.5, 1.0]
    assert (afterwards["status"], [fold["fold"] for fold in afterwards["folds"]]) == ("completed", [2])


async def test_a_trial_with_a_failed_fold_has_no_value(create: Create, store: Database) -> None:
    trials = await create(search={"params": {"alpha": [0.1, 0.2]}})
    for place in ((0, None), (0, 1), (1, None), (1, 1), (1, 2)):
        await trials.complete(*place, accuracy=0.6 if place[0] else 0.9)
    failed = trials.jobs[0, 2]
    await jobs.fail(store, failed, is_retryable=False)

    first, last = (await trials.search())["leaderboard"]

    assert (first["value"], first["rank"], await trials.best()) == (0.6, 1, 2)
    assert (last["status"], last["value"], last["rank"], last["std"]) == ("failed", None, None, None)
    assert last["error"]["code"] == "boom"
    assert [fold["value"] for fold in last["folds"]] == [0.9, None]

    await jobs.retry(store, failed.id)
    await trials.claim()
    await trials.complete(0, 2, accuracy=0.7)

    assert (await trials.search())["best_value"] == pytest.approx(0.8)
    assert await trials.best() == 1


@pytest.mark.parametrize(("metric", "best"), [("log_loss", 0), ("roc_auc", 1)])
async def test_the_metric_of_the_search_says_which_trial_is_best(
    metric: str, best: int, create: Create
) -> None:
    trials = await create(search={"params": {"alpha": [0.1, 0.2]}, "metric": metric})

    for trial, value in ((1, 0.9), (0, 0.2)):
        for fold in (1, None, 2):
            await trials.complete(trial, fold, **{"accuracy": 0.5, metric: value})

    search = await trials.search()
    assert (search["metric"], search["best_job_id"]) == (metric, str(trials.jobs[best, None].id))
    assert search["leaderboard"][0]["job_id"] == search["best_job_id"]


async def test_a_fold_without_the_metric_leaves_the_trial_without_a_value(create: Create) -> None:
    trials = await create(search={"params": {"alpha": [0.1]}, "metric": "roc_auc"})

    for fold, value in ((None, 0.9), (1, 0.9), (2, None)):
        await trials.complete(0, fold, roc_auc=value)

    [trial] = (await trials.search())["leaderboard"]
    assert (trial["status"], trial["value"], trial["rank"], await trials.best()) == (
        "completed",
        None,
        None,
        None,
    )


async def test_a_version_that_was_deleted_in_the_meantime_is_not_the_best(
    create: Create, client: httpx.AsyncClient, alice: Account
) -> None:
    trials = await create()
    await trials.complete(0, None, accuracy=0.5)
    await trials.complete(0, 1, accuracy=0.5)
    gone = await client.delete("/models/sizes/versions/1", headers=alice.headers)
    assert gone.status_code == 204, gone.text

    await trials.complete(0, 2, accuracy=0.5)

    assert ((await trials.search())["best_model"], await trials.best()) == (None, None)


async def test_a_fold_registers_nothing(create: Create, store: Database) -> None:
    trials = await create()

    for fold in (1, 2):
        await trials.complete(0, fold, accuracy=0.5)

    assert await rows.value(store, "SELECT count(*) FROM models") == 0
    stored = await rows.job(store, trials.jobs[0, 1].id)
    assert "model" not in stored["result"]
