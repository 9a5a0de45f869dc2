"""The addresses of the dashboard. Redirects are relative, so that they work below any prefix."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response, status

from app.core.errors import NotFound
from app.dashboard import assets, headers
from app.dashboard.assets import ShellFacts
from app.http import accept
from app.http.conditional import ConditionsDep

GZIP: Final = "gzip"

ASSETS: Final = "/dashboard/assets/"

MAX_DEPTH: Final = 8
"""Slashes below `/dashboard/`. The shell of each depth is kept in memory."""


def dashboard_router(facts: ShellFacts) -> APIRouter:
    """Return the routes. The shell tells the page these facts."""
    router = APIRouter(include_in_schema=False)

    async def get_dashboard(path: str, conditions: ConditionsDep) -> Response:
        """Serve the shell. The page decides by its address what to show. Raises NotFound."""
        depth = path.count("/")
        if depth > MAX_DEPTH:
            raise NotFound
        return await assets.shell("../" * depth or "./", facts).respond(conditions)

    async def get_scheduler(conditions: ConditionsDep) -> Response:
        """Serve the shell, which opens the page of schedules."""
        return await assets.shell("../dashboard/", facts).respond(conditions)

    router.add_api_route("/dashboard", redirect_to_dashboard, methods=["GET"])
    router.add_api_route(ASSETS + "{digest}/{name:path}", get_asset, methods=["GET"])
    router.add_api_route("/dashboard/{path:path}", get_dashboard, methods=["GET"])
    router.add_api_route("/scheduler", redirect_to_scheduler, methods=["GET"])
    router.add_api_route("/scheduler/", get_scheduler, methods=["GET"])
    router.add_api_route("/watch", redirect_to_job, methods=["GET"])
    return router


async def redirect_to_dashboard() -> Response:
    """Redirect to the dashboard."""
    return _redirect("dashboard/")


async def get_asset(digest: str, name: str, request: Request) -> Response:
    """Serve a file of the dashboard. Raises NotFound, also for a digest of another version."""
    loaded = assets.load()
    found = loaded.files.get(name)
    if found is None or digest != loaded.digest:
        raise NotFound
    sent = dict(headers.ASSET)
    if accept.accepts_encoding(accept.accepted_encodings(request.headers), GZIP):
        sent["Content-Encoding"] = GZIP
        return Response(found.compressed, media_type=found.media_type, headers=sent)
    return Response(found.content, media_type=found.media_type, headers=sent)


async def redirect_to_scheduler() -> Response:
    """Redirect to the page of schedules."""
    return _redirect("scheduler/")


async def redirect_to_job(job: UUID | None = None) -> Response:
    """Redirect the address of an earlier version to the dashboard, or to a job in it."""
    return _redirect("dashboard/" if job is None else f"dashboard/jobs/{job}")


def _redirect(location: str) -> Response:
    return Response(status_code=status.HTTP_307_TEMPORARY_REDIRECT, headers={"Location": location})
