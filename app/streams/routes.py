"""Event logs as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from typing_extensions import TypedDict

from app.auth.deps import CurrentUser
from app.core.errors import ShuttingDown, Unauthorized
from app.http import problems
from app.http.body import CleanStr, StrictBody
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.jobs import service
from app.jobs.errors import InvalidEventId, JobNotFound, NotYourJob
from app.jobs.events import Event
from app.streams import owner_log, sse, tickets
from app.streams.admission import StreamUser
from app.streams.deps import AdmissionDep, HubDep, LastEventId, StreamTimesDep, StreamUserDep
from app.streams.errors import TooManyStreams
from app.streams.followers import AccessEnded, HubClosed, JobFollower, OwnerFollower
from app.streams.owner_log import EventFilter, InvalidPlace
from app.streams.sse import EventStream

MAX_EVENT_ID_DIGITS: Final = 18
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

After = Annotated[str | None, Query(description="The same, for clients that cannot set headers.")]

router = APIRouter(route_class=BoundedRoute, tags=["streams"])


class TicketRequest(StrictBody):
    """What a ticket is for."""

    job_id: UUID | None = None


class TicketIssued(TypedDict):
    """A ticket, and for how many seconds it is good."""

    ticket: str
    expires_in: int


@router.post(
    "/stream-tickets",
    operation_id="createStreamTicket",
    summary="Get a ticket for one stream",
    status_code=201,
    responses=problems.responses(JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID)),
)
async def create_stream_ticket(
    user: CurrentUser, database: DatabaseDep, response: Response, body: TicketRequest | None = None
) -> TicketIssued:
    """For browsers, which cannot send a token with an EventSource or a WebSocket: `?ticket=`.

    It opens one stream, once. An EventSource that loses the connection resumes its stream with the same URL.
    """
    job_id = None if body is None else body.job_id
    response.headers["Cache-Control"] = "no-store"
    async with database.connection() as connection:
        if job_id is not None:
            await service.get_own(connection, user.id, job_id)
        ticket = await tickets.issue(connection, user.id, user.token_expires_at, job_id)
    return TicketIssued(ticket=ticket, expires_in=int(tickets.LIFETIME.total_seconds()))


async def get_owner_stream(
    user: StreamUserDep,
    hub: HubDep,
    admission: AdmissionDep,
    database: DatabaseDep,
    last_event_id: LastEventId = None,
    after: After = None,
    kind: CleanStr | None = None,
    queue: CleanStr | None = None,
    group_id: UUID | None = None,
) -> AsyncIterator[OwnerFollower]:
    """A follower of all of a user's jobs, open while the answer is; errors come before it starts."""
    if user.only_job is not None:
        raise Unauthorized  # the ticket opens the stream of one job, not this one
    place_seen, _ = tickets.split_event_id(last_event_id or "")
    seen = place_seen or after
    async with database.connection() as connection:
        place = owner_log.parse_place(seen) if seen else await owner_log.present(connection)
    wanted = EventFilter(kind, queue, group_id)
    async with _opened(), hub.owner_follower(user.id, after=place, wanted=wanted) as follower:
        with admission.admit(user, "sse", lambda: follower.end(AccessEnded())):
            yield follower


@router.get(
    "/jobs/stream",
    operation_id="streamJobs",
    summary="Follow all your jobs",
    status_code=200,  # FastAPI would look for it in the signature of the class
    response_class=EventStream,
    responses=problems.responses(InvalidPlace, TooManyStreams(streams=5, limit=5), ShuttingDown),
)
async def stream_jobs(
    follower: Annotated[OwnerFollower, Depends(get_owner_stream)],
    user: StreamUserDep,
    times: StreamTimesDep,
) -> Response:
    """Every event of every job of yours, from now on, or after `Last-Event-ID` (`0` is the beginning).

    An event's id is good for this stream only; its `seq` is its number within its job.
    """
    # With an id, so that a client that has seen nothing yet resumes here and not at a later "now".
    opening = sse.opening(event="ready", event_id=_identified(user, str(follower.place)))
    return EventStream(
        opening, follower, lambda placed: _frame(placed.event, _identified(user, str(placed.place))), times
    )


async def get_job_stream(
    job_id: UUID,
    user: StreamUserDep,
    hub: HubDep,
    admission: AdmissionDep,
    database: DatabaseDep,
    last_event_id: LastEventId = None,
    after: After = None,
) -> AsyncIterator[JobFollower | None]:
    """A follower of one job, open while the answer is; None if there is nothing left to follow.

    Raises InvalidEventId, JobNotFound, NotYourJob, TooManyStreams, ShuttingDown.
    """
    place_seen, _ = tickets.split_event_id(last_event_id or "")
    seen = _event_id(place_seen or after)
    if user.only_job not in (None, job_id):
        raise NotYourJob(job_id=str(job_id))
    async with database.connection() as connection:
        job = await service.get_own(connection, user.id, job_id)
    if job.has_ended and seen >= job.last_seq:
        yield None
        return
    async with _opened(), hub.job_follower(user.id, job_id, after=seen) as follower:
        with admission.admit(user, "sse", lambda: follower.end(AccessEnded())):
            yield follower


@router.get(
    "/jobs/{job_id}/stream",
    operation_id="streamJob",
    summary="Follow a job",
    status_code=200,  # FastAPI would look for it in the signature of the class
    response_class=EventStream,
    responses={
        204: {"description": "The job has ended and its last event was seen: do not reconnect"},
        **problems.responses(
            JobNotFound(job_id=_EXAMPLE_ID),
            NotYourJob(job_id=_EXAMPLE_ID),
            InvalidEventId,
            TooManyStreams(streams=5, limit=5),
            ShuttingDown,
        ),
    },
)
async def stream_job(
    follower: Annotated[JobFollower | None, Depends(get_job_stream)],
    user: StreamUserDep,
    times: StreamTimesDep,
) -> Response:
    """Every event of the job as it happens, from the start or after `Last-Event-ID`.

    `update` for each event before the end and `complete` for the last one, after which the stream ends.
    `shutdown` says that the server goes away: connect again, and nothing is lost. `error` that the token of
    this stream has expired. 204 if the job has ended and its last event was seen.
    """
    if follower is None:
        # The standard's way to make an EventSource stop; after a 200 it would come back every two seconds.
        return Response(status_code=status.HTTP_204_NO_CONTENT, headers={"Cache-Control": "no-cache"})
    # With an id if there is a resume token: a client that is cut before its first event needs it too.
    first_id = None if user.resumable is None else _identified(user, str(follower.place))
    return EventStream(
        sse.opening(event_id=first_id),
        follower,
        lambda event: _frame(event, _identified(user, str(event.seq))),
        times,
    )


@asynccontextmanager
async def _opened() -> AsyncIterator[None]:
    """Turn a hub that is closed already into the answer that says so."""
    try:
        yield
    except HubClosed as error:
        raise ShuttingDown from error


def _frame(event: Event, event_id: str) -> bytes:
    return sse.frame("complete" if event.type.is_final else "update", event.flat(), event_id)


def _identified(user: StreamUser, place: str) -> str:
    """The id of an event in this user's stream."""
    return place if user.resumable is None else user.resumable.event_id(place)


def _event_id(text: str | None) -> int:
    """The number of an event as a client says it; raises InvalidEventId."""
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_EVENT_ID_DIGITS):
        raise InvalidEventId
    # No job has as many events as fit into the column: all that is greater is after the last one.
    return min(int(text), 2**31 - 1)
