"""One WebSocket client: its subscriptions, its commands, and the frames sent to it.

All frames go through one bounded queue that one task sends. Events wait for room in it, so a slow client
slows down only its own followers, which then resume from the log. Ticks of the clock do not wait. A client
that reads nothing for `stalled_seconds` is disconnected.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Final, TypeVar, assert_never
from uuid import UUID

import msgspec
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.auth import identities
from app.auth.actors import actor_of
from app.auth.permissions import Permission
from app.core.errors import AppError, Forbidden
from app.core.resources import Resources
from app.jobs import service
from app.jobs.errors import InvalidEventId, NotYourJob
from app.jobs.events import Event
from app.jobs.unit_of_work import unit_of_work
from app.streams import commands, owner_log
from app.streams.admission import StreamUser
from app.streams.commands import AnyCommand, Cancel, Ping, Subscribe, Unsubscribe
from app.streams.followers import AccessEnded, HubClosed
from app.streams.hub import Hub
from app.streams.mailbox import Mailbox
from app.streams.meter import Meter
from app.streams.owner_log import EventFilter
from app.streams.stream_database import StreamDatabase

MAX_WAITING_FRAMES: Final = 64
MAX_SUBSCRIPTIONS: Final = 100
STALLED_SECONDS: Final = 30.0

TICKS_AT_ONCE: Final = 50
"""Sending to thousands takes a large part of a second, and no event should wait that long."""

GOING_AWAY: Final = 1001
NOT_TEXT: Final = 1003
TOO_LARGE: Final = 1009
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
NOT_FOUND: Final = 4404

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode

_Frame = tuple[str, datetime | None]
"""A frame, and the time of its event if it has one."""

T = TypeVar("T")
Follow = Callable[[], Awaitable[None]]


class Sockets:
    """All WebSocket connections of this process: the clock ticks on them, and shutdown closes them."""

    def __init__(self) -> None:
        self._open: set[Socket] = set()

    def add(self, socket: "Socket") -> None:
        """Include a connection, until it is removed."""
        self._open.add(socket)

    def remove(self, socket: "Socket") -> None:
        """Exclude a connection that has closed."""
        self._open.discard(socket)

    @property
    def is_empty(self) -> bool:
        """Whether no connection is open."""
        return not self._open

    async def tick(self, date: datetime) -> None:
        """Send the clock's frame of this second, yielding to other tasks in between."""
        frame = _frame("time_update", _encode({"date": date}))
        for count, socket in enumerate(tuple(self._open), start=1):
            socket.tick(frame)
            if count % TICKS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        """Close all connections."""
        for socket in tuple(self._open):
            socket.end(Closing(GOING_AWAY, "bye"))


