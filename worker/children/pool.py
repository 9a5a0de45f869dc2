"""The pool of child processes of a worker: starts, lends, monitors and replaces them.

There is one child per slot, plus a fresh one. A child is fresh until its first job binds it to the tenancy
of that job, for the rest of its life. A job gets an idle child whose tenancy covers it, or else a fresh
one. The pool then ends the least recently used idle child if there are more children than slots.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from app.core import background, metrics
from app.core.backoff import delay_seconds
from app.jobs.workers.states import EngineState
from worker.children.child_handle import Child, SlotGpus
from worker.children.disk_usage import exceeds_limit
from worker.children.errors import ChildDied, ChildProtocolError, ChildStartFailed, KillReason
from worker.children.forking import ForkServer, OnEnd
from worker.children.inbox import Inbox
from worker.children.messages import Ready
from worker.children.tenancy import Tenancy
from worker.engines.engine import CountDue, Host

__all__ = ["Child", "ChildDied", "ChildPool", "ChildProtocolError", "ChildStartFailed", "KillReason"]

HANDLERS: Final = "worker.handlers:HANDLERS"
READY_SECONDS: Final = 10.0
TAKE_SECONDS: Final = 30.0
MONITOR_SECONDS: Final = 0.1
SLOW_MONITOR_ROUNDS: Final = 10
"""Every tenth round also checks what idle children, which do not grow, kept of their last job; and it samples
the processor time of the others."""

FRESH: Final = 1
"""Fresh children in addition to the slots, so that a job of a new tenancy need not wait for a fork."""

MAX_INHERITED_FILES: Final = 16

MAX_FILE_BYTES: Final = 2 * 1024**3
MAX_SCRATCH_BYTES: Final = 8 * 1024**3

RECYCLE_SHARE: Final = 0.75
"""An idle child that holds more than this share of its memory limit is replaced."""

_deaths = metrics.counters(
    metrics.CHILD_DEATHS, ("died", *(reason for reason in KillReason if reason is not KillReason.CLOSING))
)

OpenHost = Callable[[OnEnd], Awaitable[Host]]
"""Opens a host that reports the end of its children to the argument. Raises ChildStartFailed."""

log = structlog.get_logger(__name__)


class ChildPool:
    """Keeps children for `slots` jobs warm. An async context manager: at its end all children have exited.

    The children are those of one host: by default a fork server of this machine. That makes it an `Engine`.

    `handlers` names a mapping from kinds to handlers, as `module:attribute`; several names are separated by
    commas. The packages `plugins` add theirs. `preload` names modules to import and functions
    (`module:function`) to call. All are loaded in the fork server: the worker itself never imports a handler
    or an ML library. Entering raises ChildStartFailed if one fails.

    `gpus` has the GPUs of each slot, as a value of CUDA_VISIBLE_DEVICES; empty for those that the environment
    shows. With `onnx_cuda`, ONNX models run on them.
    """

    def __init__(
        self,
        *,
        slots: int,
        memory_limit_bytes: int,
        max_jobs_per_child: int,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_scratch_bytes: int = MAX_SCRATCH_BYTES,
        handlers: str = HANDLERS,
        plugins: Sequence[str] = (),
        preload: Sequence[str] = (),
        open_host: OpenHost | None = None,
        gpus: Sequence[str] = (),
        onnx_cuda: bool = False,
    ) -> None:
        self.state: Final = EngineState.READY
        self.kinds: tuple[str, ...] = ()
        self._slots = slots
        self._memory_limit_bytes = memory_limit_bytes
        self._max_jobs_per_child = max_jobs_per_child
        self._max_file_bytes = max_file_bytes
        self._max_scratch_bytes = max_scratch_bytes
        self._handlers = handlers
        self._plugins = plugins
        self._preload = preload
        self._children: dict[int, Child] = {}
        self._fresh: list[Child] = []
        self._idle: list[Child] = []  # the most recently used comes last
        self._busy: set[Child] = set()
        self._has_fresh = asyncio.Event()
        self._has_vacancy = asyncio.Event()
        self._gpus = tuple(gpus)
        self._onnx_cuda = onnx_cuda
        self._has_exited = asyncio.Event()
        self._open_host = open_host or self._open_fork_server
        self._host: Host | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Load the handlers and start all children."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            await self._start_missing()
            await stack.enter_async_context(
                background.running(
                    self._replace_forever(), self._monitor_memory_forever(), self._monitor_files_forever()
                )
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill and reap all children, including busy ones."""
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the fork server, which comes first, and of all children."""
        if self._host is None or self._host.pid is None:
            return ()
        return (self._host.pid, *self._children)

    @asynccontextmanager
    async def slot(self, _due: CountDue) -> AsyncIterator[bool]:
        """Reserve a child for the body. One is always ready, or about to be."""
        yield True

    def has_idle(self, tenancy: Tenancy) -> bool:
        """Whether an idle child covers a tenancy."""
        return any(child.is_alive and child.covers(tenancy) for child in self._idle)

    @asynccontextmanager
    async def take(self, tenancy: Tenancy) -> AsyncIterator[Child]:
        """Lend a child for one attempt: an idle one whose tenancy covers it, or a fresh one.

        The caller must confine a child that is not confined yet before it starts a job. If the child still
        runs a job at the end of the body, it is killed. Raises ChildStartFailed if no child can be started,
        and RuntimeError if all slots are in use.
        """
        if len(self._busy) >= self._slots:
            raise RuntimeError("all slots are in use")
        child = self._pop_idle(tenancy) or await self._next_fresh()
        if child.tenancy is None:
            child.bind(tenancy, self._inherited_files(tenancy))
        child.reset_measurements()
        self._busy.add(child)
        self._end_surplus()
        try:
            if self._gpus and child.gpus is None:
                child.gpus = await self._free_gpus()
            yield child
        finally:
            self._busy.remove(child)
            await self._put_back(child)

    def _pop_idle(self, tenancy: Tenancy) -> Child | None:
        """Take the most recently used idle child that covers a tenancy: it probably has the model loaded."""
        for child in reversed(self._idle):
            if child.is_alive and child.covers(tenancy):
                self._idle.remove(child)
                return child
        return None

    async def _next_fresh(self) -> Child:
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                while True:
                    while self._fresh:
                        child = self._fresh.pop()
                        if child.is_alive:
                            return child
                    self._has_fresh.clear()
                    await self._has_fresh.wait()
        except TimeoutError:
            raise ChildStartFailed(f"no child was ready within {TAKE_SECONDS} s") from None

    async def _free_gpus(self) -> SlotGpus:
        """Return the GPUs of a slot once no other child may hold memory of them.

        A child keeps its GPUs for life, also while it is idle. There are as many slots as bound children, but
        for one that is ending.
        """
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                while True:
                    taken = {child.gpus.slot for child in self._children.values() if child.gpus is not None}
                    free = [slot for slot in range(len(self._gpus)) if slot not in taken]
                    if free:
                        return SlotGpus(free[0], self._gpus[free[0]], self._onnx_cuda)
                    self._has_exited.clear()
                    await self._has_exited.wait()
        except TimeoutError:
            raise ChildStartFailed(f"no GPU was free within {TAKE_SECONDS} s") from None

    def _inherited_files(self, tenancy: Tenancy) -> dict[str, Path]:
        """Return the files of the owner's idle children, so that one child can serve several models."""
        if tenancy.owner_id is None:
            return {}
        files: dict[str, Path] = {}
        for child in self._idle:
            if child.tenancy is not None and child.tenancy.is_like(tenancy):
                files |= child.files
        return dict(list(files.items())[-MAX_INHERITED_FILES:])

    def _end_surplus(self) -> None:
        """End idle children while there are more bound children than slots, least recently used first."""
        while self._idle and len(self._busy) + len(self._idle) > self._slots:
            self._idle.pop(0).kill(KillReason.CLOSING)

    async def _put_back(self, child: Child) -> None:
        if child.is_alive and self._is_reusable(child):
            self._idle.append(child)
            return
        child.kill(KillReason.CLOSING)
        await child.wait_exited()
        child.close()

    def _is_reusable(self, child: Child) -> bool:
        """Return whether a child may run another job."""
        tenancy = child.tenancy
        if tenancy is None or tenancy.is_for_one_job or not child.is_confined or child.is_running:
            return False
        # A user's file may have left the process in an unknown state, which the owner's next job must not
        # meet.
        if child.has_failed and tenancy.owner_id is not None:
            return False
        return child.jobs_started < self._max_jobs_per_child

    async def _replace_forever(self) -> None:
        failures = 0
        while True:
            await self._has_vacancy.wait()
            try:
                await self._start_missing()
            except (ChildStartFailed, OSError) as error:
                failures += 1
                log.error("child_start_failed", error=str(error), failures=failures)
                await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=5.0))
            else:
                failures = 0

    async def _start_missing(self) -> None:
        self._has_vacancy.clear()
        try:
            while len(self._children) < self._slots + FRESH:
                self._fresh.append(await self._start_child())
                self._has_fresh.set()
        except (ChildStartFailed, OSError):  # OSError: out of descriptors, processes or memory
            self._has_vacancy.set()
            raise

    async def _start_child(self) -> Child:
        host = await self._running_host()
        inbox = Inbox()
        pid = await host.start(inbox)
        child = Child(pid, inbox, host.kill, gauge=host, place=host.place)
        self._children[pid] = child
        try:
            ready = await asyncio.wait_for(child.receive(), READY_SECONDS)
        except (ChildDied, ChildProtocolError, TimeoutError) as error:
            child.kill(KillReason.CLOSING)
            child.close()
            raise ChildStartFailed(f"a child did not become ready: {error!r}") from error
        if isinstance(ready, Ready):
            self.kinds = ready.kinds
        return child

    async def _running_host(self) -> Host:
        if self._host is not None and self._host.is_running:
            return self._host
        if self._host is not None:
            log.error("fork_server_lost")
            await self._host.close()
        self._host = await self._open_host(self._child_exited)
        return self._host

    async def _open_fork_server(self, on_end: OnEnd) -> Host:
        return await ForkServer.open(
            handlers=self._handlers,
            plugins=self._plugins,
            preload=self._preload,
            memory_limit_bytes=self._memory_limit_bytes,
            max_file_bytes=self._max_file_bytes,
            on_end=on_end,
        )

    def _child_exited(self, pid: int, exit_code: int, cpu_seconds: float, peak_bytes: int) -> None:
        child = self._children.pop(pid, None)
        if child is None:  # its start timed out
            return
        child.set_exited(exit_code, cpu_seconds, peak_bytes)
        self._has_exited.set()
        for waiting in (self._idle, self._fresh):
            if child in waiting:
                waiting.remove(child)
                child.close()
        self._has_vacancy.set()
        if child.kill_reason is not KillReason.CLOSING:
            _deaths[child.kill_reason or "died"].inc()
            log.warning("child_died", pid=pid, reason=child.kill_reason, exit_code=exit_code)

    async def _monitor_memory_forever(self) -> None:
        """Kill a child that exceeds the memory limit, before the OOM killer kills some other process."""
        largest_idle = 0
        for round_ in itertools.count():
            await asyncio.sleep(MONITOR_SECONDS)
            is_slow = round_ % SLOW_MONITOR_ROUNDS == 0
            largest = self._check_busy_children(with_processor=is_slow)
            if is_slow:
                largest_idle = self._check_idle_children()
            metrics.CHILD_MEMORY_BYTES.set(max(largest, largest_idle))

    def _check_busy_children(self, *, with_processor: bool) -> int:
        """Sample all, and kill those above the memory limit; return the memory of the largest."""
        largest = 0
        for child in tuple(self._busy):
            rss_bytes = child.sample(with_processor=with_processor)
            largest = max(largest, rss_bytes)
            if rss_bytes > self._memory_limit_bytes:
                child.kill(KillReason.MEMORY_LIMIT)
        return largest

    def _check_idle_children(self) -> int:
        """End those that kept too much of their last job; return the memory of the largest other one."""
        largest = 0
        for child in tuple(self._idle):
            rss_bytes = child.rss_bytes
            if rss_bytes > self._memory_limit_bytes * RECYCLE_SHARE:
                self._idle.remove(child)
                child.kill(KillReason.CLOSING)
            else:
                largest = max(largest, rss_bytes)
        return largest

    async def _monitor_files_forever(self) -> None:
        """Kill a child that has written too much. Measures in a thread, because a disk may be slow."""
        while True:
            await asyncio.sleep(MONITOR_SECONDS)
            for child in tuple(self._busy):
                if child.folder is None:
                    continue
                job = child.jobs_started
                exceeds = await self._exceeds_limit(child, child.folder)
                # A job that has started in the meantime must not die for the files of the previous one.
                if exceeds and child in self._busy and child.jobs_started == job:
                    child.kill(KillReason.DISK_LIMIT)

    async def _exceeds_limit(self, child: Child, folder: Path) -> bool:
        if child.place is not None:
            return await child.place.exceeds_limit(child.pid)
        return await asyncio.to_thread(exceeds_limit, folder, self._max_scratch_bytes)

    async def _close(self) -> None:
        children = tuple(self._children.values())
        for child in children:
            child.kill(KillReason.CLOSING)
        if self._host is not None:
            await self._host.close()
        for child in children:
            child.close()
        await asyncio.sleep(0)  # lets the event loop close the connections
