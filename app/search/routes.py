"""The route of the search."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.auth import owners
from app.auth.deps import JobsReader
from app.auth.errors import UserNotFound
from app.auth.owners import OwnerQuery
from app.auth.permissions import Permission
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.jobs import selecting, views
from app.jobs.filters import MAX_PREFIX_LENGTH
from app.search import queries
from app.search.schemas import Found
from app.search.values import Wanted

router = APIRouter(route_class=BoundedRoute, tags=["search"])


@router.get(
    "/search",
    operation_id="search",
    summary="Search your jobs, models, datasets and schedules",
    response_model=Found,
    responses=problems.responses(UserNotFound(user="ada")),
)
async def search(
    user: JobsReader,
    database: DatabaseDep,
    text: Annotated[
        CleanStr,
        Query(
            alias="q",
            min_length=1,
            max_length=MAX_PREFIX_LENGTH,
            description="The beginning of a name, in any case, or of an id, at least 4 hexadecimal digits.",
            examples=["churn"],
        ),
    ],
    owner: OwnerQuery = None,
) -> Response:
    """Find at most five of each. Jobs have no name: recent ones are found by the name of their model.

    Models and datasets are those that you may use; without the permission to read them, none are found.
    Operators find jobs and schedules of other users with `owner`.
    """
    owner_id = await owners.find(database, user, owner)
    wanted = Wanted(text, selecting.ids_with_prefix(text))
    async with database.connection() as connection:
        found: dict[str, Sequence[object]] = {
            "jobs": await queries.jobs(connection, owner_id, wanted),
            "models": [],
            "datasets": [],
            "schedules": await queries.schedules(connection, owner_id, wanted),
        }
        if user.allows(Permission.MODELS_READ):
            found["models"] = await queries.models(connection, user.id, wanted)
        if user.allows(Permission.DATASETS_READ):
            found["datasets"] = await queries.datasets(connection, user.id, wanted)
    return views.respond(found)
