"""The worker's end of the control connection to one host: its children, and the files where they run."""

import asyncio
import itertools
import math
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, assert_never, cast

import structlog

from app.core.files import StoredFile
from worker.children.errors import ChildStartFailed
from worker.children.forking import FORK_SECONDS, LOAD_SECONDS, OnEnd
from worker.children.inbox import Inbox
from worker.engines.engine import FileDamaged, PlaceFault
from worker.engines.ray import control
from worker.engines.ray.admission import Secrets
from worker.engines.ray.control import (
    BLOCK_BYTES,
    MAX_FROM_HOST_BYTES,
    Answer,
    Bring,
    Clear,
    Close,
    CreateFolder,
    Exited,
    Fault,
    Fork,
    FromHost,
    Keep,
    Kill,
    Open,
    Read,
    Refusal,
    Request,
    Sample,
    Seal,
    Setup,
    Write,
)
from worker.framing import MessageReader, NotAMessage, frame

ANSWER_SECONDS: Final = 60.0
"""Timeout of one request: 4 MiB over a slow network, or to a slow disk."""

KILL_SECONDS: Final = 2.0
"""A host that has not killed a child within this time is killed itself."""

MAX_REPORTS: Final = 2000
"""Messages that nobody has asked for, in a second. A host sends some 30."""

MAX_RSS_BYTES: Final = 2**50
MAX_PATH_CHARACTERS: Final = 4096
MAX_REASON_CHARACTERS: Final = 500

V = TypeVar("V")

log = structlog.get_logger(__name__)


class HostLost(PlaceFault):
    """The control connection has ended."""


class RequestRefused(PlaceFault):
    """The host could not carry out a request."""


class NotThere(RequestRefused):
    """The host has no such file."""


