"""A job's event log as server-sent events."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.auth.deps import CurrentUser
from app.core import metrics
from app.http import problems
from app.http.deps import DatabaseDep
from app.jobs import service
from app.jobs.errors import InvalidEventId, JobNotFound, NotYourJob
from app.jobs.events import Event
from app.jobs.states import Status
from app.streams.deps import HubDep
from app.streams.hub import Hub, HubClosed

RETRY_MILLISECONDS: Final = 2000
MAX_EVENT_ID_DIGITS: Final = 18
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(prefix="/jobs", tags=["streams"])


@dataclass(frozen=True)
class Place:
    """Whose job a client follows, and from where on; checked before the stream starts."""

    owner_id: UUID
    job_id: UUID
    after: int
    is_at_end: bool


async def get_place(
    job_id: UUID,
    user: CurrentUser,
    database: DatabaseDep,
    last_event_id: Annotated[
        str | None, Header(description="The last event seen; what follows is sent.")
    ] = None,
    after: Annotated[str | None, Query(description="The same, for clients that cannot set headers.")] = None,
) -> Place:
    """Where the client wants to start; raises InvalidEventId, JobNotFound, NotYourJob."""
    seen = _event_id(last_event_id or after)
    async with database.connection() as connection:
        row = await service.get_own(connection, user.id, job_id)
    is_at_end = Status(row["status"]).is_final and seen >= row["last_seq"]
    return Place(user.id, job_id, seen, is_at_end)


@router.get(
    "/{job_id}/stream",
    operation_id="streamJob",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID), InvalidEventId
    ),
)
async def stream_job(
    place: Annotated[Place, Depends(get_place)], hub: HubDep
) -> AsyncIterator[ServerSentEvent]:
    """Every event of the job as it happens, from the start or after `Last-Event-ID`.

    `update` for each event before the end and `complete` for the last one, after which the stream ends.
    `shutdown` says that the server goes away: connect again, and nothing is lost.
    """
    yield ServerSentEvent(comment="welcome", retry=RETRY_MILLISECONDS)
    if place.is_at_end:
        return
    metrics.STREAMS_OPEN.labels("sse").inc()
    try:
        async for event in _follow(hub, place):
            yield event
    finally:
        metrics.STREAMS_OPEN.labels("sse").dec()


async def _follow(hub: Hub, place: Place) -> AsyncIterator[ServerSentEvent]:
    try:
        async for event in hub.follow(place.owner_id, place.job_id, after=place.after):
            yield _frame(event)
    except HubClosed:
        # Without an id, so that the client still asks for what follows its last event.
        yield ServerSentEvent(event="shutdown", raw_data="bye")


def _frame(event: Event) -> ServerSentEvent:
    return ServerSentEvent(
        id=str(event.seq),
        event="complete" if event.type.is_final else "update",
        raw_data=event.flat().decode(),
    )


def _event_id(text: str | None) -> int:
    """The number of an event as a client says it; raises InvalidEventId."""
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_EVENT_ID_DIGITS):
        raise InvalidEventId
    # No job has as many events as fit into the column: all that is greater is after the last one.
    return min(int(text), 2**31 - 1)
