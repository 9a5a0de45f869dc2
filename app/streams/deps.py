"""Dependencies of the routes of streams."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Security
from starlette.requests import HTTPConnection

from app.auth.deps import AuthDep, bearer
from app.auth.permissions import Permission
from app.core.errors import Unauthorized
from app.http.middleware import name_user
from app.http.state import state_of
from app.jobs.deps import JobsState
from app.streams import tickets
from app.streams.admission import Admission, StreamUser
from app.streams.hub import Hub
from app.streams.pulse import Pulse
from app.streams.socket import Sockets
from app.streams.stream_database import StreamDatabase
from app.streams.times import StreamTimes


@dataclass(frozen=True, kw_only=True)
class StreamsState(JobsState):
    """The state of the process, with what streams need."""

    hub: Hub
    admission: Admission
    stream_database: StreamDatabase
    sockets: Sockets
    pulse: Pulse
    stream_times: StreamTimes


async def get_hub(connection: HTTPConnection) -> Hub:
    """The hub of this process."""
    return state_of(connection, StreamsState).hub


async def get_pulse(connection: HTTPConnection) -> Pulse:
    """The extra frames of the streams of this process."""
    return state_of(connection, StreamsState).pulse


async def get_admission(connection: HTTPConnection) -> Admission:
    """The limits on open streams."""
    return state_of(connection, StreamsState).admission


async def get_stream_database(connection: HTTPConnection) -> StreamDatabase:
    """Postgres, for streams."""
    return state_of(connection, StreamsState).stream_database


async def get_times(connection: HTTPConnection) -> StreamTimes:
    """The timeouts and intervals of streams."""
    return state_of(connection, StreamsState).stream_times


HubDep = Annotated[Hub, Depends(get_hub)]
PulseDep = Annotated[Pulse, Depends(get_pulse)]
AdmissionDep = Annotated[Admission, Depends(get_admission)]
StreamDatabaseDep = Annotated[StreamDatabase, Depends(get_stream_database)]
StreamTimesDep = Annotated[StreamTimes, Depends(get_times)]
LastEventId = Annotated[str | None, Header(description="Id of the last event received; resumes after it.")]


class OpensStream:
    """Resolves to the caller who opens a stream, by bearer token, ticket or resume token.

    Raises Unauthorized and PermissionDenied.
    """

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(
        self,
        connection: HTTPConnection,
        auth: AuthDep,
        database: StreamDatabaseDep,
        token: Annotated[str | None, Depends(bearer)],
        ticket: Annotated[
            str | None, Query(description="From `POST /stream-tickets`, in place of a bearer token.")
        ] = None,
        last_event_id: LastEventId = None,
    ) -> StreamUser:
        """Return the caller."""
        if token is not None:
            async with database.use():
                identity = await auth.identities.identify(token)
            auth.usage.count(identity.id)
            user = StreamUser(identity)
        elif ticket is not None:
            user = await _user_of_ticket(connection, database, ticket, last_event_id or "")
        else:
            raise Unauthorized
        name_user(connection.scope, user.id)
        user.require(self.permission)
        return user


async def _user_of_ticket(
    connection: HTTPConnection, database: StreamDatabase, ticket: str, last_event_id: str
) -> StreamUser:
    path: str = connection.scope["path"]
    _, resume_token = tickets.split_event_id(last_event_id)
    async with database.connection() as postgres:
        opened = None
        if resume_token is not None:
            opened = await tickets.resume_stream(postgres, ticket, path, resume_token)
        if opened is None:
            opened = await tickets.open_stream(postgres, ticket, path)
    if opened is None:
        raise Unauthorized
    holder, resumable = opened
    return StreamUser(holder.identity, holder.job_id, resumable)


StreamUserDep = Annotated[
    StreamUser, Security(OpensStream(Permission.JOBS_READ), scopes=[str(Permission.JOBS_READ)])
]
