"""The worker's handle on one child process: send and receive messages, confine it, kill it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.core.sandbox.permissions import Permission
from app.jobs.transition_types import Measurements
from worker.children import messages
from worker.children.attempt_meter import NODE_BYTES, NODE_PROCESSORS, AttemptMeter
from worker.children.errors import ChildDied, KillReason
from worker.children.inbox import Inbox
from worker.children.local_gauge import Gauge, LocalGauge
from worker.children.messages import Confine, Done, Failed, FromChild, Start, ToChild, Yielded
from worker.children.tenancy import Tenancy

if TYPE_CHECKING:
    from worker.engines.engine import Place  # which is above this package

KILL_SECONDS: Final = 5.0
"""How long to wait for a killed process. One that hangs in the kernel for longer is abandoned."""

DISCONNECT_SECONDS: Final = 1.0
"""How far apart the exit of a process and the end of its connection may be."""


T = TypeVar("T")


@dataclass(frozen=True)
class SlotGpus:
    """The GPUs of a slot: its number, and their names as in CUDA_VISIBLE_DEVICES.

    With `onnx_cuda`, ONNX models run on them.
    """

    slot: int
    visible: str
    onnx_cuda: bool = False


class Child:
    """One child process: fresh, idle, or running one attempt.

    A fresh child has no tenancy and is not confined. Its first job gives it both, for the rest of its life.
    """

    def __init__(
        self,
        pid: int,
        inbox: Inbox,
        request_kill: Callable[[int], None],
        *,
        gauge: Gauge | None = None,
        place: "Place | None" = None,
    ) -> None:
        """`pid` is the number by which its host knows it: the process id, on this machine.

        `gauge` and `place` are those of a child on another machine.
        """
        self.pid: Final = pid
        self.place: Final = place
        self.jobs_started = 0
        self.is_running = False
        self.kill_reason: KillReason | None = None
        self.tenancy: Tenancy | None = None
        self.is_confined = False
        self.has_failed = False
        self.gpus: SlotGpus | None = None
        """Those that it uses from its first job on."""

        self.files: dict[str, Path] = {}
        self.home: Path | None = None
        """The folder that the worker reads its files from, once it is confined."""

        self.folder: Path | None = None
        """The same, if the child may write."""

        self._gauge = gauge or LocalGauge()
        self._meter = (
            AttemptMeter()
            if place is None
            else AttemptMeter(processors=NODE_PROCESSORS, machine_bytes=NODE_BYTES)
        )
        self._exit_callbacks: list[Callable[[], None]] = []
        self._inbox = inbox
        self._request_kill = request_kill
        self._exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs and has not been killed."""
        return self.kill_reason is None and not self._exit_code.done() and not self._inbox.is_closed

    @property
    def rss_bytes(self) -> int:
        """Its resident memory, including shared pages; 0 after its exit."""
        return self._gauge.rss_bytes(self.pid)

    @property
    def measurements(self) -> Measurements:
        """What the attempt that started last has used, so far or in all."""
        if self.is_running:
            self.sample(with_processor=True)
        return self._meter.measurements

    def covers(self, tenancy: Tenancy) -> bool:
        """Whether it is bound to a tenancy that covers this one."""
        return self.tenancy is not None and self.tenancy.covers(tenancy)

    def reset_measurements(self) -> None:
        """Forget the last attempt."""
        self._meter.reset()

    def sample(self, *, with_processor: bool) -> int:
        """Measure the process while it runs an attempt, and return its resident memory."""
        rss_bytes = self.rss_bytes
        seconds = self._process_seconds() if with_processor else None
        self._meter.sample(rss_bytes=rss_bytes, process_seconds=seconds)
        return rss_bytes

    def _process_seconds(self) -> float | None:
        """Return the processor time of the process and of all that it has started; None after its exit."""
        may_start_others = self.tenancy is not None and Permission.PROCESSES in self.tenancy.permissions
        return self._gauge.cpu_seconds(self.pid, with_descendants=may_start_others)

    def send(self, message: ToChild) -> None:
        """Send a message. Drops it if the child has disconnected."""
        if isinstance(message, Start):
            if not self.is_confined:
                raise RuntimeError("confine the child before a job starts in it")
            self.is_running = True
            self.jobs_started += 1
            self._meter.start(message.kind)
        self._inbox.write(messages.frame(message))

    def bind(self, tenancy: Tenancy, files: Mapping[str, Path]) -> None:
        """Give a fresh child its tenancy. It may also read `files`, which are by storage key."""
        if self.tenancy is not None:
            raise RuntimeError("the child has a tenancy already")
        self.tenancy = tenancy
        self.files = dict(files)

    def confine(self, files: Mapping[str, Path], folder: Path) -> None:
        """Restrict the child to its files and these, its permissions and, if it may write, one folder."""
        if self.is_confined or self.tenancy is None:
            raise RuntimeError("a child is confined once, after it was given a tenancy")
        if self.place is None:
            self.files = {key: path for key, path in self.files.items() if path.exists()}
        self.files |= files
        self.tenancy = replace(self.tenancy, files=frozenset(self.files))
        permissions = tuple(sorted(self.tenancy.permissions))
        self.home = folder
        self.folder = folder if self.tenancy.may_write else None
        scratch = None if self.folder is None else str(self.folder)
        files_to_read = tuple(str(path) for path in self.files.values())
        gpus = self.gpus
        self.send(
            Confine(
                permissions,
                files_to_read,
                scratch,
                gpus=None if gpus is None else gpus.visible,
                onnx_cuda=gpus is not None and gpus.onnx_cuda,
            )
        )
        self.is_confined = True

    async def keep_inherited_files(self) -> None:
        """Have its place keep the files that it has inherited, and forget those that are gone.

        Call it before `confine`. Raises PlaceFault.
        """
        if self.place is not None and self.files:
            kept = await self.place.keep(self.pid, self.files.values())
            self.files = {key: path for key, path in self.files.items() if path in kept}

    def add_exit_callback(self, callback: Callable[[], None]) -> None:
        """Have this called once the process has exited."""
        self._exit_callbacks.append(callback)

    async def receive(self) -> FromChild:
        """Wait for the next message, without a timeout, and return it.

        Raises ChildDied after the last message of a child that has exited, and ChildProtocolError if the
        child sent bytes that are not a message.
        """
        while (message := self.receive_nowait()) is None:
            if self._inbox.is_closed:
                raise await self._child_died()
            await self._inbox.wait()
        return message

    def receive_nowait(self) -> FromChild | None:
        """Return the next message; None if there is none yet. Raises ChildProtocolError."""
        message = self._inbox.pop()
        if isinstance(message, Done | Yielded | Failed):
            self.is_running = False
            self.has_failed = self.has_failed or isinstance(message, Failed)
            self._meter.end(message.usage)
        return message

    async def wait_at_most(self, seconds: float) -> bool:
        """Wait for a message; return False if none has come in time, or none will come."""
        return await self._inbox.wait_at_most(seconds)

    def left_unread(self) -> AbstractContextManager[None]:
        """Leave what the child sends during the body unread until its end."""
        return self._inbox.left_unread()

    async def poll(self) -> None:
        """Read what the child has sent, without waiting for more."""
        await self._inbox.poll()

    async def run_while_alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` and return its result. If the child exits first, cancels it and raises ChildDied."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._exit_code), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise await self._child_died()
            return await task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def kill(self, reason: KillReason) -> None:
        """Kill the child and its process group. `receive` then raises ChildDied with the first reason."""
        if self.kill_reason is None and not self._exit_code.done():
            if self.is_running:  # what programs of the attempt have used is lost with them
                self.sample(with_processor=True)
            self.kill_reason = reason
            self._request_kill(self.pid)

    async def wait_exited(self) -> int:
        """Wait at most KILL_SECONDS until the child is reaped, and return its exit code."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._exit_code), KILL_SECONDS)
        except TimeoutError:
            return -signal.SIGKILL

    def set_exited(self, exit_code: int, cpu_seconds: float, memory_peak_bytes: int) -> None:
        """Record that the process has exited, and run the exit callbacks. Called by the pool.

        Processor time and peak memory are those of the whole process.
        """
        self.is_running = False
        self._meter.exited(process_seconds=cpu_seconds, memory_peak_bytes=memory_peak_bytes)
        self._exit_code.set_result(exit_code)
        for callback in self._exit_callbacks:
            callback()
        # The kernel closes the connection, unless a process that the child started and that left its process
        # group holds it open.
        asyncio.get_running_loop().call_later(DISCONNECT_SECONDS, self.close)

    def close(self) -> None:
        """Close the connection. An idle child exits then, and a busy one at its next commit."""
        self._inbox.close()

    async def _child_died(self) -> ChildDied:
        try:
            exit_code = await asyncio.wait_for(asyncio.shield(self._exit_code), DISCONNECT_SECONDS)
        except TimeoutError:  # the child has closed its connection without exiting
            self.kill(KillReason.PROTOCOL)
            exit_code = await self.wait_exited()
        return ChildDied(self.pid, self.kill_reason, exit_code)
