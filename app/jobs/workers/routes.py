"""Routes of workers."""

from datetime import timedelta

from fastapi import APIRouter, Response

from app.auth.deps import JobsReader
from app.auth.identities import Identity
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import views
from app.jobs.workers import queries
from app.jobs.workers.queries import ListedWorker
from app.jobs.workers.schemas import WorkerJobView, WorkerList, WorkerView

router = APIRouter(route_class=BoundedRoute, tags=["analytics"])


@router.get("/workers", operation_id="listWorkers", summary="List the workers", response_model=WorkerList)
async def list_workers(user: JobsReader, resources: ResourcesDep) -> Response:
    """List the workers, what they use, and how far their jobs are. Ids are shown of your own jobs only."""
    async with resources.database.connection() as connection:
        found = await queries.listed(connection, timedelta(seconds=resources.settings.lease_seconds))
    return views.respond(WorkerList(items=[_view(worker, user) for worker in found]))


def _view(worker: ListedWorker, user: Identity) -> WorkerView:
    view = WorkerView(
        worker_id=worker.id,
        name=worker.name,
        queues=list(worker.queues),
        kinds=list(worker.kinds),
        slots=worker.slots,
        predict_slots=worker.predict_slots,
        gpus=worker.gpus,
        state=worker.state,
        engine_state=worker.engine_state,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        cpu_percent=worker.cpu_percent,
        memory_bytes=worker.memory_bytes,
        memory_percent=worker.memory_percent,
        jobs=[
            WorkerJobView(
                job_id=job.id if user.reach in (None, job.owner_id) else None,
                shard=job.shard,
                progress=job.progress,
            )
            for job in worker.jobs
        ],
    )
    if user.is_admin:
        view["host"] = worker.host
        view["pid"] = worker.pid
    return view
