"""Wake: for every due job there is a token in Redis. This is what makes Redis disposable."""

import asyncio
from typing import Final

import asyncpg
import structlog
from redis.asyncio import ConnectionPool, Redis

from app.core import keys
from app.core.hints import Hints
from app.core.redis import UNREACHABLE, Availability, Operation
from app.maintenance.loop import Loop

TOKENS_AT_ONCE: Final = 1000

ASK_SECONDS: Final = 1.0
"""How long Redis may take to answer. Meanwhile a transaction is open, and nobody else does this duty."""

# Queue by queue: were the first due jobs of all queues counted together, a thousand in one that nobody serves
# would hide every other. Which jobs of a queue are counted does not matter, only whether there are more than
# tokens.
_DUE: Final = """
WITH RECURSIVE queues (name) AS (
    SELECT min(queue) FROM jobs WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE status = 'pending' AND queue > q.name)
    FROM queues q WHERE q.name IS NOT NULL
)
SELECT q.name AS queue, due.jobs
FROM queues q CROSS JOIN LATERAL (
    SELECT count(*)::int AS jobs FROM (
        SELECT FROM jobs WHERE queue = q.name AND status = 'pending' AND run_at <= now() LIMIT $1
    ) counted
) due
WHERE due.jobs > 0"""

_IS_ANY_DUE: Final = "SELECT EXISTS (SELECT FROM jobs WHERE status = 'pending' AND run_at <= now())"

log = structlog.get_logger(__name__)


class TokenRefill:
    """Adds the tokens that are missing: lost ones, and those of delayed jobs that are due now."""

    def __init__(self, pool: ConnectionPool, availability: Availability, hints: Hints) -> None:
        self._redis = Redis(connection_pool=pool)
        self._availability = availability
        self._hints = hints

    async def __call__(self, connection: asyncpg.Connection) -> None:
        """Compare the queues in Postgres with their tokens in Redis, and add what is missing."""
        due = await connection.fetch(_DUE, TOKENS_AT_ONCE)
        if not due:
            return
        try:
            async with asyncio.timeout(ASK_SECONDS), self._redis.pipeline(transaction=False) as pipe:
                for row in due:
                    pipe.zcard(keys.queue(row["queue"]))
                tokens = await pipe.execute()
        except UNREACHABLE as error:
            self._availability.failed(error, Operation.PUBLISH)
            return
        for row, present in zip(due, tokens, strict=True):
            if present < row["jobs"]:
                self._hints.wake(row["queue"], row["jobs"] - present)


class TokenRefillLoop(Loop):
    """Looks several times a second, mostly for nothing: one statement says so, without a lock."""

    async def _do_round(self) -> None:
        async with self.database.connection() as connection:
            is_any_due = await connection.fetchval(_IS_ANY_DUE)
        if is_any_due:
            await super()._do_round()
