"""The route of the state of the system."""

import asyncio

from fastapi import APIRouter, Response

from app.analytics import views
from app.analytics.deps import ThisProcessDep
from app.auth.deps import Administrator
from app.core.errors import DatabaseUnavailable, StorageUnavailable
from app.core.storage import Storage, VolumeSpace
from app.core.version import VERSION
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs.views import respond
from app.operations.probes import PROBE_SECONDS, probe_redis
from app.operations.system import queries
from app.operations.system.schemas import DatabaseView, FilesView, RedisView, SystemState
from app.streams.deps import HubDep

router = APIRouter(route_class=BoundedRoute, tags=["operations"])


@router.get(
    "/system",
    operation_id="getSystem",
    summary="Get the state of the system",
    response_model=SystemState,
    responses=problems.responses(DatabaseUnavailable),
)
async def get_system(
    user: Administrator, resources: ResourcesDep, process: ThisProcessDep, hub: HubDep
) -> Response:
    """Get the version and the loops of the answering process, and how Postgres, Redis and the storage are."""
    async with resources.database.connection() as connection:
        database = await queries.database(connection)
    has_redis, (has_storage, space) = await asyncio.gather(probe_redis(resources), _probe(resources.storage))
    return respond(
        SystemState(
            version=VERSION,
            as_of=database.now,
            uptime_seconds=round(process.uptime_seconds, 1),
            is_stopping=hub.is_closed,
            running_jobs=database.running_jobs,
            loops=[views.loop_view(loop, database.now) for loop in process.loops(database.now)],
            database=DatabaseView(
                version=database.version,
                revision=database.revision,
                bytes=database.bytes,
                measured_at=database.measured_at,
            ),
            redis=RedisView(is_up=has_redis),
            storage=FilesView(
                is_up=has_storage,
                is_bucket=resources.storage.is_bucket,
                stored_bytes=database.stored_bytes,
                used_bytes=None if space is None else space.used_bytes,
                free_bytes=None if space is None else space.free_bytes,
            ),
        ),
        headers={"Cache-Control": "no-store"},
    )


async def _probe(storage: Storage) -> tuple[bool, VolumeSpace | None]:
    """Return whether the storage answers, and the space of its volume, if it has one."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await storage.check()
            return True, await storage.space()
    except (StorageUnavailable, TimeoutError):
        return False, None
