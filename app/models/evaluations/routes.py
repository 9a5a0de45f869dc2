"""The route of evaluations."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.auth.deps import ModelsReader
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute
from app.models import builtin
from app.models import queries as models
from app.models.errors import ModelNotFound
from app.models.evaluations import queries, views
from app.models.evaluations.schemas import EvaluationPage
from app.models.evaluations.values import EvaluationFilter
from app.models.names import ModelName
from app.models.paths import Owner

router = APIRouter(route_class=BoundedRoute, prefix="/models", tags=["models"])


@router.get(
    "/{name}/evaluations",
    operation_id="listEvaluations",
    summary="List your evaluations of a model, newest first",
    response_model=EvaluationPage,
    responses=problems.responses(ModelNotFound(model="churn"), InvalidCursor),
)
async def list_evaluations(
    name: ModelName,
    user: ModelsReader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    owner: Owner = None,
    version: Annotated[int | None, Query(ge=1, lt=2**31, description="Only of this version.")] = None,
    dataset_id: Annotated[UUID | None, Query(description="Only on this dataset.")] = None,
) -> EvaluationPage:
    """Returns what `evaluate-model` jobs have measured. It is kept as long as the version.

    Of a public model of another user, you see your own evaluations.
    """
    is_built_in = owner is None and builtin.find(name) is not None
    async with database.connection() as connection:
        model_id = None if is_built_in else (await models.get(connection, user.id, name, owner)).id
        page = await queries.page(
            connection,
            user.id,
            model_id,
            EvaluationFilter(version, dataset_id),
            before=wanted.before,
            limit=wanted.limit,
        )
    return views.evaluation_page(name if owner is None else f"{owner}/{name}", page)
