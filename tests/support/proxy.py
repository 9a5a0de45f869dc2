"""A server behind a loopback port, with a network between that fails as it is told.

`Proxy` knows nothing of what passes through it. `PostgresProxy` reads along, just enough to break the
connection at one statement: before the server sees it, or after its commit and before the reply.
"""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final, Self

from app.embedded.postgres import PORT, EmbeddedPostgres
from app.embedded.valkey import EmbeddedValkey

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 64 * 1024

# Closing with a linger of zero seconds sends a reset, and drops what was not sent yet.
_RESET: Final = struct.pack("ii", 1, 0)

Forward = Callable[[bytes], Awaitable[None]]


class Connection:
    """One client's connection, and the one to the server behind it."""

    def __init__(self, proxy: "Proxy", client: "Stream", server: "Stream") -> None:
        self._proxy = proxy
        self._client = client
        self._server = server

    async def run(self) -> None:
        """Pass on what comes from either side until one of them ends."""
        pumps = (
            asyncio.create_task(self._pump(self._client, self.from_client)),
            asyncio.create_task(self._pump(self._server, self.from_server)),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._server.end()
            self._client.end()

    async def from_client(self, data: bytes) -> None:
        """Take in what the client sent."""
        await self._server.write(data)

    async def from_server(self, data: bytes) -> None:
        """Take in what the server sent."""
        await asyncio.sleep(self._proxy.delay_seconds)
        await self._client.write(data)

    def reset(self) -> None:
        """Cut it on both sides, at once."""
        self._client.reset()
        self._server.reset()

    async def _pump(self, source: "Stream", forward: Forward) -> None:
        with suppress(ConnectionError):
            while data := await source.reader.read(CHUNK_BYTES):
                await self._proxy.flowing.wait()
                await forward(data)


@dataclass(frozen=True)
class Stream:
    """Both directions of one socket."""

    reader: StreamReader
    writer: StreamWriter

    async def write(self, data: bytes) -> None:
        """Send, at the pace at which the other side takes it."""
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Close it in good order."""
        self.writer.close()

    def reset(self) -> None:
        """Close it so that the other side reads an error."""
        peer: socket.socket = self.writer.get_extra_info("socket")
        if peer.family != socket.AF_UNIX:
            with suppress(OSError):  # it is closed already
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()


@dataclass
class Proxy:
    """A loopback port in front of a server's Unix socket. An asynchronous context manager.

    It passes everything on until it is told otherwise. What it is told holds until it is told the contrary.
    """

    upstream: Path
    delay_seconds: float = 0.0
    """How long each piece of an answer is held up."""

    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[Connection] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _listening: asyncio.Server | None = None
    _holder: socket.socket = field(default_factory=lambda: _bound(0))

    async def __aenter__(self) -> Self:
        """Listen."""
        self.flowing.set()
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut everything, and let go of the port."""
        await self.refuse()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._holder.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._holder.getsockname()[1]
        return port

    async def refuse(self) -> None:
        """Be a machine on which nothing listens: cut what is open, refuse what is new."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.cut()
        # The loop closes the listening socket, and its connections, in its next round.
        await asyncio.sleep(0)

    async def accept(self) -> None:
        """Let new connections in again."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._accept, sock=_bound(self.port))

    def swallow(self) -> None:
        """Be a black hole: connections open, stay open, and nothing ever comes through them."""
        self.flowing.clear()

    def flow(self) -> None:
        """Let everything through again, also what was swallowed."""
        self.flowing.set()

    def cut(self) -> None:
        """Reset every connection there is; new ones are welcome."""
        for task in tuple(self._tasks):
            task.cancel()
        for connection in tuple(self._connections):
            connection.reset()

    def connect(self, client: Stream, server: Stream) -> Connection:
        """A new connection between the two."""
        return Connection(self, client, server)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(Stream(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Stream) -> None:
        try:
            await self.flowing.wait()
            server = Stream(*await asyncio.open_unix_connection(str(self.upstream)))
        except OSError:  # nobody is there
            client.reset()
            return
        except asyncio.CancelledError:
            client.reset()
            raise
        connection = self.connect(client, server)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


class Moment(Enum):
    """When a connection breaks, as seen from the statement it carries."""

    BEFORE = auto()
    AFTER = auto()


@dataclass
class Break:
    """One connection that is to break at the next statement with this text."""

    text: bytes
    moment: Moment
    happened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class PostgresProxy(Proxy):
    """A proxy that can read what Postgres and asyncpg say to each other."""

    _breaks: list[Break] = field(default_factory=list)

    def break_before(self, text: str) -> asyncio.Event:
        """Cut the connection on which a statement with this text comes, and keep the statement back.

        Once only; the event says that it has happened.
        """
        return self._arm(text, Moment.BEFORE)

    def lose_reply(self, text: str) -> asyncio.Event:
        """Cut the connection on which a statement with this text comes, once it is committed.

        Once only; the event says that it has happened. Nothing of the reply gets through. In a transaction
        it is the reply to the COMMIT that is lost.
        """
        return self._arm(text, Moment.AFTER)

    def _arm(self, text: str, moment: Moment) -> asyncio.Event:
        planned = Break(text.encode(), moment)
        self._breaks.append(planned)
        return planned.happened

    def due_break(self, statement: bytes) -> Break | None:
        """The break that is to happen at this statement, which is then no longer planned."""
        for planned in self._breaks:
            if planned.text in statement:
                self._breaks.remove(planned)
                return planned
        return None

    def connect(self, client: Stream, server: Stream) -> Connection:
        """A new connection between the two."""
        return PostgresConnection(self, client, server)


class PostgresConnection(Connection):
    """Follows the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

    def __init__(self, proxy: PostgresProxy, client: Stream, server: Stream) -> None:
        super().__init__(proxy, client, server)
        self._breaks = proxy
        self._said_by_client = bytearray()
        self._said_by_server = bytearray()
        self._is_started = False
        self._statements: dict[bytes, bytes] = {}
        self._losing: Break | None = None
        self._held = bytearray()

    async def from_client(self, data: bytes) -> None:
        """Look for the statement at which to break."""
        self._said_by_client += data
        for kind, body in self._client_messages():
            if kind == b"P":  # Parse: a name for a statement
                name, text, _ = body.split(b"\0", 2)
                self._statements[name] = text
            elif kind == b"B":  # Bind: the statement of this name is about to run
                name = body.split(b"\0", 2)[1]
                planned = self._breaks.due_break(self._statements.get(name, b""))
                if planned is not None and planned.moment is Moment.BEFORE:
                    planned.happened.set()
                    self.reset()
                    return
                self._losing = self._losing or planned
        await super().from_client(data)

    async def from_server(self, data: bytes) -> None:
        """Hold the reply back while it may be the one to lose."""
        if self._losing is None:
            await super().from_server(data)
            return
        self._held += data
        self._said_by_server += data
        for kind, body in _messages(self._said_by_server):
            if kind != b"Z":  # ReadyForQuery: the end of the answer
                continue
            if body == b"I":  # outside of a transaction: what was said is committed
                self._losing.happened.set()
                self.reset()
                return
            held, self._held = bytes(self._held), bytearray()
            await super().from_server(held)

    def _client_messages(self) -> list[tuple[bytes, bytes]]:
        # Until the start-up message of protocol 3 has passed, messages have no type.
        while not self._is_started:
            if len(self._said_by_client) < 8:
                return []
            size, code = struct.unpack_from("!ii", self._said_by_client)
            if len(self._said_by_client) < size:
                return []
            del self._said_by_client[:size]
            self._is_started = code >> 16 == 3
        return _messages(self._said_by_client)


def _messages(buffer: bytearray) -> list[tuple[bytes, bytes]]:
    """Take the whole messages off a buffer."""
    found = []
    while len(buffer) >= 5:
        (size,) = struct.unpack_from("!i", buffer, 1)
        if len(buffer) < 1 + size:
            break
        found.append((bytes(buffer[:1]), bytes(buffer[5 : 1 + size])))
        del buffer[: 1 + size]
    return found


def _bound(port: int) -> socket.socket:
    """A socket that holds a port without listening on it. Others of ours may share the port."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((HOST, port))
    return holder


@asynccontextmanager
async def before_postgres(postgres: EmbeddedPostgres) -> AsyncIterator[PostgresProxy]:
    """A proxy in front of a Postgres."""
    async with PostgresProxy(postgres.socket_dir / f".s.PGSQL.{PORT}") as proxy:
        yield proxy


def postgres_url(proxy: Proxy, direct_url: str) -> str:
    """The same database as at `direct_url`, through the proxy."""
    who, where = direct_url.split("@/")
    return f"{who}@{HOST}:{proxy.port}/{where.split('?')[0]}"


@asynccontextmanager
async def before_valkey(valkey: EmbeddedValkey) -> AsyncIterator[Proxy]:
    """A proxy in front of a Valkey."""
    async with Proxy(Path(valkey.url.removeprefix("unix://"))) as proxy:
        yield proxy


def redis_url(proxy: Proxy) -> str:
    """The Valkey behind the proxy."""
    return f"redis://{HOST}:{proxy.port}"
