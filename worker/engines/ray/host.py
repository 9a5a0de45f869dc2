"""A host: runs the fork server on its node, and carries out what its worker asks over the control connection.

It ends, with all its children, when that connection ends. It holds nothing but a secret that was valid once.
"""

import asyncio
import os
import socket
import sys
from asyncio import to_thread
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from app.core import hardening
from app.core.errors import ConfigurationError
from app.core.version import VERSION
from worker.children.errors import ChildStartFailed
from worker.children.forking import ForkServer
from worker.children.local_gauge import LocalGauge
from worker.engines.ray import control
from worker.engines.ray.control import (
    BLOCK_BYTES,
    MAX_TO_HOST_BYTES,
    Answer,
    Bring,
    Clear,
    Close,
    CreateFolder,
    Exited,
    Fault,
    Fork,
    Hello,
    Keep,
    Kill,
    Open,
    Read,
    Refusal,
    Request,
    Sample,
    Seal,
    Setup,
    ToHost,
    Transfer,
    Write,
)
from worker.engines.ray.node_files import Damaged, NodeFiles
from worker.folders import default_folder
from worker.framing import Message, MessageReader, NotAMessage, frame

CONNECT_SECONDS: Final = 10.0
READ_BYTES: Final = 256 * 1024
SAMPLE_SECONDS: Final = 0.1
SLOW_SAMPLES: Final = 10
"""Every tenth sample is sent in any case, and has the processor time of all that a child has started."""

RSS_STEP_BYTES: Final = 1024 * 1024
"""Between those, a change of memory by this much is sent."""


def main(address: str, secret: str) -> None:
    """Serve the worker at this address, `host:port`, until it disconnects. Raises OSError if it cannot.

    The process becomes undumpable, and starts others without the variables of Ray in their environment.
    """
    hardening.make_undumpable()
    asyncio.run(_serve(address, secret))


def main_of_process(address: str) -> None:
    """Serve the worker at this address, with the secret that is the first line of stdin."""
    hardening.make_undumpable()  # before it holds the secret
    main(address, sys.stdin.readline().strip())


async def _serve(address: str, secret: str) -> None:
    connection = await _connect(address, secret)
    await _Host(address, connection).serve()


