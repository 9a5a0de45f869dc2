"""Redis connections, and this process's view of whether Redis is available.

Every operation has a timeout: without one, a caller would hang forever if Redis stops answering but the
connection stays open.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from time import monotonic
from typing import Any, TypeAlias

import structlog
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from app.core import metrics

CONNECT_SECONDS = 1.5
SOCKET_SECONDS = 3.0
RECOVERY_SECONDS = 5.0
"""Time without failures after which Redis counts as available: a slow Redis fails every few seconds."""

UNREACHABLE = (RedisError, OSError, TimeoutError)
"""What a command raises if Redis cannot serve it: down, unreachable, read-only or out of memory."""

Command: TypeAlias = tuple[str | bytes | float, ...]
"""The name of a command and its arguments."""

log = structlog.get_logger(__name__)


def connection_pool(url: str, *, max_connections: int) -> ConnectionPool:
    """Create a bounded connection pool. Commands time out after `SOCKET_SECONDS` and are not retried."""
    pool: ConnectionPool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=SOCKET_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
    )
    # Set afterwards, because what the URL implies overrides arguments of `from_url`, such as the class.
    pool.connection_class = _CONNECTION_CLASSES.get(pool.connection_class, pool.connection_class)
    return pool


class _WriteErrorMixin(AbstractConnection):
    """Raises `ConnectionError` when a command is written to a closed connection under uvloop.

    uvloop raises RuntimeError for a write to a transport that the peer has just closed; asyncio ignores the
    write. redis-py expects asyncio's behaviour and does not catch the RuntimeError.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send a command packed by `pack_command`."""
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(str(error)) from error


class _TcpConnection(_WriteErrorMixin, Connection):
    pass


class _UnixConnection(_WriteErrorMixin, UnixDomainSocketConnection):
    pass


class _TlsConnection(_WriteErrorMixin, SSLConnection):
    pass


_CONNECTION_CLASSES = {
    Connection: _TcpConnection,
    UnixDomainSocketConnection: _UnixConnection,
    SSLConnection: _TlsConnection,
}


class DedicatedConnection:
    """A connection of a pool that one owner keeps, to send several commands at once.

    A pipeline of redis-py takes a connection from the pool for each use, tests whether anything can be read
    from it, and has a time limit for the write and for each reply. All that takes longer than the commands.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: AbstractConnection | None = None

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one write, and return their replies: for a command that fails, its error.

        If Redis has closed the connection since its last use, they are sent again on a new one. Not for two
        tasks at the same time. Raises UNREACHABLE.
        """
        if self._connection is not None:
            try:
                return await self._execute(self._connection, commands)
            except RedisConnectionError:
                pass
        self._connection = await self._pool.get_connection()
        self._connection.socket_timeout = None  # one limit holds for all commands
        return await self._execute(self._connection, commands)

    async def _execute(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        try:
            async with asyncio.timeout(SOCKET_SECONDS):
                await connection.send_packed_command(connection.pack_commands(commands))
                return [await _reply(connection) for _ in commands]
        except BaseException:  # replies may be under way
            self._connection = None
            await connection.disconnect(nowait=True)
            connection.socket_timeout = SOCKET_SECONDS
            await self._pool.release(connection)
            raise


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def first_error(replies: Iterable[Any]) -> ResponseError | None:
    """Return the first reply that is an error."""
    return next((reply for reply in replies if isinstance(reply, ResponseError)), None)


class Operation(StrEnum):
    """Kinds of Redis operation. One may fail while another works, for example if Redis is read-only."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    CONSUME = "consume"


class Availability:
    """Tracks whether Redis is available to this process, and logs each change once.

    Redis becomes unavailable with the first failure. It is available again once every kind of operation that
    failed has succeeded and nothing has failed for `RECOVERY_SECONDS`, so that an intermittent or partial
    outage is logged once. Each caller retries by itself; while Redis is unavailable, the hint publisher
    writes a probe every second.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.is_up = True
        self._clock = clock
        self._failing: set[Operation] = set()
        self._failed_at = -math.inf
        metrics.REDIS_UP.set(1)

    def succeeded(self, operation: Operation = Operation.SUBSCRIBE) -> None:
        """Record that an operation succeeded."""
        self._failing.discard(operation)
        if self.is_up or self._failing or self._clock() - self._failed_at < RECOVERY_SECONDS:
            return
        self.is_up = True
        metrics.REDIS_UP.set(1)
        log.info("redis_recovered")

    def failed(self, error: BaseException, operation: Operation = Operation.SUBSCRIBE) -> None:
        """Record that an operation failed with `error`."""
        self._failing.add(operation)
        self._failed_at = self._clock()
        if not self.is_up:
            return
        self.is_up = False
        metrics.REDIS_UP.set(0)
        log.warning("redis_unavailable", operation=operation, error=f"{type(error).__name__}: {error}")


@asynccontextmanager
async def open_pool(url: str, *, max_connections: int) -> AsyncIterator[ConnectionPool]:
    """Create a connection pool; close its connections on exit."""
    pool = connection_pool(url, max_connections=max_connections)
    try:
        yield pool
    finally:
        await pool.disconnect()
