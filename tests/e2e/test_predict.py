"""`POST /predict`: the answer has the predictions, made by a worker process like those of any other job."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.core.resources import Resources
from app.jobs import transitions
from app.jobs.predictions import service
from app.jobs.times import JobTimes
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from tests.conftest import StartWorker
from tests.e2e.support import compounds, short_texts
from tests.support import invariants, jobs, rows, waiting
from tests.support.app_state import state_of


async def predict(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/predict", json=body)


async def test_texts_are_answered_with_their_predictions_in_order(
    ada: httpx.AsyncClient, app: FastAPI, start_worker: StartWorker, resources: Resources
) -> None:
    texts = short_texts(100)
    async with start_worker("one"):
        answer = await predict(ada, texts=texts)

    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert [said["scores"]["compound"] for said in found["predictions"]] == compounds(texts)
    assert (found["errors"], found["row_errors"], found["model"]) == (0, [], "sentiment@1")
    job = (await ada.get(f"/jobs/{found['job_id']}")).json()
    assert (job["status"], job["priority"], job["kind"]) == ("completed", "high", "batch_predict")
    row = await rows.job(resources.database, UUID(found["job_id"]))
    assert row["retention_seconds"] == service.RETENTION_SECONDS
    # Counted for its user, like every request.
    auth = state_of(app).auth
    await auth.usage.write()
    assert (await ada.get("/users/me")).json()["request_count"] >= 2
    await invariants.all_hold(resources.database)


async def test_many_at_once_each_get_their_own(ada: httpx.AsyncClient, start_worker: StartWorker) -> None:
    texts = short_texts(20)
    async with start_worker("one"):
        answers = await asyncio.gather(*(predict(ada, texts=[text]) for text in texts))

    said = [answer.json()["predictions"][0]["scores"]["compound"] for answer in answers]
    assert said == compounds(texts)


async def test_a_row_that_cannot_be_predicted_is_null_and_named(
    ada: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    instances = [{"text": "good"}, {"text": 7}, {"text": "bad"}]
    async with start_worker("one"):
        found = (await predict(ada, instances=instances)).json()

    assert [said and said["label"] for said in found["predictions"]] == ["positive", None, "negative"]
    assert found["errors"] == 1
    [error] = found["row_errors"]
    assert error["index"] == 1
    assert error["code"]
    assert error["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "validation_error"),
        ({"texts": []}, 422, "validation_error"),
        ({"texts": ["x"], "instances": [[1]]}, 422, "validation_error"),
        ({"texts": ["x"], "priority": "low"}, 422, "validation_error"),
        ({"texts": ["x"] * 101}, 400, "too_many_rows"),
        ({"instances": [{"text": "x"}] * 101}, 400, "too_many_rows"),
        ({"texts": ["x" * 100_001]}, 413, "text_too_long"),
        ({"texts": ["x"], "model": "nope"}, 404, "model_not_found"),
        ({"instances": [["x"]]}, 422, "input_mismatch"),
        ({"instances": [{"title": "x"}]}, 422, "missing_columns"),
    ],
    ids=str,
)
async def test_what_cannot_be_predicted_is_refused_before_there_is_a_job(
    ada: httpx.AsyncClient, resources: Resources, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await predict(ada, **body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await rows.value(resources.database, "SELECT count(*) FROM jobs") == 0


async def test_nobody_predicts_without_signing_in(client: httpx.AsyncClient) -> None:
    assert (await predict(client, texts=["x"])).status_code == 401


# Without a worker, so that the story says what becomes of the job


async def claimed(resources: Resources) -> ClaimedJob:
    """The job of the request that waits, running."""

    async def is_there() -> bool:
        return bool(await rows.value(resources.database, "SELECT count(*) FROM jobs"))

    await waiting.until(is_there)
    return await jobs.claim(resources.database)


@pytest.mark.parametrize("job_times", [JobTimes(prediction_seconds=0.1)])
async def test_a_job_that_takes_too_long_goes_on_and_is_named(ada: httpx.AsyncClient) -> None:
    answer = await predict(ada, texts=["x"])

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (504, "prediction_pending")
    job = (await ada.get(problem["poll_url"])).json()
    assert (job["job_id"], job["status"]) == (problem["job_id"], "pending")


@pytest.mark.parametrize(
    ("is_retryable", "status", "code"), [(False, 422, "prediction_refused"), (True, 500, "prediction_failed")]
)
async def test_a_job_that_fails_is_answered_with_its_error(
    ada: httpx.AsyncClient, resources: Resources, is_retryable: bool, status: int, code: str
) -> None:
    asking = asyncio.create_task(predict(ada, texts=["x"]))
    job = await claimed(resources)
    error = {"code": "odd_model", "message": "It did not want to.", "retryable": is_retryable}
    async with resources.database.connection() as connection:
        await connection.execute("UPDATE jobs SET max_attempts = 1 WHERE id = $1", job.id)
        await transitions.fail(
            UnitOfWork(connection),
            job_id=job.id,
            attempt=job.attempt,
            error=error,
            traceback=None,
            is_retryable=is_retryable,
            delay_seconds=0.0,
        )
    answer = await asking

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["detail"] == "Nothing was predicted: It did not want to."
    assert problem["error"] == {**error, "attempt": 1}
    assert problem["job_id"] == str(job.id)


async def test_a_job_that_is_cancelled_is_said_to_be(ada: httpx.AsyncClient, resources: Resources) -> None:
    asking = asyncio.create_task(predict(ada, texts=["x"]))
    job = await claimed(resources)
    await jobs.stop(resources.database, job)
    answer = await asking

    assert (answer.status_code, answer.json()["code"]) == (409, "prediction_cancelled")
