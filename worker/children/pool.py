"""The children of one worker: one for each slot and a fresh one, warm, watched and replaced.

A child is fresh until its first job binds it to that job's tenancy: for good, and decided here, in the
worker. A job goes to an idle child whose tenancy covers it, or else to a fresh one; then the idle child that
was used last the longest ago makes room for it.
"""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from app.core import background, metrics
from app.core.backoff import delay_seconds
from worker.children import usage
from worker.children.child_handle import Child, Inbox
from worker.children.errors import ChildDied, ChildProtocolError, ChildStartFailed, KillReason
from worker.children.forking import ForkServer
from worker.children.messages import Ready
from worker.children.tenancy import Tenancy

__all__ = ["Child", "ChildDied", "ChildPool", "ChildProtocolError", "ChildStartFailed", "KillReason"]

HANDLERS: Final = "worker.handlers:HANDLERS"
READY_SECONDS: Final = 10.0
TAKE_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 0.1
IDLE_WATCH_ROUNDS: Final = 10
"""An idle child does not grow: what it kept of its last job is seen soon enough."""

FRESH: Final = 1
"""So many children beyond the slots wait for a job that no other may run: it need not wait for a fork."""

MAX_INHERITED_FILES: Final = 16

MAX_FILE_BYTES: Final = 2 * 1024**3
MAX_SCRATCH_BYTES: Final = 8 * 1024**3

RECYCLE_SHARE: Final = 0.75
"""A child that keeps more than this of its memory limit between jobs has too little left for the next."""

log = structlog.get_logger(__name__)


class ChildPool:
    """Keeps children for `slots` jobs warm. An asynchronous context manager; at its end every child is gone.

    `handlers` is the dotted name, `module:attribute`, of a mapping from kinds to handlers, or several such
    names with commas between them. They are loaded in the fork server, with what
    the packages `plugins` add; the worker itself never imports a handler or an ML library. `preload` names
    modules that are imported there as well, and functions (`module:function`) that are called. Entering
    raises ChildStartFailed when one of these fails.
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
    ) -> None:
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
        self._idle: list[Child] = []  # the one used last comes last
        self._busy: set[Child] = set()
        self._is_one_fresh = asyncio.Event()
        self._is_one_missing = asyncio.Event()
        self._server: ForkServer | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Load the handlers and start all children."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            await self._start_missing()
            await stack.enter_async_context(
                background.running(
                    self._replace_forever(), self._watch_forever(), self._watch_files_forever()
                )
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill and reap all children, busy ones too."""
        return await self._stack.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def take(self, tenancy: Tenancy) -> AsyncIterator[Child]:
        """A child for one attempt, there must be a free slot. A warm one, or the next that is fresh.

        One that is not confined yet has to be before its job starts. A child that still runs at the end of
        the body is killed. Raises ChildStartFailed when none can be started.
        """
        if len(self._busy) >= self._slots:
            raise RuntimeError("there is no free slot")
        child = self._warm(tenancy) or await self._next_fresh()
        if child.tenancy is None:
            child.bind(tenancy, self._files_in_use(tenancy))
        self._busy.add(child)
        self._make_room()
        try:
            yield child
        finally:
            self._busy.remove(child)
            await self._put_back(child)

    def _warm(self, tenancy: Tenancy) -> Child | None:
        """The idle child used last among those that may run such a job: its models are loaded."""
        for child in reversed(self._idle):
            if child.is_alive and child.tenancy is not None and child.tenancy.covers(tenancy):
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
                    self._is_one_fresh.clear()
                    await self._is_one_fresh.wait()
        except TimeoutError:
            raise ChildStartFailed(f"no child was ready within {TAKE_SECONDS} s") from None

    def _files_in_use(self, tenancy: Tenancy) -> dict[str, Path]:
        """The files of the same owner's idle children, so that several models come to share a child."""
        if tenancy.owner_id is None:
            return {}
        files: dict[str, Path] = {}
        for child in self._idle:
            if child.tenancy is not None and child.tenancy.is_like(tenancy):
                files |= child.files
        return dict(list(files.items())[-MAX_INHERITED_FILES:])

    def _make_room(self) -> None:
        """End the idle children that are one too many, the one used last the longest ago first."""
        while self._idle and len(self._busy) + len(self._idle) > self._slots:
            self._idle.pop(0).kill(KillReason.CLOSING)

    async def _put_back(self, child: Child) -> None:
        if child.is_alive and self._is_fit(child):
            self._idle.append(child)
            return
        child.kill(KillReason.CLOSING)
        await child.wait_killed()
        child.close()

    def _is_fit(self, child: Child) -> bool:
        """Whether a child may run another job."""
        tenancy = child.tenancy
        if tenancy is None or tenancy.is_for_one_job or not child.is_confined or child.is_running:
            return False
        # What a user's file has left of a process that failed, nobody knows: not even its owner's next job.
        if child.has_failed and tenancy.owner_id is not None:
            return False
        return child.jobs_started < self._max_jobs_per_child

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
            while len(self._children) < self._slots + FRESH:
                self._fresh.append(await self._start_child())
                self._is_one_fresh.set()
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
            plugins=self._plugins,
            preload=self._preload,
            memory_limit_bytes=self._memory_limit_bytes,
            max_file_bytes=self._max_file_bytes,
            on_end=self._ended,
        )
        return self._server

    def _ended(self, pid: int, exit_code: int) -> None:
        child = self._children.pop(pid, None)
        if child is None:  # its start was given up
            return
        child.ended(exit_code)
        for waiting in (self._idle, self._fresh):
            if child in waiting:
                waiting.remove(child)
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

    async def _watch_files_forever(self) -> None:
        """Kill the child that has written too much, before the disk is full for all. A disk may be slow."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for child in tuple(self._busy):
                if child.room is None:
                    continue
                job = child.jobs_started
                is_beyond = await asyncio.to_thread(usage.is_beyond, child.room, self._max_scratch_bytes)
                # The next job is not to blame for what the one before has written.
                if is_beyond and child in self._busy and child.jobs_started == job:
                    child.kill(KillReason.DISK_LIMIT)

    async def _close(self) -> None:
        children = tuple(self._children.values())
        for child in children:
            child.kill(KillReason.CLOSING)
        if self._server is not None:
            await self._server.close()
        for child in children:
            child.close()
        await asyncio.sleep(0)  # in which the loop lets go of the connections
