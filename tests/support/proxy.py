"""Fault-injecting proxies in front of Postgres and Valkey on a loopback port.

`Proxy` is protocol-agnostic. `PostgresProxy` also parses the protocol, so that it can break a connection at a
given statement: before the server receives it, or between its commit and the reply.
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

ACCEPTING_STEPS: Final = 5
"""More turns of the event loop than it takes until a connection that it has accepted is handed over."""

# Closing with a linger time of zero sends RST and discards unsent data.
_RESET: Final = struct.pack("ii", 1, 0)

Forward = Callable[[bytes], Awaitable[None]]


class Connection:
    """A client's connection and the corresponding connection to the server."""

    def __init__(self, proxy: "Proxy", client: "Stream", server: "Stream") -> None:
        self._proxy = proxy
        self._client = client
        self._server = server

    async def run(self) -> None:
        """Forward data in both directions until either side closes."""
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
        """Handle data from the client."""
        await self._server.write(data)

    async def from_server(self, data: bytes) -> None:
        """Handle data from the server."""
        await asyncio.sleep(self._proxy.delay_seconds)
        await self._client.write(data)

    def reset(self) -> None:
        """Reset both connections immediately."""
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
        """Send with backpressure."""
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Close gracefully."""
        self.writer.close()

    def reset(self) -> None:
        """Abort, so that the peer gets a connection error."""
        peer: socket.socket = self.writer.get_extra_info("socket")
        if peer.family != socket.AF_UNIX:
            with suppress(OSError):  # already closed
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()


@dataclass
class Proxy:
    """A proxy on a loopback port in front of a server's Unix socket; an asynchronous context manager.

    Forwards everything by default. A fault stays active until its counterpart is called.
    """

    upstream: Path
    delay_seconds: float = 0.0
    """Delay of each chunk of a response."""

    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[Connection] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _listening: asyncio.Server | None = None
    _holder: socket.socket = field(default_factory=lambda: _bound(0))

    async def __aenter__(self) -> Self:
        """Start listening."""
        self.flowing.set()
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Reset all connections and release the port."""
        await self.refuse()
        for _step in range(ACCEPTING_STEPS):
            await asyncio.sleep(0)
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._holder.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._holder.getsockname()[1]
        return port

    async def refuse(self) -> None:
        """Reset open connections and refuse new ones, until `accept`."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.cut()
        # The event loop closes the listening socket and its connections in its next iteration.
        await asyncio.sleep(0)

    async def accept(self) -> None:
        """Accept new connections again."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._accept, sock=_bound(self.port))

    def blackhole(self) -> None:
        """Accept connections and keep them open, but forward nothing, until `resume`."""
        self.flowing.clear()

    def resume(self) -> None:
        """Forward data again, including what was held back."""
        self.flowing.set()

    def cut(self) -> None:
        """Reset all open connections once; new ones are accepted."""
        for task in tuple(self._tasks):
            task.cancel()
        for connection in tuple(self._connections):
            connection.reset()

    def connect(self, client: Stream, server: Stream) -> Connection:
        """Create the connection between client and server."""
        return Connection(self, client, server)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._listening is None:  # it came in while the listener was closed
            Stream(reader, writer).reset()
            return
        task = asyncio.create_task(self._serve(Stream(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Stream) -> None:
        try:
            await self.flowing.wait()
            server = Stream(*await asyncio.open_unix_connection(str(self.upstream)))
        except OSError:  # the server is down
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
    """When a connection breaks, relative to a statement."""

    BEFORE = auto()
    AFTER = auto()


@dataclass
class Break:
    """A planned break of the connection that sends the next statement containing this text."""

    text: bytes
    moment: Moment
    happened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class PostgresProxy(Proxy):
    """A proxy that parses the Postgres protocol and can break connections at a given statement."""

    _breaks: list[Break] = field(default_factory=list)

    def break_before(self, text: str) -> asyncio.Event:
        """Reset the connection of the next statement that contains `text`, without forwarding the statement.

        Happens once; the returned event is set when it has.
        """
        return self._arm(text, Moment.BEFORE)

    def lose_reply(self, text: str) -> asyncio.Event:
        """Reset the connection of the next statement that contains `text` after its commit, before the reply.

        Happens once; the returned event is set when it has. Inside a transaction, the reply to COMMIT is
        lost.
        """
        return self._arm(text, Moment.AFTER)

    def _arm(self, text: str, moment: Moment) -> asyncio.Event:
        planned = Break(text.encode(), moment)
        self._breaks.append(planned)
        return planned.happened

    def take_break(self, statement: bytes) -> Break | None:
        """Remove and return the break planned for this statement, if any."""
        for planned in self._breaks:
            if planned.text in statement:
                self._breaks.remove(planned)
                return planned
        return None

    def connect(self, client: Stream, server: Stream) -> Connection:
        """Create the connection between client and server."""
        return PostgresConnection(self, client, server)


class PostgresConnection(Connection):
    """Parses the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

    def __init__(self, proxy: PostgresProxy, client: Stream, server: Stream) -> None:
        super().__init__(proxy, client, server)
        self._breaks = proxy
        self._client_buffer = bytearray()
        self._server_buffer = bytearray()
        self._is_started = False
        self._statements: dict[bytes, bytes] = {}
        self._losing: Break | None = None
        self._held = bytearray()

    async def from_client(self, data: bytes) -> None:
        """Forward the data unless it contains the statement at which to break."""
        self._client_buffer += data
        for kind, body in self._client_messages():
            if kind == b"P":  # Parse: names a statement
                name, text, _ = body.split(b"\0", 2)
                self._statements[name] = text
            elif kind == b"B":  # Bind: the named statement is about to be executed
                name = body.split(b"\0", 2)[1]
                planned = self._breaks.take_break(self._statements.get(name, b""))
                if planned is not None and planned.moment is Moment.BEFORE:
                    planned.happened.set()
                    self.reset()
                    return
                self._losing = self._losing or planned
        await super().from_client(data)

    async def from_server(self, data: bytes) -> None:
        """Hold the reply back until it is known whether it is the one to lose."""
        if self._losing is None:
            await super().from_server(data)
            return
        self._held += data
        self._server_buffer += data
        for kind, body in _messages(self._server_buffer):
            if kind != b"Z":  # ReadyForQuery: the end of the reply
                continue
            if body == b"I":  # idle, not in a transaction: the statement is committed
                self._losing.happened.set()
                self.reset()
                return
            held, self._held = bytes(self._held), bytearray()
            await super().from_server(held)

    def _client_messages(self) -> list[tuple[bytes, bytes]]:
        # Messages have no type byte up to and including the start-up message of protocol 3.
        while not self._is_started:
            if len(self._client_buffer) < 8:
                return []
            size, code = struct.unpack_from("!ii", self._client_buffer)
            if len(self._client_buffer) < size:
                return []
            del self._client_buffer[:size]
            self._is_started = code >> 16 == 3
        return _messages(self._client_buffer)


def _messages(buffer: bytearray) -> list[tuple[bytes, bytes]]:
    """Remove the complete messages from the buffer and return them as (type, body)."""
    found = []
    while len(buffer) >= 5:
        (size,) = struct.unpack_from("!i", buffer, 1)
        if len(buffer) < 1 + size:
            break
        found.append((bytes(buffer[:1]), bytes(buffer[5 : 1 + size])))
        del buffer[: 1 + size]
    return found


def _bound(port: int) -> socket.socket:
    """Return a socket that reserves a port without listening. Our other sockets may share the port."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((HOST, port))
    return holder


@asynccontextmanager
async def proxy_postgres(postgres: EmbeddedPostgres) -> AsyncIterator[PostgresProxy]:
    """Run a proxy in front of Postgres during the body."""
    async with PostgresProxy(postgres.socket_dir / f".s.PGSQL.{PORT}") as proxy:
        yield proxy


def postgres_url(proxy: Proxy, direct_url: str) -> str:
    """Return the URL of the database at `direct_url` through the proxy."""
    credentials, database = direct_url.split("@/")
    return f"{credentials}@{HOST}:{proxy.port}/{database.split('?')[0]}"


@asynccontextmanager
async def proxy_valkey(valkey: EmbeddedValkey) -> AsyncIterator[Proxy]:
    """Run a proxy in front of Valkey during the body."""
    async with Proxy(Path(valkey.url.removeprefix("unix://"))) as proxy:
        yield proxy


def redis_url(proxy: Proxy) -> str:
    """Return the URL of the Valkey behind the proxy."""
    return f"redis://{HOST}:{proxy.port}"
