"""Follows jobs through the hub and counts the subscribers of an owner's events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis

from app.core import keys
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.publishing import publish_transition
from app.jobs.transition_types import TransitionResult
from app.streams import owner_log
from app.streams.hub import Hub
from tests.support.waiting import TIMEOUT_SECONDS, until


class Reader:
    """A follower of a job, with the `seq` of each event received. Clear `may_read` to stall it."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def wait_for(self, count: int) -> list[int]:
        """Wait for at least `count` events and return the numbers received."""

        async def has_seen() -> bool:
            return len(self.seen) >= count

        await until(has_seen)
        return self.seen


@asynccontextmanager
async def following(hub: Hub, owner_id: UUID, job_id: UUID, *, after: int = 0) -> AsyncIterator[Reader]:
    """Follow a job; on exit, wait until the job has ended."""
    reader = Reader()

    async def follow() -> None:
        async for event in hub.follow(owner_id, job_id, after=after):
            await reader.may_read.wait()
            reader.seen.append(event.seq)

    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(follow())
        yield reader


async def until_final(database: Database) -> None:
    """Wait until all committed events are final: a stream that begins now then sends none of them.

    Transactions of other tests, which share the server, hold them back too.
    """

    async def is_final() -> bool:
        async with database.connection() as connection:
            newest = await connection.fetchval("SELECT coalesce(max(xact_id), 0) FROM job_events")
            return bool(newest <= (await owner_log.head(connection)).xact_id)

    await until(is_final)


async def subscriber_count(resources: Resources, owner_id: UUID) -> int:
    """Return the number of processes that are subscribed to this owner's events."""
    async with Redis(connection_pool=resources.redis_pool) as redis:
        [(_, count)] = await redis.pubsub_numsub(keys.events(owner_id))
    return int(count)


def publish(resources: Resources, transition: TransitionResult | None) -> None:
    """Publish the hints of a transition, as production code does after the commit."""
    assert transition is not None
    publish_transition(resources.hints, transition)
