"""What streams ask for beside what every route may ask for."""

from typing import Annotated

from fastapi import Depends, Header, Query
from starlette.requests import HTTPConnection

from app.auth.deps import GateDep, bearer
from app.core.errors import Unauthorized
from app.http.deps import DatabaseDep
from app.streams import tickets
from app.streams.admission import Admission, StreamUser
from app.streams.hub import Hub
from app.streams.times import StreamTimes


async def get_hub(connection: HTTPConnection) -> Hub:
    """The hub of this process."""
    hub: Hub = connection.app.state.hub
    return hub


async def get_admission(connection: HTTPConnection) -> Admission:
    """What counts the open streams of this process."""
    admission: Admission = connection.app.state.admission
    return admission


async def get_times(connection: HTTPConnection) -> StreamTimes:
    """How long streams wait in this process."""
    times: StreamTimes = connection.app.state.stream_times
    return times


HubDep = Annotated[Hub, Depends(get_hub)]
AdmissionDep = Annotated[Admission, Depends(get_admission)]
StreamTimesDep = Annotated[StreamTimes, Depends(get_times)]
LastEventId = Annotated[str | None, Header(description="The last event seen; what follows is sent.")]


async def get_stream_user(
    connection: HTTPConnection,
    auth: GateDep,
    database: DatabaseDep,
    token: Annotated[str | None, Depends(bearer)],
    ticket: Annotated[
        str | None, Query(description="From `POST /stream-tickets`, instead of the token.")
    ] = None,
    last_event_id: LastEventId = None,
) -> StreamUser:
    """Who opens a stream, by a bearer token, a ticket, or a resume token; raises Unauthorized."""
    if token is not None:
        identity = await auth.identities.identify(token)
        auth.usage.count(identity.id)
        return StreamUser(identity.id, identity.token_expires_at)
    if ticket is None:
        raise Unauthorized
    path: str = connection.scope["path"]
    _, resume_token = tickets.split_event_id(last_event_id or "")
    async with database.connection() as postgres:
        opened = None
        if resume_token is not None:
            opened = await tickets.resume_stream(postgres, ticket, path, resume_token)
        if opened is None:
            opened = await tickets.open_stream(postgres, ticket, path)
    if opened is None:
        raise Unauthorized
    holder, resumable = opened
    return StreamUser(holder.user_id, holder.token_expires_at, holder.job_id, resumable)


StreamUserDep = Annotated[StreamUser, Depends(get_stream_user)]
