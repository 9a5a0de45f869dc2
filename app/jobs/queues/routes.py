"""Routes of queues, for operators and administrators."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Entry
from app.auth.actors import actor_of
from app.auth.deps import Operator
from app.core.config import QUEUE_NAME
from app.core.errors import Unprocessable
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import lane, views
from app.jobs.queues import commands, queries
from app.jobs.queues.queries import ListedQueue
from app.jobs.queues.schemas import QueueList, QueuePause, QueueState

# Also an answer about a queue that no job has named yet: a queue can be paused before it is used.
_RESPONSES: Final = problems.responses(Unprocessable)

QueuePath = Annotated[str, Path(pattern=QUEUE_NAME, description="Name of the queue.", examples=["default"])]

router = APIRouter(route_class=BoundedRoute, prefix="/queues", tags=["analytics"])


@router.get("", operation_id="listQueues", summary="List the queues", response_model=QueueList)
async def list_queues(user: Operator, resources: ResourcesDep) -> Response:
    """List the queues that are served, paused, or have unfinished jobs, with the jobs of all users in them.

    If jobs wait in very many queues that no worker serves, only the first 200 of these are listed.
    """
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with resources.database.connection() as connection:
        found = await queries.listed(connection, lease)
    return views.respond(QueueList(items=[_view(queue) for queue in found]))


@router.post(
    "/{name}/pause",
    operation_id="pauseQueue",
    summary="Pause a queue",
    response_model=QueueState,
    responses=_RESPONSES,
)
async def pause_queue(
    name: QueuePath, body: QueuePause, user: Operator, request: Request, resources: ResourcesDep
) -> Response:
    """Pause a queue: from now on, workers start none of its jobs. Running jobs go on, and new ones wait.

    Its pending jobs keep their place, and their explanation has the reason. Pausing a paused queue replaces
    the reason. A queue that no job has named yet can be paused, too.
    """
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with resources.database.transaction() as connection:
        if await commands.pause(connection, name, reason=body.reason, by=user.id):
            paused = Entry(Action.QUEUE_PAUSED, ObjectType.QUEUE, name, details={"reason": body.reason})
            await audit.record(connection, actor_of(request, user), paused)
        found = await queries.get(connection, name, lease)
    return views.respond(_view(found))


@router.post(
    "/{name}/resume",
    operation_id="resumeQueue",
    summary="Resume a queue",
    response_model=QueueState,
    responses=_RESPONSES,
)
async def resume_queue(
    name: QueuePath, user: Operator, request: Request, resources: ResourcesDep
) -> Response:
    """Resume a queue: its jobs start in the order in which they wait. A queue that is not paused stays so."""
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with resources.database.transaction() as connection:
        if await commands.resume(connection, name):
            resumed = Entry(Action.QUEUE_RESUMED, ObjectType.QUEUE, name)
            await audit.record(connection, actor_of(request, user), resumed)
        found = await queries.get(connection, name, lease)
    return views.respond(_view(found))


def _view(queue: ListedQueue) -> QueueState:
    oldest = queue.oldest_seconds
    return QueueState(
        name=queue.name,
        pending=queue.pending,
        running=queue.running,
        pending_shards=queue.pending_shards,
        running_shards=queue.running_shards,
        oldest_seconds=None if oldest is None else round(oldest, 1),
        workers=queue.workers,
        slots=queue.slots,
        is_pausable=queue.name != lane.QUEUE,
        paused_at=queue.paused_at,
        paused_by=queue.paused_by,
        reason=queue.reason,
    )
