"""Health, metrics and the front page."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request, Response, status
from typing_extensions import TypedDict

from app.core.config import DocsAccess
from app.core.errors import DatabaseUnavailable, NotFound, SchemaOutdated
from app.core.resources import Resources
from app.core.version import VERSION
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.links import link
from app.jobs.deps import KindsDep
from app.jobs.queues import queries
from app.jobs.workers import queries as workers
from app.notifications.deliverer import Deliverer
from app.notifications.deps import DelivererDep
from app.operations import gauges
from app.operations.deps import MaintenanceDep, SchemaCheckDep
from app.operations.probes import PROBE_SECONDS, probe_redis
from app.streams.deps import HubDep

DASHBOARD: Final = "dashboard/"
"""Relative, so that it works below any prefix."""

router = APIRouter(tags=["operations"])


class Liveness(TypedDict):
    """The event loop is running."""

    status: str


class Health(TypedDict):
    """Health of the process and of the services that it depends on."""

    status: str
    version: str
    db_connected: bool
    redis_connected: bool
    workers: int | None
    model_loaded: bool
    loops: dict[str, bool]


class ShutdownStatus(TypedDict):
    """Whether the process is shutting down, and how many jobs are running.

    `accepting_new_tasks` and `active_tasks` are other names of the same values.
    """

    accepting_new_jobs: bool
    accepting_new_tasks: bool
    active_jobs: int | None
    active_tasks: int | None
    shutdown_initiated: bool


class FrontPage(TypedDict):
    """Name, version and links."""

    name: str
    version: str
    links: dict[str, str]


@router.get(
    "/",
    operation_id="getFrontPage",
    summary="Get the front page",
    response_model=FrontPage,
    responses={303: {"description": "To the dashboard, if `Accept` includes `text/html`"}},
)
async def front_page(resources: ResourcesDep, accept: Annotated[str, Header()] = "") -> Any:
    """Returns the name, the version and the most useful links. Redirects browsers to the dashboard."""
    if "text/html" in accept.lower():
        return Response(status_code=status.HTTP_303_SEE_OTHER, headers={"Location": DASHBOARD})
    links = {"health": link("/health"), "dashboard": link(f"/{DASHBOARD}")}
    if resources.settings.docs_access is not DocsAccess.OFF:
        links |= {"docs": link("/docs"), "redoc": link("/redoc"), "openapi": link("/openapi.json")}
    if resources.settings.metrics_port is None:
        links["metrics"] = link("/metrics")
    return FrontPage(name="Headrace", version=VERSION, links=links)


@router.get("/health/live", operation_id="getLiveness", summary="Liveness probe")
async def live() -> Liveness:
    """Succeeds as long as the event loop runs; checks no other service."""
    return Liveness(status="ok")


@router.get(
    "/health/ready",
    operation_id="getReadiness",
    summary="Readiness probe",
    responses={
        503: {
            **problems.responses(SchemaOutdated)[503],
            "model": Liveness,
            "description": "The process is shutting down, or the database has not been migrated",
        }
    },
)
async def ready(response: Response, hub: HubDep, schema: SchemaCheckDep) -> Liveness:
    """Succeeds unless the process is shutting down or the database has not been migrated.

    It succeeds even while Postgres is unavailable: the 503 of a route says more than a failing probe.
    """
    if hub.is_closed:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Liveness(status="stopping")
    if await schema.check():
        raise SchemaOutdated
    return Liveness(status="ok")


@router.get(
    "/health",
    operation_id="getHealth",
    summary="Health check",
    responses={503: {"model": Health, "description": "Postgres is unavailable or has not been migrated"}},
)
async def health(
    response: Response,
    resources: ResourcesDep,
    maintenance: MaintenanceDep,
    deliverer: DelivererDep,
    schema: SchemaCheckDep,
) -> Health:
    """Reports the health of each part.

    The status is 503 only while Postgres is unavailable or has not been migrated: without Redis, all requests
    still work.
    """
    workers, is_redis_up, is_outdated = await asyncio.gather(
        _count_workers(resources), probe_redis(resources), schema.check()
    )
    if workers is None:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    loops = maintenance.health() | _health_of(deliverer, resources)
    is_well = workers and is_redis_up and all(loops.values())
    return Health(
        status=_status(workers, is_well=bool(is_well), is_outdated=is_outdated),
        version=VERSION,
        db_connected=workers is not None or is_outdated,
        redis_connected=is_redis_up,
        workers=workers,
        # Every live worker has the built-in model loaded.
        model_loaded=bool(workers),
        loops=loops,
    )


@router.get("/shutdown-status", operation_id="getShutdownStatus", summary="Shutdown status")
async def shutdown_status(resources: ResourcesDep, hub: HubDep) -> ShutdownStatus:
    """`active_jobs` counts running jobs, which do not end with this process.

    It is null while Postgres is unavailable.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            active = await queries.running(connection)
    except (DatabaseUnavailable, TimeoutError):
        active = None
    return ShutdownStatus(
        accepting_new_jobs=not hub.is_closed,
        accepting_new_tasks=not hub.is_closed,
        active_jobs=active,
        active_tasks=active,
        shutdown_initiated=hub.is_closed,
    )


@router.get("/metrics", operation_id="getMetrics", summary="Prometheus metrics", response_class=Response)
async def read_metrics(request: Request, resources: ResourcesDep, kinds: KindsDep) -> Response:
    """Returns the metrics of this process, and the numbers about the whole system that were last measured.

    The format is OpenMetrics if `Accept` asks for it, otherwise Prometheus's text format.
    If METRICS_PORT is set, they are served on that port only, and this route returns 404.
    """
    if resources.settings.metrics_port is not None:
        raise NotFound
    page = await gauges.read_metrics(resources, kinds, request.headers.get("accept", ""))
    return Response(page.body, media_type=page.content_type)


def _health_of(deliverer: Deliverer, resources: Resources) -> dict[str, bool]:
    """Whether the loop `deliver` succeeded recently, if it runs in this process."""
    return {"deliver": deliverer.is_healthy} if resources.settings.deliver_notifications else {}


def _status(workers: int | None, *, is_well: bool, is_outdated: bool) -> str:
    if workers is None:
        return SchemaOutdated.code if is_outdated else "unavailable"
    return "ok" if is_well else "degraded"


async def _count_workers(resources: Resources) -> int | None:
    """How many workers are alive; None while Postgres is unavailable."""
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            return await workers.alive(connection, timedelta(seconds=resources.settings.lease_seconds))
    except (DatabaseUnavailable, TimeoutError):
        return None
