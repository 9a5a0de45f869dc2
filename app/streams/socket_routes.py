"""WebSocket routes: authentication, origin check and close codes. `socket` implements the protocol."""

import asyncio
from typing import Final
from uuid import UUID

import msgspec
import structlog
from fastapi import APIRouter
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.auth.permissions import Permission
from app.core.errors import AppError, Forbidden, NotFound, Unauthorized
from app.core.resources import Resources
from app.http import origins
from app.http.state import state_of
from app.streams import commands, tickets
from app.streams.admission import StreamUser
from app.streams.commands import Subscribe
from app.streams.deps import StreamsState
from app.streams.errors import TooManyStreams
from app.streams.socket import (
    FORBIDDEN,
    GOING_AWAY,
    INTERNAL_ERROR,
    NOT_FOUND,
    TRY_AGAIN_LATER,
    UNAUTHORIZED,
    Closing,
    Socket,
)
from app.streams.times import StreamTimes

CLOSE_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)
router = APIRouter(tags=["streams"])


class _OpenSocket:
    """`/ws`: serve the client's commands, and send the time once a second.

    An ASGI application, since FastAPI and Starlette would keep 6 KiB for each open connection.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _serve(WebSocket(scope, receive, send), None)


class _OpenJobSocket:
    """`/ws/jobs/{job_id}`: already subscribed to one job's events from the start or after `?after=`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = WebSocket(scope, receive, send)
        job_id: str = connection.path_params["job_id"]
        await _serve(connection, (job_id, connection.query_params.get("after", "0")))


router.routes += [
    WebSocketRoute("/ws", _OpenSocket(), name="open_socket"),
    WebSocketRoute("/ws/jobs/{job_id}", _OpenJobSocket(), name="open_job_socket"),
]


async def _serve(connection: WebSocket, subscription: tuple[str, str] | None) -> None:
    resources = state_of(connection, StreamsState).resources
    # Browsers do not apply the same-origin policy to WebSockets.
    if not origins.is_allowed(connection.headers, resources.settings.allowed_origins):
        await connection.close()  # before the handshake this is a 403
        return
    await connection.accept()
    try:
        await _run_socket(connection, resources, subscription)
    except WebSocketDisconnect:
        return
    except Closing as closing:
        await _close(connection, closing.code, closing.reason)
    except AppError as error:
        await _close(connection, _close_code(error), error.code)
    except Exception:
        log.exception("websocket_failed")
        await _close(connection, INTERNAL_ERROR, "internal_error")


async def _run_socket(
    connection: WebSocket, resources: Resources, subscription: tuple[str, str] | None
) -> None:
    state = state_of(connection, StreamsState)
    times = state.stream_times
    socket = Socket(
        connection, resources, state.stream_database, state.hub, stalled_seconds=times.stalled_seconds
    )
    state.sockets.add(socket)
    try:
        if state.hub.is_closed:
            raise Closing(GOING_AWAY, "bye")
        user = await socket.unless_ended(_identify(connection, socket, times))
        user.require(Permission.JOBS_READ)
        first = None if subscription is None else _parse_subscription(*subscription)
        end = Closing(UNAUTHORIZED, "access_ended")
        await socket.unless_ended(state.admission.load_limit(user.id))
        with state.admission.admit(user, "websocket", lambda: socket.end(end)):
            await socket.converse(user, first)
    finally:
        state.sockets.remove(socket)


async def _identify(connection: WebSocket, socket: Socket, times: StreamTimes) -> StreamUser:
    """Identify the user by bearer header, ticket, or token in the first frame. Raises Unauthorized."""
    state = state_of(connection, StreamsState)
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await _user_from_token(state, token.strip())
    if ticket := connection.query_params.get("ticket"):
        async with state.stream_database.connection() as database:
            holder = await tickets.spend(database, ticket)
        if holder is None:
            raise Unauthorized
        return StreamUser(holder.identity, holder.job_id)
    return await _user_from_token(state, await _receive_token(socket, times.first_frame_seconds))


async def _receive_token(socket: Socket, timeout_seconds: float) -> str:
    try:
        async with asyncio.timeout(timeout_seconds):
            frame = await socket.receive_text()
        return commands.decode_authentication(frame).token
    except (TimeoutError, msgspec.DecodeError) as error:
        raise Unauthorized from error


async def _user_from_token(state: StreamsState, token: str) -> StreamUser:
    async with state.stream_database.use():
        identity = await state.auth.identities.identify(token)
    state.auth.usage.count(identity.id)
    return StreamUser(identity)


def _parse_subscription(job_id: str, after: str) -> Subscribe:
    try:
        return Subscribe(UUID(job_id), int(after) if after.isascii() and after.isdecimal() else -1)
    except ValueError as error:
        raise NotFound from error


def _close_code(error: AppError) -> int:
    match error:
        case Unauthorized():
            return UNAUTHORIZED
        case Forbidden():
            return FORBIDDEN
        case NotFound():
            return NOT_FOUND
        case TooManyStreams():
            return TRY_AGAIN_LATER
        case _:
            return TRY_AGAIN_LATER if error.retry_after is not None else INTERNAL_ERROR


async def _close(connection: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close(code, reason)
    except (RuntimeError, TimeoutError, WebSocketDisconnect):
        return  # the client has closed the connection already or does not read
