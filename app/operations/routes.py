"""Health, metrics and the front page."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response, status
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from redis.asyncio import Redis
from starlette.requests import HTTPConnection
from typing_extensions import TypedDict

from app.core import metrics
from app.core.errors import DatabaseUnavailable
from app.core.redis import UNREACHABLE, Use
from app.core.resources import Resources
from app.core.version import VERSION
from app.http.deps import ResourcesDep
from app.jobs.queues import queries
from app.jobs.states import Status
from app.jobs.workers import queries as workers
from app.maintenance.maintenance import Maintenance
from app.streams.deps import HubDep

PROBE_SECONDS: Final = 1.0

router = APIRouter(tags=["operations"])


class Liveness(TypedDict):
    """That the event loop turns."""

    status: str


class Health(TypedDict):
    """How the process and what it depends on are."""

    status: str
    version: str
    db_connected: bool
    redis_connected: bool
    workers: int | None
    model_loaded: bool
    loops: dict[str, bool]


class ShutdownStatus(TypedDict):
    """Whether the process is about to stop, and what still runs in the system."""

    accepting_new_jobs: bool
    active_jobs: int | None
    shutdown_initiated: bool


class FrontPage(TypedDict):
    """What this is, and where to go."""

    name: str
    version: str
    links: dict[str, str]


async def get_maintenance(connection: HTTPConnection) -> Maintenance:
    """The keeper of this process."""
    maintenance: Maintenance = connection.app.state.maintenance
    return maintenance


@router.get("/", operation_id="getFrontPage", summary="What this is")
async def front_page() -> FrontPage:
    """Name, version and the most useful links."""
    return FrontPage(
        name="Headrace",
        version=VERSION,
        links={"docs": "/docs", "openapi": "/openapi.json", "health": "/health", "metrics": "/metrics"},
    )


@router.get("/health/live", operation_id="getLiveness", summary="Is the process alive")
async def live() -> Liveness:
    """Answered by the event loop itself; needs nothing."""
    return Liveness(status="ok")


@router.get(
    "/health/ready",
    operation_id="getReadiness",
    summary="May the process get requests",
    responses={503: {"model": Liveness, "description": "It is going away"}},
)
async def ready(response: Response, hub: HubDep) -> Liveness:
    """Started and not stopping. It does not fail while Postgres is away: our own 503 says more."""
    if hub.is_closed:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Liveness(status="stopping")
    return Liveness(status="ok")


@router.get(
    "/health",
    operation_id="getHealth",
    summary="How the system is",
    responses={503: {"model": Health, "description": "Postgres is away"}},
)
async def health(
    response: Response, resources: ResourcesDep, maintenance: Annotated[Maintenance, Depends(get_maintenance)]
) -> Health:
    """Each part by itself. 503 only while Postgres is away: without Redis everything still works."""
    workers, is_redis_up = await asyncio.gather(_count_workers(resources), _answers(resources))
    if workers is None:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    is_well = workers and is_redis_up and all(maintenance.health().values())
    return Health(
        status="unavailable" if workers is None else "ok" if is_well else "degraded",
        version=VERSION,
        db_connected=workers is not None,
        redis_connected=is_redis_up,
        workers=workers,
        # The built-in model is part of every worker: it is loaded where a worker is alive.
        model_loaded=bool(workers),
        loops=maintenance.health(),
    )


@router.get("/shutdown-status", operation_id="getShutdownStatus", summary="Is the process about to stop")
async def shutdown_status(resources: ResourcesDep, hub: HubDep) -> ShutdownStatus:
    """`active_jobs` counts the jobs that run; they do not end with this process. Null: Postgres is away."""
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            active = sum(
                found.jobs for found in await queries.active(connection) if found.status is Status.RUNNING
            )
    except (DatabaseUnavailable, TimeoutError):
        active = None
    return ShutdownStatus(
        accepting_new_jobs=not hub.is_closed, active_jobs=active, shutdown_initiated=hub.is_closed
    )


@router.get("/metrics", operation_id="getMetrics", summary="Metrics for Prometheus", response_class=Response)
async def read_metrics(resources: ResourcesDep) -> Response:
    """The metrics of this process, and what Postgres says about the queues at this moment."""
    await _measure_queues(resources)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _count_workers(resources: Resources) -> int | None:
    """How many workers are alive; None while Postgres does not say."""
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            return await workers.alive(connection, timedelta(seconds=resources.settings.lease_seconds))
    except (DatabaseUnavailable, TimeoutError):
        return None


async def _answers(resources: Resources) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await Redis(connection_pool=resources.redis_pool).ping()
    except UNREACHABLE as error:
        # That it is back, the next hint that gets through says.
        resources.redis.failed(error, Use.SEND)
        return False
    return True


async def _measure_queues(resources: Resources) -> None:
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            backlog = await queries.backlog(connection)
            active = await queries.active(connection)
            alive = await workers.alive(connection, timedelta(seconds=resources.settings.lease_seconds))
    except (DatabaseUnavailable, TimeoutError):
        return  # what was last measured is wrong by now, but the rest of the page is not
    _set_all(metrics.QUEUE_DEPTH, {(found.queue,): found.waiting for found in backlog})
    _set_all(metrics.QUEUE_OLDEST_SECONDS, {(found.queue,): found.oldest_seconds for found in backlog})
    _set_all(metrics.JOBS_ACTIVE, {(found.kind, found.status): found.jobs for found in active})
    metrics.WORKERS_ALIVE.set(alive)


def _set_all(gauge: Any, values: dict[tuple[str, ...], float]) -> None:
    """Set a gauge to these values and to no others: a queue that has emptied is gone."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
