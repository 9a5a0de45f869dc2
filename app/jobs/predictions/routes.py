"""The route of synchronous predictions."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Response

from app.auth.deps import Predictor
from app.core.errors import DatabaseUnavailable
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import service, views
from app.jobs.deps import JobTimesDep, KindsDep, QuotaDep, WatcherDep, refuse_while_stopping
from app.jobs.errors import (
    InputMismatch,
    MissingColumns,
    PredictionCancelled,
    PredictionFailed,
    PredictionPending,
    PredictionRefused,
    PredictionTooLarge,
    TextTooLong,
    TooManyActiveJobs,
    TooManyRows,
    WrongRowLength,
)
from app.jobs.kinds import batch_predict
from app.jobs.predictions import service as predictions
from app.jobs.predictions.schemas import MAX_ROWS, Predicted, PredictRequest
from app.jobs.unit_of_work import unit_of_work
from app.models.errors import ModelNotFound

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_EXAMPLE_ERROR: Final = {"code": "bad_input", "message": "…", "retryable": False, "attempt": 1}

router = APIRouter(
    route_class=BoundedRoute, tags=["predictions"], dependencies=[Depends(refuse_while_stopping)]
)


@router.post(
    "/predict",
    operation_id="predict",
    summary="Predict up to 100 rows synchronously",
    response_model=Predicted,
    responses=problems.responses(
        TooManyRows(limit=MAX_ROWS, got=101),
        TextTooLong(index=3, length=100_001, limit=batch_predict.MAX_TEXT_CHARACTERS),
        ModelNotFound(model="sentimental"),
        InputMismatch(model="houses@2", takes="instances with columns", got="texts"),
        MissingColumns(missing=["rooms"], expected=["rooms", "year"]),
        WrongRowLength(row=3, rows=1, got=2, expected=3),
        PredictionRefused(reason="…", job_id=_EXAMPLE_ID, error=_EXAMPLE_ERROR),
        PredictionFailed(reason="…", job_id=_EXAMPLE_ID, error=_EXAMPLE_ERROR),
        PredictionCancelled(job_id=_EXAMPLE_ID),
        PredictionTooLarge(
            limit=predictions.MAX_ANSWER_BYTES, job_id=_EXAMPLE_ID, url=f"/jobs/{_EXAMPLE_ID}/results"
        ),
        PredictionPending(seconds=30, job_id=_EXAMPLE_ID, poll_url=f"/jobs/{_EXAMPLE_ID}"),
        TooManyActiveJobs(active=10, limit=10),
        DatabaseUnavailable,
    ),
)
async def predict(
    body: Annotated[
        PredictRequest,
        Body(
            openapi_examples={
                "texts": {"value": {"texts": ["What a lovely day", "The support was rude and useless"]}},
                "instances": {"value": {"model": "houses", "instances": [{"rooms": 3, "year": 1931}]}},
            }
        ),
    ],
    user: Predictor,
    resources: ResourcesDep,
    quota: QuotaDep,
    watcher: WatcherDep,
    kinds: KindsDep,
    times: JobTimesDep,
) -> Response:
    """Run a job of high priority and return its predictions. Its results are kept for an hour."""
    kind = kinds[batch_predict.KIND.name]
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with unit_of_work(resources.hints, quota.admit(user.id)) as unit:
        request = await predictions.job_request(unit.connection, body, lease)
        submitted = await service.submit(unit, resources.settings, user.id, kind, request, quota=quota)
    seconds = times.prediction_seconds
    await watcher.wait_for_end(user.id, submitted.job_id, after=0, timeout_seconds=seconds)
    async with resources.database.connection() as connection:
        job = await service.get_own(
            connection,
            user.id,
            submitted.job_id,
            inline_rows=MAX_ROWS,
            inline_bytes=predictions.MAX_ANSWER_BYTES,
        )
    return views.respond(predictions.read_predictions(job, seconds))
