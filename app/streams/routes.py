"""Routes that stream job events as server-sent events, and the route that issues tickets for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from typing_extensions import TypedDict

from app.auth.deps import JobsReader
from app.auth.permissions import Permission
from app.core.errors import ShuttingDown, Unauthorized
from app.http import problems
from app.http.body import CleanStr, StrictBody
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.jobs import service
from app.jobs.errors import InvalidEventId, IsAShard, JobNotFound, NotYourJob
from app.jobs.events import Event
from app.streams import owner_log, sse, tickets
from app.streams.admission import StreamUser
from app.streams.deps import (
    AdmissionDep,
    HubDep,
    LastEventId,
    PulseDep,
    StreamDatabaseDep,
    StreamTimesDep,
    StreamUserDep,
)
from app.streams.errors import TooManyStreams
from app.streams.followers import AccessEnded, HubClosed, JobFollower, OwnerFollower
from app.streams.owner_log import EventFilter, InvalidPosition, LogEntry
from app.streams.pulse import Extra, Listener
from app.streams.sse import EventStream

MAX_EVENT_ID_DIGITS: Final = 18
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_IS_A_SHARD = IsAShard(job_id=_EXAMPLE_ID, parent_id="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8e")

After = Annotated[
    str | None, Query(description="Same as `Last-Event-ID`, for clients that cannot set headers.")
]

router = APIRouter(route_class=BoundedRoute, tags=["streams"])


class TicketRequest(StrictBody):
    """The stream that a ticket opens: one job's or, without `job_id`, the stream of all jobs."""

    job_id: UUID | None = None


class TicketIssued(TypedDict):
    """A ticket and its lifetime in seconds."""

    ticket: str
    expires_in: int


@router.post(
    "/stream-tickets",
    operation_id="createStreamTicket",
    summary="Get a ticket for one stream",
    status_code=201,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID), _IS_A_SHARD
    ),
)
async def create_stream_ticket(
    user: JobsReader, database: DatabaseDep, response: Response, body: TicketRequest | None = None
) -> TicketIssued:
    """Issue a ticket, for browsers: EventSource and WebSocket cannot send a token. Pass it as `?ticket=`.

    A ticket opens one stream, once. If the connection drops, EventSource resumes with the same URL.
    """
    job_id = None if body is None else body.job_id
    response.headers["Cache-Control"] = "no-store"
    async with database.connection() as connection:
        if job_id is not None:
            await service.get_submitted(connection, user.reach, job_id)
        ticket = await tickets.issue(connection, user, job_id)
    return TicketIssued(ticket=ticket, expires_in=int(tickets.LIFETIME.total_seconds()))


async def get_owner_stream(
    user: StreamUserDep,
    hub: HubDep,
    admission: AdmissionDep,
    database: StreamDatabaseDep,
    last_event_id: LastEventId = None,
    after: After = None,
    kind: CleanStr | None = None,
    queue: CleanStr | None = None,
    group_id: UUID | None = None,
    scope: Annotated[
        Literal["own", "all"],
        Query(description="`all`: the jobs of all users, for callers with the permission `operate`."),
    ] = "own",
    coalesce_ms: Annotated[
        int,
        Query(
            ge=100,
            le=10_000,
            description="With `scope=all`: the interval at which events are sent. Of the updates of a job"
            " within an interval only the last one is sent, and every `complete`.",
        ),
    ] = 250,
) -> AsyncIterator[OwnerFollower]:
    """Open a follower of all jobs of the user, or of all users, for the duration of the response.

    A dependency, so that errors become error responses: it runs before the stream starts.
    """
    if user.only_job is not None:
        raise Unauthorized  # the ticket is restricted to one job
    if scope == "all":
        user.require(Permission.OPERATE)
    place_seen, _ = tickets.split_event_id(last_event_id or "")
    seen = place_seen or after
    async with database.connection() as connection:
        position = owner_log.parse_position(seen) if seen else await owner_log.head(connection)
    wanted = EventFilter(kind, queue, group_id)
    following = (
        hub.everyone_follower(after=position, wanted=wanted, poll_seconds=coalesce_ms / 1000)
        if scope == "all"
        else hub.owner_follower(user.id, after=position, wanted=wanted)
    )
    async with _reject_if_closed(), following as follower:
        await admission.load_limit(user.id)
        with admission.admit(user, "sse", lambda: follower.end(AccessEnded())):
            yield follower


async def get_extras(
    follower: Annotated[OwnerFollower, Depends(get_owner_stream)],
    pulse: PulseDep,
    extras: Annotated[
        str | None,
        Query(
            alias="with",
            pattern="^(clock|stats)(,(clock|stats))*$",
            description="`clock` adds a `time_update` every second, `stats` counts of jobs in `stats`, when"
            " the stream opens and at most every 2 seconds after an event that changes them (10 with"
            " `scope=all`). They have no id.",
            examples=["clock,stats"],
        ),
    ] = None,
) -> AsyncIterator[Listener | None]:
    """Listen to what the stream carries beside its events, for the duration of the response."""
    if extras is None:
        yield None
        return
    with pulse.listening(follower.owner_id, frozenset(map(Extra, extras.split(",")))) as listener:
        yield listener


