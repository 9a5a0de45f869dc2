"""Token refill: adds a token in Redis for every due job that has none. This makes Redis disposable."""

import asyncio
from typing import Final

import asyncpg
import structlog
from redis.asyncio import ConnectionPool, Redis

from app.core import keys, metrics
from app.core.hints import Hints
from app.core.redis import UNREACHABLE, Availability, Operation
from app.maintenance import queries
from app.maintenance.loop import Loop, RoundResult

TOKENS_AT_ONCE: Final = 1000

ASK_SECONDS: Final = 1.0
"""Timeout for Redis. Meanwhile an open transaction keeps other processes from doing this duty."""

log = structlog.get_logger(__name__)


class TokenRefill:
    """Adds missing tokens: lost ones, and those of delayed jobs that are due now."""

    def __init__(self, pool: ConnectionPool, availability: Availability, hints: Hints) -> None:
        self._redis = Redis(connection_pool=pool)
        self._availability = availability
        self._hints = hints

    async def __call__(self, connection: asyncpg.Connection) -> None:
        """Compare the queues in Postgres with their tokens in Redis, and add the missing tokens."""
        due = await queries.due_jobs(connection, limit=TOKENS_AT_ONCE)
        if not due:
            return
        try:
            async with asyncio.timeout(ASK_SECONDS), self._redis.pipeline(transaction=False) as pipe:
                for waiting in due:
                    pipe.zcard(keys.queue(waiting.queue))
                tokens = await pipe.execute()
        except UNREACHABLE as error:
            self._availability.failed(error, Operation.PUBLISH)
            return
        for waiting, present in zip(due, tokens, strict=True):
            if present < waiting.jobs:
                self._hints.wake(waiting.queue, waiting.jobs - present)
                metrics.TOKENS_RESTORED.inc(waiting.jobs - present)


class TokenRefillLoop(Loop):
    """Checks several times a second whether any job is due, without a lock, before it does a round."""

    async def _do_round(self) -> RoundResult:
        async with self.database.connection() as connection:
            is_any_due = await queries.is_any_due(connection)
        return await super()._do_round() if is_any_due else RoundResult.DONE
