"""The resources of one process: opened once, and passed to the code that needs them."""

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
    """Settings and connections of one process: an API server, a worker, or the command line."""

    settings: Settings
    database: Database
    redis_pool: ConnectionPool
    redis: Availability
    hints: Hints
    storage: Storage
    signer: HintSigner


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open the resources during the body. Neither Postgres nor Redis has to be reachable yet.

    Raises ConfigurationError for an invalid STORAGE_URL.
    """
    availability = Availability()
    storage = open_storage(settings.storage_url)
    async with (
        database.open_database(
            settings.database_url,
            pool_size=settings.database_pool_size,
            connect_seconds=settings.database_connect_seconds,
        ) as opened,
        redis.open_pool(settings.redis_url, max_connections=REDIS_CONNECTIONS) as redis_pool,
    ):
        signer = HintSigner(opened)
        hints = Hints(redis_pool, availability, signer)
        async with background.running(hints.send_forever()):
            yield Resources(settings, opened, redis_pool, availability, hints, storage, signer)
            await hints.flush()