async def _connect(address: str, secret: str) -> socket.socket:
    """Return a connection to the worker that has shown its secret."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_SECONDS):
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, target = found[0]
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            control.keep_alive(connection)
            await loop.sock_connect(connection, target)
            await loop.sock_sendall(connection, frame(Hello(secret, VERSION)))
        except BaseException:
            connection.close()
            raise
    return connection


class _Host:
    """Serves one worker."""

    def __init__(self, address: str, connection: socket.socket) -> None:
        self._address = address
        self._connection = connection
        self._reader = MessageReader(control.decode_to_host, MAX_TO_HOST_BYTES)
        self._gauge = LocalGauge()
        self._sending = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: ForkServer | None = None
        self._files: NodeFiles | None = None
        self._max_scratch_bytes = 0
        self._pids: dict[int, int] = {}
        """The process ids of the children, by the numbers that the worker has given them."""

        self._has_folder: set[int] = set()
        self._cleared: dict[int, int] = {}
        """How often the folder of a child was cleared: what was measured before counts no more."""

    async def serve(self) -> None:
        """Carry out what the worker asks, until it disconnects. Then end all children."""
        loop = asyncio.get_running_loop()
        sampling = asyncio.create_task(self._sample_forever())
        try:
            while data := await loop.sock_recv(self._connection, READ_BYTES):
                for message in self._reader.feed(data):
                    self._handle(message)
        except (OSError, NotAMessage):  # the worker or the network is gone
            pass
        finally:
            self._connection.close()
            for task in (sampling, *self._tasks):
                task.cancel()
            await asyncio.wait((sampling, *self._tasks))
            if self._server is not None:
                await self._server.close()
            if self._files is not None:
                await asyncio.to_thread(self._files.close)

    def _handle(self, message: ToHost) -> None:
        match message:
            case Kill(child=child):
                if self._server is not None and child in self._pids:
                    self._server.kill(self._pids[child])
            case Close(file=file):
                if self._files is not None:
                    self._files.close_file(file)
            case _:
                task = asyncio.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            await self._send(await self._carry_out(request))
        except (OSError, ValueError, KeyError, Damaged, ChildStartFailed, ConfigurationError) as error:
            await self._send(Refusal(request.request, _fault(request, error), str(error)))

    async def _carry_out(self, request: Request) -> Answer:
        answer = partial(Answer, request.request)
        match request:
            case Setup():
                await self._set_up(request)
                return answer()
            case Fork():
                await self._fork(request)
                return answer()
            case CreateFolder(child=child):
                folder = await to_thread(self._opened_files.create_folder, child)
                self._has_folder.add(child)
                return answer(path=str(folder))
            case Clear(child=child):
                self._cleared[child] = self._cleared.get(child, 0) + 1
                await to_thread(self._opened_files.clear, child)
                return answer()
            case _:
                return await to_thread(self._transfer, self._opened_files, request)

    @staticmethod
    def _transfer(files: NodeFiles, request: Transfer) -> Answer:
        answer = partial(Answer, request.request)
        match request:
            case Bring(child=child, sha256=sha256, size=size):
                path = files.bring(child, sha256, size)
                return answer(path=None if path is None else str(path))
            case Write(child=child, sha256=sha256, data=data):
                files.write(child, sha256, data)
                return answer()
            case Seal(child=child, sha256=sha256):
                return answer(path=str(files.seal(child, sha256)))
            case Keep(child=child, paths=paths):
                return answer(paths=tuple(map(str, files.keep(child, map(Path, paths)))))
            case Open(child=child, name=name):
                return answer(file=files.open(child, name))
            case Read(file=file):
                return answer(data=files.read(file, BLOCK_BYTES))
            case never:
                assert_never(never)

    @property
    def _opened_files(self) -> NodeFiles:
        if self._files is None:
            raise ValueError("the worker has not set this host up")
        return self._files

    async def _set_up(self, setup: Setup) -> None:
        folder = Path(os.environ.get("WORKER_DIR") or default_folder())
        self._files = await to_thread(NodeFiles, folder, setup.cache_bytes)
        self._max_scratch_bytes = setup.max_scratch_bytes
        self._server = await ForkServer.open(
            handlers=setup.handlers,
            plugins=setup.plugins,
            preload=setup.preload,
            memory_limit_bytes=setup.memory_limit_bytes,
            max_file_bytes=setup.max_file_bytes,
            on_end=self._child_ended,
        )

    async def _fork(self, fork: Fork) -> None:
        if self._server is None:
            raise ValueError("the worker has not set this host up")
        connection = await _connect(self._address, fork.secret)
        with connection:
            connection.setblocking(True)  # the child reads without an event loop
            self._pids[fork.child] = await self._server.fork(connection)

    def _child_ended(self, pid: int, exit_code: int, cpu_seconds: float, peak_bytes: int) -> None:
        for child in [child for child, known in self._pids.items() if known == pid]:
            del self._pids[child]
            self._has_folder.discard(child)
            self._cleared.pop(child, None)
            task = asyncio.create_task(self._report_end(Exited(child, exit_code, cpu_seconds, peak_bytes)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._server is not None and not self._server.is_running:
            with suppress(OSError):  # without a fork server, this host is of no use
                self._connection.shutdown(socket.SHUT_RDWR)

    async def _report_end(self, exited: Exited) -> None:
        await self._send(exited)
        if self._files is not None:
            await to_thread(self._files.forget, exited.child)

    async def _sample_forever(self) -> None:
        """Report what the children use, and whether they have written too much."""
        sent: dict[int, Sample] = {}
        round_ = 0
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            round_ += 1
            is_slow = round_ % SLOW_SAMPLES == 0
            for child, pid in tuple(self._pids.items()):
                before = sent.get(child)
                sample = await self._measure(child, pid, before, is_slow=is_slow)
                if child in self._pids and (before is None or is_slow or _has_changed(before, sample)):
                    sent[child] = sample
                    await self._send(sample)
            sent = {child: sample for child, sample in sent.items() if child in self._pids}

    async def _measure(self, child: int, pid: int, before: Sample | None, *, is_slow: bool) -> Sample:
        seconds = None
        if is_slow or before is None:
            seconds = self._gauge.cpu_seconds(pid, with_descendants=True)
        if seconds is None:
            seconds = 0.0 if before is None else before.cpu_seconds
        exceeds = False
        if child in self._has_folder:
            cleared = self._cleared.get(child, 0)
            exceeds = await to_thread(self._opened_files.exceeds_limit, child, self._max_scratch_bytes)
            # A job that has started in the meantime must not die for the files of the previous one.
            exceeds = exceeds and cleared == self._cleared.get(child, 0)
        return Sample(child, self._gauge.rss_bytes(pid), seconds, exceeds)

    async def _send(self, message: Message) -> None:
        async with self._sending:
            with suppress(OSError):  # then reading ends, too
                await asyncio.get_running_loop().sock_sendall(self._connection, frame(message))


def _has_changed(before: Sample, now: Sample) -> bool:
    return (
        abs(now.rss_bytes - before.rss_bytes) >= RSS_STEP_BYTES or now.exceeds_limit != before.exceeds_limit
    )


def _fault(request: Request, error: Exception) -> Fault:
    if isinstance(error, Damaged):
        return Fault.DAMAGED
    if isinstance(request, Open):
        return Fault.MISSING
    return Fault.FAILED
