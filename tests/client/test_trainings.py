"""Evaluations and searches, by both clients."""

import httpx
import pytest

from app.client import AsyncHeadrace, Invalid, NotFound, Trial, WaitTimeout
from app.client.trainings import SearchSpace
from tests.client.conftest import Connect
from tests.client.running import Running, User
from tests.client.scripted import JOB_ID, answer, answering

pytestmark = pytest.mark.long

ROWS = [{"size": n % 7, "kind": "ab"[n % 7 > 3]} for n in range(60)]
SPACE: SearchSpace = {"alpha": [1e-4, 1e-2], "penalty": ["l2"]}


async def test_a_model_is_trained_and_evaluated(client: AsyncHeadrace) -> None:
    trained = await client.wait(await client.train("kind", rows=ROWS, epochs=5, model="sizes"), timeout=60)

    assert trained.status == "completed", trained.error
    job = await client.evaluate(await client.model("sizes"), "kind", rows=ROWS, batch_size=20)
    done = await client.wait(job, timeout=60)

    assert done.result is not None
    assert (done.kind, done.model, done.result["total"]) == ("evaluate_model", "sizes@1", 60)
    assert done.result["metrics"]["accuracy"] > 0.8
    with pytest.raises(NotFound):
        await client.evaluate("unheard-of", "kind", rows=ROWS)
    with pytest.raises(Invalid):
        await client.evaluate("sizes", "kind")


async def test_the_report_the_card_and_the_plots_of_a_training_are_read(client: AsyncHeadrace) -> None:
    rows = [{"size": n * 7 % 60, "kind": "ab"[n * 7 % 60 > 30]} for n in range(60)]
    submitted = await client.train(
        "kind", rows=rows, algorithm="logistic_regression", epochs=3, model="sizes"
    )
    done = await client.wait(submitted, timeout=60)
    assert done.status == "completed", done.error

    report = await client.model_report("sizes@1")
    history = await client.model_history("sizes")
    card = await client.model_card("sizes")
    plots = await client.model_plots("sizes@1")
    image = await client.model_plot("sizes@1", "roc", format="svg")

    assert report["importance"]["columns"][0]["name"] == "size"
    assert history["items"]
    assert [(epoch["epoch"], epoch["train_loss"]) for epoch in history["items"]] == [
        (scores["epoch"], scores["train_loss"]) for scores in report["learning_curve"]
    ]
    assert card.startswith("# sizes, version 1")
    assert {"roc", "importance", "learning_curve"} <= {*plots}
    assert b"<svg" in image
    with pytest.raises(NotFound):
        await client.model_report("sentiment@1")
    with pytest.raises(NotFound):
        await client.model_history("sentiment@1")
    with pytest.raises(ValueError, match="only its owner"):
        await client.model_report("bob/sizes@1")


async def test_a_search_is_followed_and_its_best_model_predicts(client: AsyncHeadrace) -> None:
    created = await client.create_search(
        "kind",
        SPACE,
        rows=ROWS,
        metric="f1_macro",
        algorithm="logistic_regression",
        epochs=2,
        model="sizes",
        idempotency_key="k",
    )
    again = await client.create_search(
        "kind",
        SPACE,
        rows=ROWS,
        metric="f1_macro",
        algorithm="logistic_regression",
        epochs=2,
        model="sizes",
        idempotency_key="k",
    )
    states = [state async for state in client.follow_search(created)]
    search = await client.wait_for_search(created.id, timeout=60)
    said = await client.predict(instances=[{"size": 2}], model="sizes@best")

    assert (again.id, created.is_replay, again.is_replay) == (created.id, False, True)
    assert states[-1] == search
    assert [state.is_finished for state in states] == [False] * (len(states) - 1) + [True]
    assert (search.metric, search.statuses["completed"]) == ("f1_macro", 2)
    assert [trial.rank for trial in search.leaderboard] == [1, 2]
    assert {trial.job_id for trial in search.leaderboard} == set(created.job_ids)
    assert search.best_model == said.model
    assert search.best_value == search.leaderboard[0].value
    assert {trial.params["alpha"] for trial in search.leaderboard} == {1e-4, 1e-2}


async def test_a_training_with_folds_is_followed_to_its_mean(client: AsyncHeadrace) -> None:
    created = await client.create_search(
        "kind", rows=ROWS, folds=3, algorithm="logistic_regression", epochs=2, model="folded"
    )
    states = [state async for state in client.follow_search(created)]

    search = states[-1]
    [trial] = search.leaderboard
    assert (len(created.job_ids), search.folds, search.is_finished) == (4, 3, True)
    assert (trial.status, trial.job_id, trial.model) == ("completed", created.job_ids[0], "folded@1")
    assert [fold.job_id for fold in trial.folds] == list(created.job_ids[1:])
    values = [fold.value for fold in trial.folds if fold.value is not None]
    assert trial.value == pytest.approx(sum(values) / 3)
    assert trial.std is not None
    assert (search.best_model, search.best_value) == ("folded@1", trial.value)
    assert (await client.predict(instances=[{"size": 2}], model="folded@best")).model == "folded@1"


def test_of_a_trial_with_folds_a_job_is_awaited_that_has_not_ended() -> None:
    def trial(*statuses: str) -> Trial:
        folds = [
            {"fold": number, "job_id": f"fold {number}", "status": status, "progress": 0.0, "value": None}
            for number, status in enumerate(statuses, 1)
        ]
        return Trial.parse({"job_id": "training", "status": "running", "folds": folds})

    assert trial("completed", "pending", "running").awaited_job_id == "fold 3"
    assert trial("completed", "pending").awaited_job_id == "fold 2"
    assert trial("failed", "completed").awaited_job_id == "training"
    assert trial().awaited_job_id == "training"


async def test_a_search_is_awaited_for_a_time_and_cancelled(client: AsyncHeadrace) -> None:
    search = await client.create_search(
        "kind", SPACE, rows=ROWS, algorithm="logistic_regression", queue="nobody"
    )
    with pytest.raises(WaitTimeout):
        await client.wait_for_search(search, timeout=0.3)

    cancelled = await client.cancel_search(search)

    assert (cancelled.is_finished, cancelled.statuses["cancelled"]) == (True, 2)
    assert [trial.status for trial in cancelled.leaderboard] == ["cancelled", "cancelled"]


async def test_a_group_that_is_no_search_is_not_cancelled(connect: Connect) -> None:
    group = {"group_id": JOB_ID, "statuses": {"pending": 1}, "is_finished": False}
    async with answering(answer(200, group)) as server:
        with pytest.raises(NotFound):
            await connect(server.url, token="t").cancel_search(JOB_ID)

    assert [asked.line.split()[0] for asked in server.asked] == ["GET"]


async def test_a_group_that_is_no_search_is_not_one(
    client: AsyncHeadrace, system: Running, ada: User
) -> None:
    async with httpx.AsyncClient(base_url=system.url, trust_env=False) as plain:
        pair = (await plain.post("/token", data=ada.credentials)).json()
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        jobs = {"jobs": [{"kind": "batch_predict", "texts": ["x"], "queue": "nobody"}]}
        group = (await plain.post("/jobs/bulk", json=jobs, headers=headers)).json()

    with pytest.raises(NotFound) as none:
        await client.search(group["group_id"])

    assert none.value.code == "group_not_found"
