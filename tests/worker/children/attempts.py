"""Helpers to run attempts in children, with a worker that acknowledges every batch at once."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from app.core import ids
from app.core.sandbox.permissions import Permission
from worker.children.inside import InsideChild
from worker.children.messages import Batch, Committed, Done, Failed, FromChild, Log, Start, Yielded
from worker.children.pool import Child, ChildDied, ChildPool
from worker.children.tenancy import Tenancy

HANDLERS = "tests.worker.children.bad_handlers:HANDLERS"
MEBIBYTE = 1024 * 1024
SECONDS = 30.0

End = Done | Yielded | Failed


def pool(
    *,
    slots: int = 1,
    memory_limit_bytes: int = 1024 * MEBIBYTE,
    max_jobs_per_child: int = 1000,
    max_file_bytes: int = 64 * MEBIBYTE,
    max_scratch_bytes: int = 1024 * MEBIBYTE,
    handlers: str = HANDLERS,
    plugins: Sequence[str] = (),
    preload: Sequence[str] = (),
    gpus: Sequence[str] = (),
    onnx_cuda: bool = False,
) -> ChildPool:
    return ChildPool(
        slots=slots,
        memory_limit_bytes=memory_limit_bytes,
        max_jobs_per_child=max_jobs_per_child,
        max_file_bytes=max_file_bytes,
        max_scratch_bytes=max_scratch_bytes,
        handlers=handlers,
        plugins=plugins,
        preload=preload,
        gpus=gpus,
        onnx_cuda=onnx_cuda,
    )


@asynccontextmanager
async def take(
    children: ChildPool,
    *permissions: Permission,
    tenancy: Tenancy | None = None,
    files: Mapping[str, Path] | None = None,
) -> AsyncIterator[Child]:
    """Take a child and confine it as the worker does. Its folder is temporary."""
    wanted = tenancy or Tenancy(permissions=frozenset(permissions), may_write=True)
    async with children.take(wanted) as child:
        if not child.is_confined:
            folder = tempfile.TemporaryDirectory(prefix="headrace-child-", ignore_cleanup_errors=True)
            child.add_exit_callback(folder.cleanup)
            child.confine(files or {}, Path(folder.name))
        yield child


def start(
    kind: str,
    rows: Sequence[Any] = (),
    *,
    params: dict[str, Any] | None = None,
    resume_batch: int = 0,
    done: int = 0,
    checkpoint: bytes | None = None,
) -> Start:
    return Start(
        job_id=ids.new_id(),
        attempt=1,
        kind=kind,
        params=msgspec.json.encode(params or {}),
        payload=msgspec.json.encode(rows),
        total=len(rows),
        resume_batch=resume_batch,
        done=done,
        checkpoint=checkpoint,
    )


@dataclass
class Attempt:
    """The messages of one attempt."""

    batches: list[Batch]
    logs: list[Log]
    end: End

    @property
    def outputs(self) -> list[Any]:
        return [output for batch in self.batches for output in outputs_of(batch)]

    @property
    def result(self) -> Any:
        assert isinstance(self.end, Done), self.end
        return msgspec.json.decode(self.end.result)

    @property
    def failure(self) -> Failed:
        assert isinstance(self.end, Failed), self.end
        return self.end


def outputs_of(batch: Batch) -> list[Any]:
    return [msgspec.json.decode(line)["prediction"] for line in batch.output.splitlines()]


async def run(child: Child | InsideChild, message: Start) -> Attempt:
    """Run an attempt to its end, with every batch acknowledged."""
    child.send(message)
    batches: list[Batch] = []
    logs: list[Log] = []
    while True:
        match await receive(child):
            case Batch() as batch:
                batches.append(batch)
                child.send(Committed(batch.index))
            case Log() as line:
                logs.append(line)
            case Done() | Yielded() | Failed() as end:
                return Attempt(batches, logs, end)
            case other:
                raise AssertionError(other)


@asynccontextmanager
async def take_for(children: ChildPool, message: Start) -> AsyncIterator[Child]:
    """Take a child for a new owner, confined to the files and the scratch folder of an attempt."""
    files = {file.path: Path(file.path) for file in message.files.values()}
    tenancy = Tenancy(ids.new_id(), files=frozenset(files), may_write=True)
    async with children.take(tenancy) as child:
        with tempfile.TemporaryDirectory(prefix="headrace-child-", ignore_cleanup_errors=True) as folder:
            room = Path(folder if message.scratch is None else message.scratch)
            room.mkdir(parents=True, exist_ok=True)
            child.confine(files, room)
            yield child


async def run_alone(message: Start, *permissions: Permission) -> Attempt:
    """Run an attempt in a pool of its own."""
    async with pool() as children:
        if message.files:
            async with take_for(children, message) as child:
                return await run(child, message)
        async with take(children, *permissions) as child:
            return await run(child, message)


async def receive(child: Child | InsideChild) -> FromChild:
    return await asyncio.wait_for(child.receive(), SECONDS)


async def receive_until_silent(child: Child) -> list[FromChild]:
    """Receive messages until none arrives for ten times as long as a batch takes here."""
    messages: list[FromChild] = []
    while True:
        try:
            messages.append(await asyncio.wait_for(child.receive(), 0.3))
        except TimeoutError:
            return messages


async def receive_death(child: Child) -> ChildDied:
    """Skip all messages until the child dies."""
    while True:
        try:
            await receive(child)
        except ChildDied as death:
            return death


async def receive_batch(child: Child) -> Batch:
    """Wait for the next batch; pass over lines of the log."""
    while isinstance(message := await receive(child), Log):
        pass
    assert isinstance(message, Batch), message
    return message


async def eventually(is_true: Callable[[], bool]) -> None:
    """Wait for a condition that no message announces."""
    async with asyncio.timeout(SECONDS):
        while not is_true():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.005)


def descendants() -> list[psutil.Process]:
    """Return the fork servers of this process and their children, not those of other tests."""
    return [process for process in psutil.Process().children(recursive=True) if _is_forked(process)]


def _is_forked(process: psutil.Process) -> bool:
    try:
        return any("forkserver" in argument for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def is_gone(pid: int) -> bool:
    """Return whether a process has exited, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
