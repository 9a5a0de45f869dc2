"""The route of profiles."""

import asyncio
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from app.auth.deps import JobsReader
from app.core.errors import StorageUnavailable
from app.http import problems
from app.http.accept import choose
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import views
from app.jobs.errors import JobNotFound, NotAcceptable, NotYourJob, ProfileNotFound
from app.jobs.profiles import service
from app.jobs.profiles.profile import Profile
from app.jobs.profiles.schemas import FunctionTimeView, ProfileView
from app.jobs.profiles.service import FoundProfile

TOP: Final = 50
"""How many functions a profile lists."""

JSON: Final = "application/json"
TEXT: Final = "text/plain"
_FORMATS: Final = (JSON, TEXT)
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_EXAMPLE_STACK: Final = "fit (shop/model.py:12);gradient (shop/model.py:40) 813000\n"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/profile",
    operation_id="getJobProfile",
    summary="Get the profile of an attempt",
    response_model=ProfileView,
    responses={
        200: {"content": {TEXT: {"schema": {"type": "string"}, "example": _EXAMPLE_STACK}}},
        **problems.responses(
            JobNotFound(job_id=_EXAMPLE_ID),
            NotYourJob(job_id=_EXAMPLE_ID),
            ProfileNotFound(job_id=_EXAMPLE_ID),
            NotAcceptable(offered=list(_FORMATS)),
            StorageUnavailable,
        ),
    },
)
async def get_job_profile(
    job_id: UUID,
    user: JobsReader,
    resources: ResourcesDep,
    accept: Annotated[
        str, Header(description=f"`{TEXT}` returns the stacks as flame graph tools read them.")
    ] = "",
    attempt: Annotated[
        int | None, Query(ge=1, lt=2**31, description="Default: the last attempt that has a profile.")
    ] = None,
    shard: Annotated[
        int | None,
        Query(ge=0, lt=1000, description="Number of a shard. Default: the last one that has a profile."),
    ] = None,
) -> Response:
    """Get where an attempt at a job that was created with `profile` spent its time."""
    found = await service.get_own(resources, user.reach, job_id, attempt, shard=shard)
    wanted = choose(accept, _FORMATS)
    if wanted is None:
        raise NotAcceptable(offered=list(_FORMATS))
    headers = {"Vary": "Accept"}
    if wanted == TEXT:
        text = await asyncio.to_thread(_folded, found.profile)
        return Response(text, media_type=TEXT, headers=headers)
    return views.respond(await asyncio.to_thread(_view, found), headers=headers)


def _folded(profile: Profile) -> str:
    return "".join(f"{line}\n" for line in profile.folded())


def _view(found: FoundProfile) -> ProfileView:
    attempt, profile = found.attempt, found.profile
    view = ProfileView(
        attempt=attempt.attempt,
        seconds=round(profile.seconds, 6),
        samples=profile.samples,
        cpu_seconds=attempt.cpu_seconds,
        memory_peak_bytes=attempt.memory_peak_bytes,
        top=[
            FunctionTimeView(
                function=spent.function,
                file=spent.file,
                line=spent.line,
                self_seconds=round(spent.self_seconds, 6),
                total_seconds=round(spent.total_seconds, 6),
            )
            for spent in profile.top(TOP)
        ],
    )
    if attempt.shard is not None:
        view["shard"] = attempt.shard
    return view
