"""The engine in the worker: hosts start while jobs wait for them, and end when they have been idle.

Each host has one slot. A slot of the worker reserves a host before it claims a job, so a job waits in the
queue, where any worker can take it, while a host is starting. How many hosts are wanted follows from the
slots that wait and the jobs that are due; a *starter* starts and kills them. The engine itself knows no Ray.
"""

import asyncio
import itertools
import math
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Final, Self

import structlog

from app.core import background, metrics
from app.core.backoff import delay_seconds
from app.core.errors import ConfigurationError
from app.jobs.workers.states import EngineState
from worker.children.child_handle import Child
from worker.children.errors import ChildStartFailed
from worker.children.forking import OnEnd
from worker.children.pool import ChildPool
from worker.children.tenancy import Tenancy
from worker.engines.engine import CountDue, Host, HostStartFailed, PlaceFault, Starter
from worker.engines.pool import PoolOptions
from worker.engines.ray.admission import Secrets, Strangers
from worker.engines.ray.control import SECRET_SECONDS, Setup
from worker.engines.ray.remote_host import KILL_SECONDS, RemoteHost

SCALE_SECONDS: Final = 0.5
"""How often the number of hosts is adapted to the jobs that are due."""

START_AGAIN_SECONDS: Final = 1.0
MAX_START_AGAIN_SECONDS: Final = 60.0
"""The backoff after a host that did not start."""

CLEAN_UP_SECONDS: Final = 5.0
"""How long a host may take to end its children and to remove its files."""

END_SECONDS: Final = 10.0
"""Timeout for killing a host."""

log = structlog.get_logger(__name__)


class HostState(StrEnum):
    """What a host does, as the metric of hosts says it."""

    STARTING = "starting"
    """It waits for a node, or loads the handlers."""

    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"