@router.get(
    "/jobs/stream",
    operation_id="streamJobs",
    summary="Stream the events of all your jobs",
    status_code=200,  # FastAPI would look for it in the signature of the class
    response_class=EventStream,
    responses=problems.responses(InvalidPosition, TooManyStreams(streams=5, limit=5), ShuttingDown),
)
async def stream_jobs(
    follower: Annotated[OwnerFollower, Depends(get_owner_stream)],
    listener: Annotated[Listener | None, Depends(get_extras)],
    user: StreamUserDep,
    pulse: PulseDep,
    times: StreamTimesDep,
) -> Response:
    """Stream every event of all your jobs, from now on or after `Last-Event-ID` (`0` for the beginning).

    Event ids are valid only for this stream. `seq` is the event's number within its job. Operators stream the
    events of all users with `scope=all`.
    """

    def to_frame(entry: LogEntry) -> bytes:
        pulse.changed(follower.owner_id, entry.event)
        return _frame(entry.event, _event_id(user, str(entry.position)))

    # The opening frame has an id, so that a client that reconnects before its first event resumes from here.
    opening = sse.opening(event="ready", event_id=_event_id(user, str(follower.position)))
    return EventStream(
        opening,
        follower,
        to_frame,
        lambda entry: entry.event.at,
        times,
        extras=None if listener is None else listener.frames(),
    )


async def get_job_stream(
    job_id: UUID,
    user: StreamUserDep,
    hub: HubDep,
    admission: AdmissionDep,
    database: StreamDatabaseDep,
    last_event_id: LastEventId = None,
    after: After = None,
) -> AsyncIterator[JobFollower | None]:
    """Open a follower of one job for the duration of the response; None if no events are left.

    Raises InvalidEventId, JobNotFound, NotYourJob, IsAShard, TooManyStreams, ShuttingDown.
    """
    place_seen, _ = tickets.split_event_id(last_event_id or "")
    seen = _parse_seq(place_seen or after)
    if user.only_job not in (None, job_id):
        raise NotYourJob(job_id=str(job_id))
    async with database.connection() as connection:
        job = await service.get_submitted(connection, user.identity.reach, job_id)
    if job.owner_id != user.id:
        user.require(Permission.OPERATE)
    if job.has_ended and seen >= job.last_seq:
        yield None
        return
    async with _reject_if_closed(), hub.job_follower(job.owner_id, job_id, after=seen) as follower:
        await admission.load_limit(user.id)
        with admission.admit(user, "sse", lambda: follower.end(AccessEnded())):
            yield follower


@router.get(
    "/jobs/{job_id}/stream",
    operation_id="streamJob",
    summary="Stream a job's events",
    status_code=200,  # FastAPI would look for it in the signature of the class
    response_class=EventStream,
    responses={
        204: {"description": "The job has ended and you have received its last event: do not reconnect"},
        **problems.responses(
            JobNotFound(job_id=_EXAMPLE_ID),
            NotYourJob(job_id=_EXAMPLE_ID),
            _IS_A_SHARD,
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
    """Stream the job's events as they happen, from the start or after `Last-Event-ID`.

    The stream sends `update` for each event and `complete` for the job's last event, then ends. `shutdown`
    means that the server is stopping: reconnect, and you miss nothing. `error` means that the stream's token
    has expired. Returns 204 if the job has ended and you have received its last event.
    """
    if follower is None:
        # Per the HTML standard, 204 makes an EventSource stop; after a 200 it would keep reconnecting.
        return Response(status_code=status.HTTP_204_NO_CONTENT, headers={"Cache-Control": "no-cache"})
    # A client that is disconnected before its first event also needs the resume token in an event id.
    first_id = None if user.resumable is None else _event_id(user, str(follower.position))
    return EventStream(
        sse.opening(event_id=first_id),
        follower,
        lambda event: _frame(event, _event_id(user, str(event.seq))),
        lambda event: event.at,
        times,
    )


@asynccontextmanager
async def _reject_if_closed() -> AsyncIterator[None]:
    """Translate HubClosed into ShuttingDown, which becomes an error response."""
    try:
        yield
    except HubClosed as error:
        raise ShuttingDown from error


def _frame(event: Event, event_id: str) -> bytes:
    return sse.frame("complete" if event.is_final else "update", event.flat(), event_id)


def _event_id(user: StreamUser, position: str) -> str:
    """Return the SSE event id of a position, including the resume token if the stream has one."""
    return position if user.resumable is None else user.resumable.event_id(position)


def _parse_seq(text: str | None) -> int:
    """Parse the `seq` of the last event that the client has received; raises InvalidEventId."""
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_EVENT_ID_DIGITS):
        raise InvalidEventId
    # Clamp to the column's range, which no job's event numbers ever reach.
    return min(int(text), 2**31 - 1)
