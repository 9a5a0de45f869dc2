"""One WebSocket client: what it follows, what it says, and what is sent to it.

Everything for the client goes through one bounded queue that one task empties. Events wait for a place in it,
so a slow client slows down only its own followers, which then resume from the log; ticks of the clock do not
wait. A client that takes nothing at all for `STALLED_SECONDS` is sent away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec
import structlog
from starlette.websockets import WebSocket

from app.core.errors import AppError
from app.core.resources import Resources
from app.jobs import service
from app.jobs.announcements import announce
from app.jobs.errors import InvalidEventId
from app.jobs.states import Status
from app.streams import commands, owner_log
from app.streams.admission import StreamUser
from app.streams.commands import AnyCommand, Cancel, Ping, Subscribe, Unsubscribe
from app.streams.followers import AccessEnded, HubClosed
from app.streams.hub import Hub
from app.streams.owner_log import EventFilter, InvalidPlace

MAX_WAITING_FRAMES: Final = 64
MAX_SUBSCRIPTIONS: Final = 100
STALLED_SECONDS: Final = 30.0

GOING_AWAY: Final = 1001
TRY_AGAIN_LATER: Final = 1013
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
NOT_FOUND: Final = 4404

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Sockets:
    """All conversations of this process: what the clock speaks to, and what is closed when it stops."""

    def __init__(self) -> None:
        self._open: set[Socket] = set()

    @contextmanager
    def holding(self, socket: "Socket") -> Iterator[None]:
        """Have this one among them during the body."""
        self._open.add(socket)
        try:
            yield
        finally:
            self._open.discard(socket)

    def tick(self, frame: str) -> None:
        """Pass on the clock's frame of this second."""
        for socket in tuple(self._open):
            socket.tick(frame)

    def close(self) -> None:
        """Say goodbye to everybody."""
        for socket in tuple(self._open):
            socket.end(Closing(GOING_AWAY, "bye"))


class Closing(Exception):
    """The connection is to be closed, with this code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Socket:
    """The conversation with one client, from the accepted handshake to the end."""

    def __init__(self, connection: WebSocket, resources: Resources, hub: Hub, user: StreamUser) -> None:
        self._connection = connection
        self._resources = resources
        self._hub = hub
        self._user = user
        self._frames: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING_FRAMES)
        self._followed: dict[UUID | None, asyncio.Task[None]] = {}
        self._end: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()

    async def converse(self, first: Subscribe | None) -> None:
        """Serve the client until it leaves; raises Closing when it is to be sent away."""
        tasks = [asyncio.create_task(self._send_forever()), asyncio.create_task(self._listen_forever())]
        try:
            if first is not None:
                await self._subscribe(first)
            waited_for: list[asyncio.Future[Any]] = [*tasks, self._end]
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                raise self._end.result()
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await self._stop([*tasks, *self._followed.values()])

    def end(self, closing: Closing) -> None:
        """Have the conversation end."""
        if not self._end.done():
            self._end.set_result(closing)

    def tick(self, frame: str) -> None:
        """Take the clock's frame of this second, if there is room for it."""
        with suppress(asyncio.QueueFull):
            self._frames.put_nowait(frame)

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_forever(self) -> None:
        while True:
            frame = await self._frames.get()
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await self._connection.send_text(frame)
            except TimeoutError:
                raise Closing(TRY_AGAIN_LATER, "the client does not read") from None

    async def _listen_forever(self) -> None:
        while True:
            text = await self._connection.receive_text()
            if len(text) > commands.MAX_FRAME_BYTES:
                raise Closing(1009, "the frame is too large")
            try:
                await self._obey(commands.decode_command(text))
            except msgspec.DecodeError as error:
                await self._say("error", {"code": "invalid_command", "detail": str(error)})
            except AppError as error:
                await self._say("error", {"code": error.code, "detail": error.detail, **error.facts})

    async def _obey(self, command: AnyCommand) -> None:
        match command:
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe(job_id=job_id):
                if (task := self._followed.pop(job_id, None)) is not None:
                    await self._stop([task])
                await self._say("unsubscribed", {"job_id": job_id})
            case Cancel(job_id=job_id):
                await self._cancel(job_id)
            case Ping():
                await self._say("pong", {})
            case never:
                assert_never(never)

    async def _subscribe(self, command: Subscribe) -> None:
        if len(self._followed) >= MAX_SUBSCRIPTIONS:
            await self._say("error", {"code": "too_many_subscriptions", "limit": MAX_SUBSCRIPTIONS})
            return
        follow = await (self._prepare_all(command) if command.job_id is None else self._prepare_job(command))
        if (earlier := self._followed.pop(command.job_id, None)) is not None:
            await self._stop([earlier])
        self._followed[command.job_id] = asyncio.create_task(self._follow(command.job_id, follow))

    async def _follow(self, key: UUID | None, follow: Callable[[], Awaitable[None]]) -> None:
        try:
            await follow()
        except HubClosed:
            self.end(Closing(GOING_AWAY, "bye"))
        except AccessEnded:
            self.end(Closing(UNAUTHORIZED, "access ended"))
        finally:
            if self._followed.get(key) is asyncio.current_task():
                del self._followed[key]

    async def _prepare_job(self, command: Subscribe) -> Callable[[], Awaitable[None]]:
        """Check that the job may be followed from there. Raises JobNotFound, NotYourJob, InvalidEventId."""
        assert command.job_id is not None  # noqa: S101  # the caller has looked
        job_id, after = command.job_id, command.after or 0
        if not isinstance(after, int) or not 0 <= after < 2**31:
            raise InvalidEventId
        async with self._resources.database.connection() as connection:
            row = await service.get_own(connection, self._user.id, job_id)
        is_over = Status(row["status"]).is_final and after >= row["last_seq"]

        async def follow() -> None:
            if is_over:
                return
            async for event in self._hub.follow(self._user.id, job_id, after=after):
                await self._say_encoded("complete" if event.type.is_final else "update", event.flat())

        return follow

    async def _prepare_all(self, command: Subscribe) -> Callable[[], Awaitable[None]]:
        """Check that all jobs may be followed from there. Raises InvalidPlace."""
        if self._user.only_job is not None:
            raise InvalidPlace
        async with self._resources.database.connection() as connection:
            present = await owner_log.present(connection)
        place = present if command.after is None else owner_log.parse_place(str(command.after))

        async def follow() -> None:
            await self._say("subscribed", {"job_id": None, "id": str(place)})
            async with self._hub.owner_follower(self._user.id, after=place, wanted=EventFilter()) as follower:
                async for placed in follower.events():
                    name = "complete" if placed.event.type.is_final else "update"
                    await self._say_encoded(name, placed.event.flat(), place=str(placed.place))

        return follow

    async def _cancel(self, job_id: UUID) -> None:
        async with self._resources.database.connection() as connection:
            moved = await service.cancel(connection, self._user.id, job_id)
        if moved is not None:
            announce(self._resources.hints, moved)
        await self._say("cancel_requested", {"job_id": job_id})

    async def _say(self, event: str, data: dict[str, Any]) -> None:
        await self._say_encoded(event, _encode(data))

    async def _say_encoded(self, event: str, data: bytes, *, place: str | None = None) -> None:
        identified = b"" if place is None else b',"id":%s' % _encode(place)
        await self._frames.put((b'{"event":%s%s,"data":%s}' % (_encode(event), identified, data)).decode())
