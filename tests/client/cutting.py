"""A proxy in front of the API that breaks connections on demand."""

import asyncio
import random
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

HOST = "127.0.0.1"
CHUNK_BYTES = 16 * 1024
_RESET = struct.pack("ii", 1, 0)  # a close that lingers for no time is a reset


class CuttingProxy:
    """Forwards all bytes until it is told to break connections."""

    def __init__(self, upstream_port: int, seed: int) -> None:
        self.cuts = 0
        self.answered_bytes = 0
        self._upstream_port = upstream_port
        self._dice = random.Random(seed)
        self._bytes: tuple[int, int] | None = None
        self._losing: bytes | None = None
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def cut_between(self, least_bytes: int, most_bytes: int) -> None:
        """From now on break each connection after this many bytes from the server."""
        self._bytes = (least_bytes, most_bytes)

    def lose_answer_to(self, text: str) -> None:
        """Break the connection once: at the response to a request that contains this text."""
        self._losing = text.encode()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            upstream_reader, upstream = await asyncio.open_connection(HOST, self._upstream_port)
        except OSError:
            await _end(writer, is_reset=True)
            return
        is_losing = asyncio.Event()
        pumps = (
            asyncio.create_task(self._requests(reader, upstream, is_losing)),
            asyncio.create_task(self._answers(upstream_reader, writer, is_losing)),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await _end(upstream, is_reset=False)
            await _end(writer, is_reset=self._dice.random() < 0.5)

    async def _requests(self, reader: StreamReader, writer: StreamWriter, is_losing: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if self._losing is not None and self._losing in data:
                    self._losing = None
                    is_losing.set()
                writer.write(data)
                await writer.drain()

    async def _answers(self, reader: StreamReader, writer: StreamWriter, is_losing: asyncio.Event) -> None:
        left: int | None = None
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                self.answered_bytes += len(data)
                if left is None and self._bytes is not None:
                    left = self._dice.randint(*self._bytes)
                if is_losing.is_set():
                    self.cuts += 1
                    return
                if left is not None and len(data) >= left:
                    writer.write(data[:left])
                    await writer.drain()
                    self.cuts += 1
                    return
                left = None if left is None else left - len(data)
                writer.write(data)
                await writer.drain()


async def _end(writer: StreamWriter, *, is_reset: bool) -> None:
    if is_reset:
        with suppress(OSError):
            peer: socket.socket = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def cutting(url: str, *, seed: int = 0) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of the API at this URL."""
    proxy = CuttingProxy(int(url.rsplit(":", 1)[1]), seed)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
