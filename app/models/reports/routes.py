"""Routes of reports and model cards."""

from typing import Final

from fastapi import APIRouter, Response

from app.auth.deps import ModelsReader
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.models import builtin, queries
from app.models.errors import ModelNotFound
from app.models.names import ModelName
from app.models.paths import Number, Owner
from app.models.reports import card, views
from app.models.reports import queries as reports
from app.models.reports.errors import ReportNotFound
from app.models.reports.report import Report
from app.models.reports.schemas import History

MARKDOWN: Final = "text/markdown"

_UNKNOWN: Final = ModelNotFound(model="churn@3")
_NO_REPORT: Final = ReportNotFound(model="churn@3")

router = APIRouter(route_class=BoundedRoute, prefix="/models/{name}/versions/{number}", tags=["models"])


@router.get(
    "/report",
    operation_id="getModelReport",
    summary="Get the report of a trained version",
    response_model=Report,
    responses=problems.responses(_UNKNOWN, _NO_REPORT),
)
async def get_report(name: ModelName, number: Number, user: ModelsReader, database: DatabaseDep) -> Report:
    """Returns the curves, the importance of columns and the scores of each class, on the test rows.

    Only for your own models: a report shows values of the data.
    """
    async with database.connection() as connection:
        _, report = await reports.get(connection, user.id, name, number)
    return report


@router.get(
    "/history",
    operation_id="getModelHistory",
    summary="Get the epochs of the training of a version",
    response_model=History,
    responses=problems.responses(_UNKNOWN, _NO_REPORT),
)
async def get_history(name: ModelName, number: Number, user: ModelsReader, database: DatabaseDep) -> History:
    """Returns the losses after each epoch, and the accuracy or R². Only for your own models, as the report.

    It is stored with the version: the result of the job expires.
    """
    async with database.connection() as connection:
        _, report = await reports.get(connection, user.id, name, number)
    return views.history(report)


@router.get(
    "/card",
    operation_id="getModelCard",
    summary="Get the model card of a version",
    response_class=Response,
    responses={
        200: {"content": {MARKDOWN: {"schema": {"type": "string"}, "example": "# churn, version 3\n"}}},
        **problems.responses(_UNKNOWN, _NO_REPORT),
    },
)
async def get_card(
    name: ModelName, number: Number, user: ModelsReader, database: DatabaseDep, owner: Owner = None
) -> Response:
    """Returns Markdown: inputs, data, split, metrics, importance of columns, warnings and lineage.

    Lineage and warnings are for the owner only. A version that was uploaded has no data and no split. The
    built-in model has no card.
    """
    if owner is None and builtin.find(f"{name}@{number}") is not None:
        raise ReportNotFound(model=f"{name}@{number}")
    async with database.connection() as connection:
        version = await queries.get_version(connection, user.id, name, number, owner)
        report = await reports.find(connection, version.id)
    return Response(card.markdown(version, report), media_type=MARKDOWN)
