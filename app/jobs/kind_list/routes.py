"""Routes of `/kinds`."""

from fastapi import APIRouter, Response

from app.auth.deps import JobsReader
from app.jobs import views
from app.jobs.deps import KindsDep
from app.jobs.kind_list.schemas import KindList, kind_view

router = APIRouter(prefix="/kinds", tags=["jobs"])


@router.get("", operation_id="listKinds", summary="List the kinds of jobs", response_model=KindList)
async def list_kinds(user: JobsReader, kinds: KindsDep) -> Response:
    """Get the kinds of jobs that can be created, those of plugins too, with the schemas of their requests."""
    return views.respond(KindList(items=[kind_view(kind) for kind in kinds.values() if not kind.is_internal]))
