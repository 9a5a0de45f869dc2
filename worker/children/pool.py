"""The children of one worker: one for each slot, warm, watched and replaced."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self

import structlog

from app.core import background, metrics
from app.core.backoff import delay_seconds
from worker.children.child_handle import Child, Inbox
from worker.children.errors import ChildDied, ChildProtocolError, ChildStartFailed, KillReason
from worker.children.forking import ForkServer
from worker.children.messages import Ready

__all__ = ["Child", "ChildDied", "ChildPool", "ChildProtocolError", "ChildStartFailed", "KillReason"]

HANDLERS: Final = "worker.handlers:HANDLERS"
READY_SECONDS: Final = 10.0
TAKE_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 0.1
IDLE_WATCH_ROUNDS: Final = 10
"""An idle child does not grow: what it kept of its last job is seen soon enough."""

RECYCLE_SHARE: Final = 0.75
"""A child that keeps more than this of its memory limit between jobs has too little left for the next."""

log = structlog.get_logger(__name__)


class ChildPool:
    """Keeps `slots` children warm. An asynchronous context manager; at its end every child is gone.

    `handlers` is the dotted name, `module:attribute`, of a mapping from kinds to handlers, or several such
    names with commas between them. They are loaded in the fork server; the worker itself never imports a
    handler or an ML library. `preload` names modules that are imported there as well. Entering raises
    ChildStartFailed when they cannot be loaded.
    """

    def __init__(
        self,
        *,
        slots: int,
        memory_limit_bytes: int,
        max_jobs_per_child: int,
        handlers: str = HANDLERS,
        preload: Sequence[str] = (),
    ) -> None:
        self.kinds: tuple[str, ...] = ()
        self._slots = slots
        self._memory_limit_bytes = memory_limit_bytes
        self._max_jobs_per_child = max_jobs_per_child
        self._handlers = handlers
        self._preload = preload
        self._children: dict[int, Child] = {}
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._is_one_idle = asyncio.Event()
        self._is_one_missing = asyncio.Event()
        self._server: ForkServer | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Load the handlers and start all children."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            await self._start_missing()
            await stack.enter_async_context(
                background.running(self._replace_forever(), self._watch_forever())
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill and reap all children, busy ones too."""
        return await self._stack.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Child]:
        """A child for one attempt, there must be a free slot. A warm one, or the next that is ready.

        A child that still runs at the end of the body is killed. Raises ChildStartFailed when none can be
        started.
        """
        child = await self._next_idle()
        self._busy.add(child)
        try:
            yield child
        finally:
            self._busy.remove(child)
            await self._put_back(child)

    async def _next_idle(self) -> Child:
        if len(self._busy) >= self._slots:
            raise RuntimeError("there is no free slot")
        while True:
            while self._idle:
                child = self._idle.pop()  # the one used last: its models are loaded
                if child.is_alive:
                    return child
            await self._wait_for_idle()

    async def _wait_for_idle(self) -> None:
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                while not self._idle:
                    self._is_one_idle.clear()
                    await self._is_one_idle.wait()
        except TimeoutError:
            raise ChildStartFailed(f"no child was ready within {TAKE_SECONDS} s") from None

    async def _put_back(self, child: Child) -> None:
        is_used_up = child.is_running or child.jobs_started >= self._max_jobs_per_child
        if child.is_alive and not is_used_up:
            self._give(child)
            return
        child.kill(KillReason.CLOSING)
        await child.wait_killed()
        child.close()

    def _give(self, child: Child) -> None:
        self._idle.append(child)
        self._is_one_idle.set()

    async def _replace_forever(self) -> None:
        failures = 0
        while True:
            await self._is_one_missing.wait()
            try:
                await self._start_missing()
            except (ChildStartFailed, OSError) as error:
                failures += 1
                log.error("child_start_failed", error=str(error), failures=failures)
                await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=5.0))
            else:
                failures = 0

    async def _start_missing(self) -> None:
        self._is_one_missing.clear()
        try:
            while len(self._children) < self._slots:
                self._give(await self._start_child())
        except (ChildStartFailed, OSError):  # OSError: out of descriptors, processes or memory
            self._is_one_missing.set()
            raise

    async def _start_child(self) -> Child:
        server = await self._running_server()
        ours, theirs = socket.socketpair()
        with theirs:
            _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)
            try:
                pid = await server.fork(theirs)
            except BaseException:
                inbox.close()
                raise
        child = Child(pid, inbox, server.kill)
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

    async def _running_server(self) -> ForkServer:
        if self._server is not None and self._server.is_running:
            return self._server
        if self._server is not None:
            log.error("fork_server_lost")
            await self._server.close()
        self._server = await ForkServer.open(
            handlers=self._handlers,
            preload=self._preload,
            memory_limit_bytes=self._memory_limit_bytes,
            on_end=self._ended,
        )
        return self._server

    def _ended(self, pid: int, exit_code: int) -> None:
        child = self._children.pop(pid, None)
        if child is None:  # its start was given up
            return
        child.ended(exit_code)
        if child in self._idle:
            self._idle.remove(child)
            child.close()
        self._is_one_missing.set()
        if child.kill_reason is not KillReason.CLOSING:
            metrics.CHILD_DEATHS.labels(child.kill_reason or "died").inc()
            log.warning("child_died", pid=pid, reason=child.kill_reason, exit_code=exit_code)

    async def _watch_forever(self) -> None:
        """Kill the child that has too much memory, before the kernel or the container's limit chooses one."""
        for round_ in itertools.count():
            await asyncio.sleep(WATCH_SECONDS)
            for child in tuple(self._busy):
                if child.rss_bytes > self._memory_limit_bytes:
                    child.kill(KillReason.MEMORY_LIMIT)
            if round_ % IDLE_WATCH_ROUNDS:
                continue
            for child in tuple(self._idle):
                if child.rss_bytes > self._memory_limit_bytes * RECYCLE_SHARE:
                    self._idle.remove(child)
                    child.kill(KillReason.CLOSING)

    async def _close(self) -> None:
        children = tuple(self._children.values())
        for child in children:
            child.kill(KillReason.CLOSING)
        if self._server is not None:
            await self._server.close()
        for child in children:
            child.close()
        await asyncio.sleep(0)  # in which the loop lets go of the connections