class Closing(Exception):
    """Closes the connection, with this code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Socket:
    """The connection to one client, from the accepted handshake to the close."""

    # Without a dictionary of its attributes, of which thousands of connections would each keep one.
    __slots__ = (
        "_connection",
        "_database",
        "_end",
        "_followed",
        "_frames",
        "_hub",
        "_is_conversing",
        "_meter",
        "_resources",
        "_stalled_seconds",
        "_user",
    )

    def __init__(
        self,
        connection: WebSocket,
        resources: Resources,
        database: StreamDatabase,
        hub: Hub,
        *,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._stalled_seconds = stalled_seconds
        self._connection = connection
        self._resources = resources
        self._database = database
        self._hub = hub
        self._frames: Mailbox[_Frame] = Mailbox(MAX_WAITING_FRAMES)
        self._meter = Meter("websocket")
        self._followed: dict[UUID | None, asyncio.Task[None]] = {}
        self._end: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._is_conversing = False

    async def converse(self, user: StreamUser, first: Subscribe | None) -> None:
        """Serve the client. Raises WebSocketDisconnect when it leaves, and Closing when the server ends it.

        Raises the AppError of a first subscription that is rejected, before any frame is sent.
        """
        self._user = user
        follow = None if first is None else await self.unless_ended(self._prepare(first))
        self._is_conversing = True
        tasks = [asyncio.create_task(self._send_forever()), asyncio.create_task(self._listen_forever())]
        for task in tasks:
            task.add_done_callback(self._end_like)
        try:
            if first is not None and follow is not None:
                self._start(first.job_id, follow)
            # Not `asyncio.wait`, of which each of thousands of connections would keep 1 KiB.
            raise await self._end
        finally:
            await self._stop([*tasks, *self._followed.values()])

    async def unless_ended(self, action: Coroutine[Any, Any, T]) -> T:
        """Await an action, but not beyond the end of the connection. Raises Closing."""
        task = asyncio.create_task(action)
        try:
            waited_for: list[asyncio.Future[Any]] = [task, self._end]
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                raise self._end.result()
            return task.result()
        finally:
            await self._stop([task])

    async def receive_text(self) -> str:
        """Return the next frame. Raises Closing if it is not text or too large, and WebSocketDisconnect."""
        message = await self._connection.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        text: str | None = message.get("text")
        if text is None:
            raise Closing(NOT_TEXT, "frames are text")
        if len(text) > commands.MAX_FRAME_BYTES:
            raise Closing(TOO_LARGE, "the frame is too large")
        return text

    def end(self, closing: Closing) -> None:
        """End the connection."""
        if not self._end.done():
            self._end.set_result(closing)

    def _end_like(self, task: asyncio.Task[None]) -> None:
        """End the connection with the error that has ended a task of it."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._end.done():
            self._end.set_result(error)

    def tick(self, frame: str) -> None:
        """Queue the clock's frame of this second, if there is room for it."""
        if self._is_conversing:
            self._frames.put_nowait((frame, None))

    async def _stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_forever(self) -> None:
        while True:
            frame, happened_at = await self._frames.get()
            try:
                async with asyncio.timeout(self._stalled_seconds):
                    await self._connection.send_text(frame)
            except TimeoutError:
                raise Closing(TRY_AGAIN_LATER, "the client does not read") from None
            if happened_at is not None:
                self._meter.written(happened_at)

    async def _listen_forever(self) -> None:
        while True:
            text = await self.receive_text()
            try:
                await self._dispatch(commands.decode_command(text))
            except msgspec.DecodeError as error:
                await self._send("error", {"code": "invalid_command", "detail": str(error)})
            except AppError as error:
                await self._send("error", {"code": error.code, "detail": error.detail, **error.facts})

    async def _dispatch(self, command: AnyCommand) -> None:
        match command:
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe(job_id=job_id):
                if (task := self._followed.pop(job_id, None)) is not None:
                    await self._stop([task])
                await self._send("unsubscribed", {"job_id": job_id})
            case Cancel(job_id=job_id):
                await self._cancel(job_id)
            case Ping():
                await self._send("pong", {})
            case never:
                assert_never(never)

    async def _subscribe(self, command: Subscribe) -> None:
        if command.job_id not in self._followed and len(self._followed) >= MAX_SUBSCRIPTIONS:
            await self._send("error", {"code": "too_many_subscriptions", "limit": MAX_SUBSCRIPTIONS})
            return
        follow = await self._prepare(command)
        if (earlier := self._followed.pop(command.job_id, None)) is not None:
            await self._stop([earlier])
        self._start(command.job_id, follow)

    async def _prepare(self, command: Subscribe) -> Follow:
        """Return the subscription, ready to start. Raises the AppError with which it is rejected."""
        if command.job_id is None:
            return await self._prepare_all(command.after)
        return await self._prepare_job(command.job_id, command.after or 0)

    def _start(self, key: UUID | None, follow: Follow) -> None:
        self._followed[key] = asyncio.create_task(self._follow(key, follow))

    async def _follow(self, key: UUID | None, follow: Follow) -> None:
        try:
            await follow()
        except HubClosed:
            self.end(Closing(GOING_AWAY, "bye"))
        except AccessEnded:
            self.end(Closing(UNAUTHORIZED, "access_ended"))
        except Exception:
            # Without this the client would receive no more events and no reason.
            log.exception("subscription_failed")
            self.end(Closing(INTERNAL_ERROR, "internal_error"))
        finally:
            if self._followed.get(key) is asyncio.current_task():
                del self._followed[key]

    async def _prepare_job(self, job_id: UUID, after: int | str) -> Follow:
        """Prepare to follow a job. Raises JobNotFound, NotYourJob, IsAShard, InvalidEventId."""
        if not isinstance(after, int) or not 0 <= after < 2**31:
            raise InvalidEventId
        self._ensure_ticket_is_for(job_id)
        async with self._database.connection() as connection:
            # The role may have changed since the connection was opened.
            identity = await identities.renew(connection, self._user.identity)
            job = await service.get_submitted(connection, identity.reach, job_id)
        if job.owner_id != self._user.id:
            self._user.require(Permission.OPERATE)
        owner_id, last_seq = job.owner_id, job.last_seq
        is_over = job.has_ended and after >= last_seq

        async def follow() -> None:
            if is_over:
                # The client may wait for the last event, which it has already seen.
                await self._send("ended", {"job_id": job_id, "last_seq": last_seq})
                return
            async with self._hub.job_follower(owner_id, job_id, after=after) as follower:
                async for event in follower.events():
                    await self._send_event(event)

        return follow

    async def _prepare_all(self, after: int | str | None) -> Follow:
        """Prepare to follow all jobs of the user. Raises Forbidden, InvalidPosition."""
        if self._user.only_job is not None:
            raise Forbidden
        async with self._database.connection() as connection:
            head = await owner_log.head(connection)
        position = head if after is None else owner_log.parse_position(str(after))

        async def follow() -> None:
            await self._send("subscribed", {"job_id": None, "id": str(position)})
            async with self._hub.owner_follower(
                self._user.id, after=position, wanted=EventFilter()
            ) as follower:
                async for entry in follower.events():
                    await self._send_event(entry.event, position=str(entry.position))

        return follow

    async def _cancel(self, job_id: UUID) -> None:
        self._ensure_ticket_is_for(job_id)
        resources = self._resources
        async with unit_of_work(resources.hints, resources.database.connection()) as unit:
            identity = await identities.renew(unit.connection, self._user.identity)
            identity.ensure(Permission.JOBS_WRITE)
            await service.cancel(unit, identity.reach, job_id, by=actor_of(self._connection, identity))
        await self._send("cancel_requested", {"job_id": job_id})

    def _ensure_ticket_is_for(self, job_id: UUID) -> None:
        if self._user.only_job not in (None, job_id):
            raise NotYourJob(job_id=str(job_id))

    async def _send(self, event: str, data: dict[str, Any]) -> None:
        await self._frames.put((_frame(event, _encode(data)), None))

    async def _send_event(self, event: Event, *, position: str | None = None) -> None:
        name = "complete" if event.is_final else "update"
        await self._frames.put((_frame(name, event.flat(), position), event.at))


def _frame(event: str, data: bytes, position: str | None = None) -> str:
    identified = b"" if position is None else b',"id":%s' % _encode(position)
    return (b'{"event":%s%s,"data":%s}' % (_encode(event), identified, data)).decode()
