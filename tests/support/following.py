"""Following a job through the hub, and knowing when somebody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis

from app.core import keys
from app.core.resources import Resources
from app.jobs.publishing import publish_transition
from app.jobs.transition_types import TransitionResult
from app.streams.hub import Hub
from tests.support.waiting import PATIENCE_SECONDS, until


class Reader:
    """Somebody who follows a job, and the numbers of the events that came."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def saw(self, count: int) -> list[int]:
        """The numbers so far, once there are so many."""

        async def has_seen() -> bool:
            return len(self.seen) >= count

        await until(has_seen)
        return self.seen


@asynccontextmanager
async def following(hub: Hub, owner_id: UUID, job_id: UUID, *, after: int = 0) -> AsyncIterator[Reader]:
    """Follow a job during the body, and after it until the job's end, which must come."""
    reader = Reader()

    async def follow() -> None:
        async for event in hub.follow(owner_id, job_id, after=after):
            await reader.may_read.wait()
            reader.seen.append(event.seq)

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(follow())
        yield reader


async def listeners(resources: Resources, owner_id: UUID) -> int:
    """How many processes hear the hints about this owner's jobs."""
    async with Redis(connection_pool=resources.redis_pool) as redis:
        [(_, count)] = await redis.pubsub_numsub(keys.events(owner_id))
    return int(count)


def tell(resources: Resources, transition: TransitionResult | None) -> None:
    """Announce a transition, as whoever made it would."""
    assert transition is not None
    publish_transition(resources.hints, transition)
