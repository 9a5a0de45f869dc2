"""A starter and the hosts that it starts, as the tests use them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.ray.cluster import START_SECONDS, Cluster
from tests.support.waiting import until
from worker.engines.ray.starting import RayStarter


class Started:
    """A starter, and what it has reported."""

    def __init__(self, starter: RayStarter, address: str) -> None:
        self.starter = starter
        self.lost: list[int] = []
        self.secrets_made: list[int] = []
        self.connections: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self._address = address

    async def start(self, number: int) -> None:
        """Start a host, and wait until it has connected."""
        await self.place(number)
        async with asyncio.timeout(START_SECONDS):
            await self.connections.get()

    async def place(self, number: int) -> None:
        """Start a host."""
        await self.starter.start(number, self._address, lambda: self._secret(number))

    async def until_lost(self, number: int) -> None:
        """Wait until a host is reported as lost."""

        async def is_lost() -> bool:
            return number in self.lost

        await until(is_lost)

    async def until_available(self, *, is_available: bool = True) -> None:
        """Wait until the starter is connected, or no longer."""

        async def has_changed() -> bool:
            return self.starter.is_available is is_available

        await until(has_changed)

    def _secret(self, number: int) -> str:
        self.secrets_made.append(number)
        return "a secret that nobody asks for"


@asynccontextmanager
async def started(
    cluster: Cluster, *, token: str | None = None, cpus: float = 1, gpus: int = 0
) -> AsyncIterator[Started]:
    """Open a starter, whose hosts connect to a socket of the test. It accepts them and says nothing."""
    writers: list[asyncio.StreamWriter] = []

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        found.connections.put_nowait(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    starter = RayStarter(
        cluster.address, lambda: cluster.token if token is None else token, cpus=cpus, gpus=gpus
    )
    found = Started(starter, f"127.0.0.1:{port}")
    try:
        await starter.open(found.lost.append)
        await found.until_available()
        yield found
    finally:
        await starter.close()
        server.close()
        for writer in writers:
            writer.close()
        if sys.version_info >= (3, 12):
            await server.wait_closed()
