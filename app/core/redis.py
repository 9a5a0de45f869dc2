"""Redis: how we connect, and what we know about whether it answers.

Every connection has time limits: without them a Redis that swallows packets hangs its caller for good.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.core import metrics

CONNECT_SECONDS = 1.5
SOCKET_SECONDS = 3.0

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
    return pool


class Availability:
    """Whether Redis answers, as this process last saw it. One log line at each change, not a flood."""

    def __init__(self) -> None:
        self.is_up = True
        metrics.REDIS_UP.set(1)

    def succeeded(self) -> None:
        """Redis did what was asked."""
        if not self.is_up:
            self.is_up = True
            metrics.REDIS_UP.set(1)
            log.info("redis_back")

    def failed(self, error: BaseException) -> None:
        """Redis did not do what was asked."""
        if self.is_up:
            self.is_up = False
            metrics.REDIS_UP.set(0)
            log.warning("redis_away", error=f"{type(error).__name__}: {error}")


@asynccontextmanager
async def open_pool(url: str, *, max_connections: int) -> AsyncIterator[ConnectionPool]:
    """A connection pool that is disconnected at the end of the body."""
    pool = connection_pool(url, max_connections=max_connections)
    try:
        yield pool
    finally:
        await pool.disconnect()
