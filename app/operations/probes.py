"""Short questions to the services that a process depends on."""

import asyncio
from typing import Final

from redis.asyncio import Redis

from app.core.redis import UNREACHABLE, Operation
from app.core.resources import Resources

PROBE_SECONDS: Final = 1.0


async def probe_redis(resources: Resources) -> bool:
    """Whether Redis answers now."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await Redis(connection_pool=resources.redis_pool).ping()
    except UNREACHABLE as error:
        # The next hint that is sent successfully marks Redis as available again.
        resources.redis.failed(error, Operation.PUBLISH)
        return False
    return True
