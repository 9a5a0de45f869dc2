"""A load balancer on a loopback port, which sends connections to the API processes that are ready.

It does what a Service of Kubernetes does: it polls the readiness of each process on its private port, gives
each new connection to the next ready process, and leaves open connections alone. A process that is to stop
leaves the rotation a moment later, as the endpoints of a pod do.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.support.ports import HOST
from tests.support.waiting import until

PROBE_SECONDS: Final = 0.25
PROBE_TIMEOUT_SECONDS: Final = 20.0
"""Longer than on a cluster: a busy test machine is no reason to take a process out of the rotation."""

CHUNK_BYTES: Final = 64 * 1024


@dataclass(eq=False)
class Backend:
    """A process behind the balancer."""

    port: int
    metrics_port: int
    is_ready: bool = False


@dataclass
class Balancer:
    """The rotation; `url` is where clients connect."""

    url: str
    backends: list[Backend] = field(default_factory=list)
    _turn: int = 0

    async def add(self, backend: Backend) -> None:
        """Add a process and wait until it is ready."""
        self.backends.append(backend)

        async def is_ready() -> bool:
            return backend.is_ready

        await until(is_ready)

    async def remove(self, backend: Backend, *, after_seconds: float) -> None:
        """Take a process out of the rotation, once its removal has spread."""
        await asyncio.sleep(after_seconds)
        self.backends.remove(backend)

    async def probe_forever(self) -> None:
        """Keep the readiness of each process up to date."""
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_SECONDS, trust_env=False) as client:
            while True:
                await asyncio.gather(*(self._probe(client, backend) for backend in self.backends))
                await asyncio.sleep(PROBE_SECONDS)

    async def _probe(self, client: httpx.AsyncClient, backend: Backend) -> None:
        try:
            answer = await client.get(f"http://{HOST}:{backend.metrics_port}/health/ready")
        except httpx.TransportError:
            backend.is_ready = False
        else:
            backend.is_ready = answer.status_code == 200

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Connect a client to the next ready process and pass everything on until either side closes."""
        ready = [backend for backend in self.backends if backend.is_ready]
        if not ready:
            writer.transport.abort()
            return
        self._turn += 1
        backend = ready[self._turn % len(ready)]
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, backend.port)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))
        finally:
            writer.close()
            server_writer.close()


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


@asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    """Run a balancer, without any process behind it, during the body."""
    balancer = Balancer("")
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(balancer.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listening = await asyncio.start_server(accept, HOST, 0)
    balancer.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}"
    probing = asyncio.create_task(balancer.probe_forever())
    try:
        yield balancer
    finally:
        listening.close()
        for task in (probing, *connections):
            task.cancel()
        await asyncio.gather(probing, *connections, return_exceptions=True)
