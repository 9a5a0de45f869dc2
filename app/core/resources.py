"""What a process holds while it lives, opened once and passed to whoever needs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import ConnectionPool

from app.core import background, database, redis
from app.core.config import Settings
from app.core.database import Database
from app.core.hints import Hints
from app.core.redis import Availability
from app.core.signing import HintSigner
from app.core.storage import Storage, open_storage

REDIS_CONNECTIONS = 16


@dataclass(frozen=True)
class Resources:
    """The servers, as one process sees them. Serves API, worker, command line and tests alike."""

    settings: Settings
    database: Database
    redis_pool: ConnectionPool
    redis: Availability
    hints: Hints
    storage: Storage
    signer: HintSigner


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open everything, and close it at the end of the body. Neither server has to be there yet.

    Raises ConfigurationError if there can be no storage at that URL.
    """
    availability = Availability()
    storage = open_storage(settings.storage_url)
    async with (
        database.open_database(
            settings.database_url,
            pool_size=settings.database_pool_size,
            connect_seconds=settings.database_connect_seconds,
        ) as doors,
        redis.open_pool(settings.redis_url, max_connections=REDIS_CONNECTIONS) as redis_pool,
    ):
        signer = HintSigner(doors)
        hints = Hints(redis_pool, availability, signer)
        async with background.running(hints.send_forever()):
            yield Resources(settings, doors, redis_pool, availability, hints, storage, signer)
            await hints.flush()
