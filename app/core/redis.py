"""Redis: how we connect, and what we know about whether it answers.

Every connection has time limits: without them a Redis that swallows packets hangs its caller for good.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from enum import StrEnum
from time import monotonic

import structlog
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.core import metrics

CONNECT_SECONDS = 1.5
SOCKET_SECONDS = 3.0
STEADY_SECONDS = 5.0
"""How long nothing may fail before Redis counts as back: one that is slow fails every few seconds."""

UNREACHABLE = (RedisError, OSError, TimeoutError)
"""What a command raises when Redis cannot do it: away, black-holed, read-only, out of memory."""

log = structlog.get_logger(__name__)


def connection_pool(url: str, *, max_connections: int) -> ConnectionPool:
    """A bounded pool on which no command takes longer than `SOCKET_SECONDS` and none is retried blindly."""
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
    # What the URL says goes before what we say, for the class too.
    pool.connection_class = _CONNECTION_CLASSES.get(pool.connection_class, pool.connection_class)
    return pool


class _ToldOnWrite(AbstractConnection):
    """A connection on which a write that comes too late is a `ConnectionError`, as it is without uvloop.

    uvloop raises RuntimeError for a write to a transport whose other end has just closed it, where asyncio
    lets the write pass; redis-py knows only asyncio's way, and lets the error through.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send what `pack_command` made."""
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(str(error)) from error


class _TcpConnection(_ToldOnWrite, Connection):
    pass


class _UnixConnection(_ToldOnWrite, UnixDomainSocketConnection):
    pass


class _TlsConnection(_ToldOnWrite, SSLConnection):
    pass


_CONNECTION_CLASSES = {
    Connection: _TcpConnection,
    UnixDomainSocketConnection: _UnixConnection,
    SSLConnection: _TlsConnection,
}


class Use(StrEnum):
    """What Redis is used for. It may do one and not the other: read-only, or out of memory."""

    LISTEN = "listen"
    SEND = "send"
    TAKE = "take"


class Availability:
    """Whether Redis does all that is asked of it, as this process last saw it.

    What failed at one use is back only when that use succeeds, and when nothing has failed for a while: a
    Redis that does one thing and not another, or now and then, is away. So there is one log line at each
    change, not a flood. Each use tries again by itself, and as long as Redis is away, something is sent each
    second.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.is_up = True
        self._clock = clock
        self._failing: set[Use] = set()
        self._failed_at = -math.inf
        metrics.REDIS_UP.set(1)

    def succeeded(self, use: Use = Use.LISTEN) -> None:
        """Redis did what was asked."""
        self._failing.discard(use)
        if self.is_up or self._failing or self._clock() - self._failed_at < STEADY_SECONDS:
            return
        self.is_up = True
        metrics.REDIS_UP.set(1)
        log.info("redis_back")

    def failed(self, error: BaseException, use: Use = Use.LISTEN) -> None:
        """Redis did not do what was asked."""
        self._failing.add(use)
        self._failed_at = self._clock()
        if not self.is_up:
            return
        self.is_up = False
        metrics.REDIS_UP.set(0)
        log.warning("redis_away", use=use, error=f"{type(error).__name__}: {error}")


@asynccontextmanager
async def open_pool(url: str, *, max_connections: int) -> AsyncIterator[ConnectionPool]:
    """A connection pool that is disconnected at the end of the body."""
    pool = connection_pool(url, max_connections=max_connections)
    try:
        yield pool
    finally:
        await pool.disconnect()