class RemoteHost(asyncio.Protocol):
    """A host, as its worker sees it. Everything that it sends is checked, and bounded.

    `on_lost` is called once the control connection has ended. By then all children are reported as ended.
    """

    pid: Final = None

    def __init__(
        self,
        number: int,
        secrets: Secrets,
        child_numbers: Iterable[int],
        on_lost: Callable[[], None],
        *,
        max_file_bytes: int,
        kill_seconds: float = KILL_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`child_numbers` gives each child a number that no other child of the worker has."""
        self.number = number
        self.place = RemotePlace(self, max_file_bytes)
        self.is_connected = False
        self.is_lost = False
        self.is_given_up = False
        self._secrets = secrets
        self._child_numbers = iter(child_numbers)
        self._on_lost = on_lost
        self._on_end: OnEnd = _ignore_end
        self._kill_seconds = kill_seconds
        self._answer_seconds = answer_seconds
        self._reader = MessageReader(control.decode_from_host, MAX_FROM_HOST_BYTES)
        self._requests = itertools.count()
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._children: dict[int, Sample] = {}
        self._kill_timers: dict[int, asyncio.TimerHandle] = {}
        self._reports = 0
        self._reports_since = -math.inf
        self._transport: asyncio.Transport | None = None
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait_connected(self, seconds: float) -> None:
        """Wait until it has connected. Raises TimeoutError, and HostLost."""
        await asyncio.wait_for(asyncio.shield(self._connected), seconds)

    async def set_up(self, on_end: OnEnd, setup: Callable[[int], Setup]) -> None:
        """Have it load the handlers. Calls `on_end` for each child that ends. Raises ChildStartFailed."""
        self._on_end = on_end
        try:
            await self.ask(setup, LOAD_SECONDS)
        except PlaceFault as error:
            raise ChildStartFailed(f"the host could not load the handlers: {error}") from error

    @property
    def is_running(self) -> bool:
        """Whether children can be started."""
        return self.is_connected and not self.is_lost

    async def start(self, inbox: Inbox) -> int:
        """Start a child that speaks over this inbox, and return its number. Raises ChildStartFailed."""
        child = next(self._child_numbers)
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        secret = self._secrets.issue(partial(_admit_child, inbox, connected))
        self._children[child] = Sample(child, 0, 0.0, False)
        try:
            await self.ask(partial(Fork, child=child, secret=secret), FORK_SECONDS)
            await asyncio.wait_for(connected, FORK_SECONDS)
        except (PlaceFault, TimeoutError) as error:
            self._abandon(child, inbox)
            raise ChildStartFailed(f"the host could not start a child: {error}") from error
        except BaseException:
            self._abandon(child, inbox)
            raise
        finally:
            self._secrets.revoke(secret)
        if child not in self._children:  # nobody was told of its end, because nobody knew its number
            inbox.close()
            raise ChildStartFailed("the child exited as it started")
        return child

    def kill(self, child: int) -> None:
        """Kill a child and all that it has started. A host that does not is given up, with its children."""
        if child not in self._children or child in self._kill_timers:
            return
        self._send(Kill(child))
        self._kill_timers[child] = asyncio.get_running_loop().call_later(
            self._kill_seconds, self.give_up, "it did not kill a child in time"
        )

    def rss_bytes(self, child: int) -> int:
        """Return the resident memory of a child, as the host saw it last; 0 after its end."""
        sample = self._children.get(child)
        return 0 if sample is None else sample.rss_bytes

    def cpu_seconds(self, child: int, *, with_descendants: bool) -> float | None:
        """Return the processor time of a child and all that it has started, as the host saw it last."""
        sample = self._children.get(child)
        return None if sample is None else sample.cpu_seconds

    def exceeds_limit(self, child: int) -> bool:
        """Return whether a child has written too much, as the host saw it last."""
        sample = self._children.get(child)
        return sample is not None and sample.exceeds_limit

    def forget_excess(self, child: int) -> None:
        """The folder of a child has been cleared."""
        if child in self._children:
            self._children[child] = Sample(child, 0, self._children[child].cpu_seconds, False)

    async def close(self) -> None:
        """End the host and all its children: they end with the control connection."""
        self._hang_up()

    def give_up(self, reason: str) -> None:
        """Disconnect from a host that does not behave."""
        if not self.is_lost:
            log.warning("host_given_up", host=self.number, reason=reason)
            self.is_given_up = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._lose()

    def _lose(self) -> None:
        """Report all children as killed: they do not outlive their host."""
        if self.is_lost:
            return
        self.is_lost = True
        lost = HostLost("its host is lost")
        if not self._connected.done():
            self._connected.set_exception(lost)
            self._connected.exception()  # there may be no one who waits
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(lost)
        self._pending.clear()
        for child in tuple(self._children):
            self._child_ended(child, -signal.SIGKILL, 0.0, 0)
        self._on_lost()

    def _abandon(self, child: int, inbox: Inbox) -> None:
        """Give a child up that did not start: what the host still says about it is ignored."""
        self._send(Kill(child))
        self._children.pop(child, None)
        inbox.close()

    def _child_ended(self, child: int, exit_code: int, cpu_seconds: float, peak_bytes: int) -> None:
        if self._children.pop(child, None) is None:  # it was given up, or was never started
            return
        if (timer := self._kill_timers.pop(child, None)) is not None:
            timer.cancel()
        self._on_end(child, exit_code, cpu_seconds, peak_bytes)

    # Requests

    async def ask(self, request: Callable[[int], Request], seconds: float | None = None) -> Answer:
        """Send a request and return its answer. Raises HostLost, and what its refusal says."""
        if not self.is_running:
            raise HostLost("its host is lost")
        number = next(self._requests)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # A request whose caller is cancelled stays: its answer is still to come.
        self._pending[number] = answer
        self._send(request(number))
        try:
            async with asyncio.timeout(self._answer_seconds if seconds is None else seconds):
                return await answer
        except TimeoutError:
            self.give_up("it did not answer in time")
            raise HostLost("its host is lost") from None

    def required(self, value: V | None) -> V:
        """Return what an answer must have. Raises HostLost: a host that leaves it out is given up."""
        if value is None:
            self.give_up("an answer lacks what was asked for")
            raise HostLost("its host is lost")
        return value

    def tell(self, message: Close) -> None:
        """Send a message that has no answer."""
        self._send(message)

    def _send(self, message: control.ToHost) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))

    # Callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # true of every stream socket
        self.is_connected = True
        if not self._connected.done():
            self._connected.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Handle the complete messages."""
        try:
            for message in self._reader.feed(data):
                if self.is_lost:
                    return
                self._handle(message)
        except NotAMessage as error:
            self.give_up(f"it sent what is not a message: {error}")

    def connection_lost(self, _error: Exception | None) -> None:
        """End everything."""
        self._lose()

    def _handle(self, message: FromHost) -> None:
        match message:
            case Answer(request=request):
                answer = self._pending.pop(request, None)
                if answer is None:
                    self.give_up("it answered what it was not asked")
                elif not answer.done():
                    answer.set_result(message)
            case Refusal(request=request):
                answer = self._pending.pop(request, None)
                if answer is None:
                    self.give_up("it refused what it was not asked")
                elif not answer.done():
                    answer.set_exception(_refused(message))
            case Sample():
                if self._counts_report() and message.child in self._children:
                    rss_bytes = min(max(message.rss_bytes, 0), MAX_RSS_BYTES)
                    self._children[message.child] = Sample(
                        message.child, rss_bytes, message.cpu_seconds, message.exceeds_limit
                    )
            case Exited():
                if self._counts_report():
                    self._child_ended(
                        message.child, message.exit_code, message.cpu_seconds, max(message.peak_bytes, 0)
                    )
            case never:
                assert_never(never)

    def _counts_report(self) -> bool:
        """Count a message that nobody has asked for; False if it is one too many."""
        now = asyncio.get_running_loop().time()
        if now - self._reports_since >= 1.0:
            self._reports, self._reports_since = 0, now
        self._reports += 1
        if self._reports > MAX_REPORTS:
            self.give_up(f"it sent more than {MAX_REPORTS} reports in a second")
            return False
        return True


class RemotePlace:
    """The files where the children of a host run. Blocks of files go over its control connection."""

    def __init__(self, host: RemoteHost, max_file_bytes: int) -> None:
        self._host = host
        self._max_file_bytes = max_file_bytes

    async def bring(self, child: int, file: StoredFile, local: Path) -> Path:
        """Send a file to the node unless it has it, and return its path. It stays until the child ends."""
        wanted = partial(Bring, child=child, sha256=file.sha256, size=file.bytes)
        path = (await self._host.ask(wanted)).path
        if path is None:
            await self._send(child, file, local)
            sealed = await self._host.ask(partial(Seal, child=child, sha256=file.sha256))
            path = self._host.required(sealed.path)
        return _path(path)

    async def _send(self, child: int, file: StoredFile, local: Path) -> None:
        descriptor = await asyncio.to_thread(os.open, local, os.O_RDONLY)
        try:
            while block := await asyncio.to_thread(os.read, descriptor, BLOCK_BYTES):
                await self._host.ask(partial(Write, child=child, sha256=file.sha256, data=block))
        finally:
            os.close(descriptor)

    async def keep(self, child: int, paths: Iterable[Path]) -> frozenset[Path]:
        """Keep brought files until this child ends too. Returns those that are still there."""
        asked = tuple(map(str, paths))
        kept = self._host.required((await self._host.ask(partial(Keep, child=child, paths=asked))).paths)
        return frozenset(map(Path, frozenset(asked).intersection(kept)))

    async def create_folder(self, child: int) -> Path:
        """Create the folder in which a child writes. It is removed when the child ends."""
        return _path(self._host.required((await self._host.ask(partial(CreateFolder, child=child))).path))

    async def read(self, child: int, name: str) -> AsyncIterator[bytes]:
        """Read a file below the child's folder, block by block. Raises FileNotFoundError."""
        try:
            opened = await self._host.ask(partial(Open, child=child, name=name))
        except NotThere as error:
            raise FileNotFoundError(str(error)) from error
        file = self._host.required(opened.file)
        left = self._max_file_bytes
        try:
            while block := self._host.required((await self._host.ask(partial(Read, file=file))).data):
                left -= len(block)
                if left < 0:
                    raise FileNotFoundError(f"{name} has more than {self._max_file_bytes} bytes")
                yield block
        finally:
            self._host.tell(Close(file))

    async def clear(self, child: int) -> None:
        """Remove everything in the child's folder."""
        await self._host.ask(partial(Clear, child=child))
        self._host.forget_excess(child)

    async def exceeds_limit(self, child: int) -> bool:
        """Return whether the child has written more than it may, as the host saw it last."""
        return self._host.exceeds_limit(child)


def _admit_child(inbox: Inbox, connected: asyncio.Future[None]) -> Inbox | None:
    if connected.done():  # its start has timed out
        return None
    connected.set_result(None)
    return inbox


def _refused(message: Refusal) -> PlaceFault:
    reason = message.reason[:MAX_REASON_CHARACTERS]
    match message.fault:
        case Fault.MISSING:
            return NotThere(reason)
        case Fault.DAMAGED:
            return FileDamaged(reason)
        case Fault.FAILED:
            return RequestRefused(reason)
        case never:
            assert_never(never)


def _path(value: str) -> Path:
    return Path(value[:MAX_PATH_CHARACTERS])


def _ignore_end(_child: int, _exit_code: int, _cpu_seconds: float, _peak_bytes: int) -> None:
    pass