@dataclass(eq=False)
class _Slot:
    """A host that starts, is ready, or ends; `remote` is its connection, `pool` its children."""

    number: int
    remote: RemoteHost
    idle_since: float
    pool: ChildPool | None = None
    is_busy: bool = False
    is_lost: bool = False
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    secret: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether a job can start there."""
        return self.pool is not None and self.remote.is_running and not self.ending.is_set()

    @property
    def state(self) -> HostState:
        """What it does."""
        if self.ending.is_set():
            return HostState.ENDING
        if self.pool is None:
            return HostState.STARTING
        return HostState.BUSY if self.is_busy else HostState.IDLE


class RemoteEngine:
    """An engine whose hosts come and go. An async context manager: at its end all hosts have ended."""

    def __init__(
        self,
        options: PoolOptions,
        slots: int,
        starter: Starter,
        *,
        listen_on: str | None,
        address: str,
        port: int,
        idle_seconds: float,
        cache_bytes: int,
        kill_seconds: float = KILL_SECONDS,
    ) -> None:
        """`listen_on` is the address to listen on, None for all. Hosts reach it as `address`.

        A host without a job for `idle_seconds` is ended. The files that hosts have brought to a node may have
        `cache_bytes` there when no job uses them.
        """
        self.kinds: tuple[str, ...] | None = None
        self.pids: Final = ()  # the processes of hosts are on other machines
        self._options = options
        self._idle_seconds = idle_seconds
        self._cache_bytes = cache_bytes
        self._max_hosts = slots
        self._starter = starter
        self._listen_on = listen_on
        self._address = address
        self._kill_seconds = kill_seconds
        self._secrets = Secrets()
        self._strangers = Strangers(self._secrets)
        self._host_numbers = itertools.count(1)
        self._child_numbers = itertools.count(1)
        self._hosts: dict[int, _Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved = 0
        self._waiting: dict[asyncio.Future[bool], CountDue] = {}
        self._has_waiter = asyncio.Event()
        self._failures = 0
        self._start_again_at = -math.inf
        self._port = port
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen for hosts. None is started before a job is due. Raises ConfigurationError."""
        async with AsyncExitStack() as stack:
            listener = self._listen()
            server = await asyncio.get_running_loop().create_server(self._strangers, sock=listener)
            stack.callback(server.close)
            stack.callback(self._strangers.close)
            self._port = listener.getsockname()[1]
            stack.push_async_callback(self._starter.close)
            await self._starter.open(self._host_lost)
            stack.push_async_callback(self._end_all)
            await stack.enter_async_context(background.running(self._scale_forever()))
            self._publish_hosts()
            self._stack = stack.pop_all()
        log.info("engine_listens", address=self._address, port=self._port, max_hosts=self._max_hosts)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End all hosts, with all children."""
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def state(self) -> EngineState:
        """Whether it can run jobs at once."""
        if not self._starter.is_available:
            return EngineState.UNAVAILABLE
        return EngineState.WAITING if self._waiting else EngineState.READY

    def _publish_hosts(self) -> None:
        for state in HostState:
            metrics.ENGINE_HOSTS.labels(state).set_function(partial(self._hosts_in, state))

    def _hosts_in(self, state: HostState) -> int:
        return sum(slot.state is state for slot in self._hosts.values())

    @asynccontextmanager
    async def slot(self, due: CountDue) -> AsyncIterator[bool]:
        """Reserve a host for the body. Waits for one as long as jobs are due that need it."""
        if not await self._reserve(due):
            yield False
            return
        try:
            yield True
        finally:
            self._reserved -= 1
            self._serve_waiting()

    @asynccontextmanager
    async def take(self, tenancy: Tenancy) -> AsyncIterator[Child]:
        """Lend a child of a host that no attempt uses, at best one that has loaded what this one needs."""
        free = [slot for slot in self._hosts.values() if slot.is_ready and not slot.is_busy]
        if not free:
            raise ChildStartFailed("the host that was to run the job is lost")
        slot = next((slot for slot in free if slot.pool is not None and slot.pool.has_idle(tenancy)), free[0])
        slot.is_busy = True
        try:
            if slot.pool is None:
                raise RuntimeError("a host that is ready has children")
            async with slot.pool.take(tenancy) as child:
                yield child
        finally:
            slot.is_busy = False
            slot.idle_since = asyncio.get_running_loop().time()

    # Reservations

    @property
    def _free(self) -> int:
        return sum(slot.is_ready for slot in self._hosts.values()) - self._reserved

    async def _reserve(self, due: CountDue) -> bool:
        if self._free > 0 and not self._waiting:
            self._reserved += 1
            return True
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = due
        self._has_waiter.set()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self._reserved -= 1
                self._serve_waiting()
            raise
        finally:
            self._waiting.pop(waiter, None)

    def _serve_waiting(self) -> None:
        """Reserve free hosts for those that have waited longest."""
        for waiter in tuple(self._waiting):
            if self._free <= 0:
                return
            self._answer(waiter, True)

    def _answer(self, waiter: asyncio.Future[bool], is_reserved: bool) -> None:
        del self._waiting[waiter]
        if not waiter.done():
            self._reserved += is_reserved
            waiter.set_result(is_reserved)

    # The number of hosts

    async def _scale_forever(self) -> None:
        while True:
            if not self._hosts and not self._waiting:
                self._has_waiter.clear()
                await self._has_waiter.wait()
            await self._scale()
            await asyncio.sleep(SCALE_SECONDS)

    async def _scale(self) -> None:
        self._serve_waiting()
        wanted = 0
        if self._waiting:
            due = await next(iter(self._waiting.values()))(len(self._waiting))
            for waiter in tuple(self._waiting)[due:]:  # other workers have taken their jobs
                self._answer(waiter, False)
            wanted = len(self._waiting)
        self._start_missing(wanted)
        self._end_unwanted(wanted)

    def _start_missing(self, wanted: int) -> None:
        """Start hosts for the slots that wait, unless enough hosts are starting."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._start_again_at or not self._starter.is_available:
            return
        starting = sum(slot.pool is None and not slot.ending.is_set() for slot in self._hosts.values())
        room = self._max_hosts - len(self._hosts)
        for _ in range(min(wanted - starting, room)):
            number = next(self._host_numbers)
            remote = RemoteHost(
                number,
                self._secrets,
                self._child_numbers,
                partial(self._disconnected, number),
                max_file_bytes=self._options.max_file_bytes,
                kill_seconds=self._kill_seconds,
            )
            slot = _Slot(number, remote, idle_since=loop.time())
            self._hosts[number] = slot
            task = asyncio.create_task(self._run(slot))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _end_unwanted(self, wanted: int) -> None:
        """End hosts that have been idle for long, whether they are ready or still starting."""
        now = asyncio.get_running_loop().time()
        for slot in self._hosts.values():
            if wanted and slot.pool is None:
                slot.idle_since = now
            is_idle = not slot.is_busy and now - slot.idle_since >= self._idle_seconds
            if is_idle and (slot.pool is None or self._free > 0) and not slot.ending.is_set():
                log.info("host_idle", host=slot.number)
                slot.ending.set()

    # One host

    async def _run(self, slot: _Slot) -> None:
        """Start a host, keep its children until it is lost or ended, and end it."""
        ending = asyncio.create_task(slot.ending.wait())
        living = asyncio.create_task(self._live(slot))
        try:
            await asyncio.wait((ending, living), return_when=asyncio.FIRST_COMPLETED)
        finally:
            slot.ending.set()
            for task in (ending, living):
                task.cancel()
            await asyncio.wait((ending, living))
            await slot.remote.close()
            self._secrets.revoke(slot.secret)
            await self._kill(slot)
            self._hosts.pop(slot.number, None)
        error = None if living.cancelled() else living.exception()
        if error is None and slot.is_lost and slot.pool is None:
            error = HostStartFailed("it ended before it was ready")
        if error is not None:
            self._start_failed(slot, error)

    async def _live(self, slot: _Slot) -> None:
        await self._starter.start(slot.number, f"{self._address}:{self._port}", lambda: self._issue(slot))
        await slot.remote.wait_connected(SECRET_SECONDS)
        async with self._options.pool(1, lambda on_end: self._open(slot, on_end)) as pool:
            self._failures = 0
            self.kinds = pool.kinds
            slot.idle_since = asyncio.get_running_loop().time()
            slot.pool = pool
            log.info("host_ready", host=slot.number)
            self._serve_waiting()
            await slot.ending.wait()

    async def _kill(self, slot: _Slot) -> None:
        """Kill a host, after some time in which it may clean up if it has behaved so far."""
        if slot.remote.is_connected and not slot.remote.is_given_up:
            with suppress(TimeoutError):
                await asyncio.wait_for(slot.gone.wait(), CLEAN_UP_SECONDS)
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._starter.kill(slot.number)
        except (TimeoutError, HostStartFailed) as error:
            log.error("host_not_killed", host=slot.number, error=repr(error))

    def _issue(self, slot: _Slot) -> str:
        self._secrets.revoke(slot.secret)
        slot.secret = self._secrets.issue(lambda: None if slot.ending.is_set() else slot.remote)
        return slot.secret

    async def _open(self, slot: _Slot, on_end: OnEnd) -> Host:
        """Have a host that has just connected load the handlers."""
        if not slot.remote.is_running:
            raise ChildStartFailed("the host is lost")
        await slot.remote.set_up(on_end, self._setup)
        return slot.remote

    def _setup(self, request: int) -> Setup:
        options = self._options
        return Setup(
            request=request,
            handlers=options.handlers,
            plugins=tuple(options.plugins),
            preload=tuple(options.preload),
            memory_limit_bytes=options.memory_limit_bytes,
            max_file_bytes=options.max_file_bytes,
            max_scratch_bytes=options.max_scratch_bytes,
            cache_bytes=self._cache_bytes,
        )

    def _start_failed(self, slot: _Slot, error: BaseException) -> None:
        if not isinstance(error, HostStartFailed | ChildStartFailed | PlaceFault | TimeoutError | OSError):
            log.error("host_failed", host=slot.number, exc_info=error)
        self._failures += 1
        delay = delay_seconds(self._failures, base=START_AGAIN_SECONDS, maximum=MAX_START_AGAIN_SECONDS)
        self._start_again_at = asyncio.get_running_loop().time() + delay
        log.warning("host_not_started", host=slot.number, error=str(error), failures=self._failures)

    def _host_lost(self, number: int) -> None:
        """The process of a host has ended."""
        if (slot := self._hosts.get(number)) is not None:
            slot.gone.set()
            self._disconnected(number)

    def _disconnected(self, number: int) -> None:
        """End a host whose process or connection is gone."""
        slot = self._hosts.get(number)
        if slot is not None and not slot.ending.is_set():
            log.warning("host_lost", host=number)
            slot.is_lost = True
            slot.ending.set()

    async def _end_all(self) -> None:
        for waiter in tuple(self._waiting):
            self._answer(waiter, False)
        for slot in tuple(self._hosts.values()):
            slot.ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _listen(self) -> socket.socket:
        port = self._port
        try:
            if self._listen_on is not None:
                return socket.create_server((self._listen_on, port))
            if socket.has_dualstack_ipv6():
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            return socket.create_server(("", port))
        except OSError as error:
            raise ConfigurationError(f"ENGINE_PORT: cannot listen on port {port}: {error.strerror}") from None
