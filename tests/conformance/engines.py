"""The engines of the conformance suite, and how a worker runs an attempt on one of them."""

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from app.core import ids
from app.core.files import StoredFile
from app.core.sandbox.permissions import Permission
from app.core.storage import Storage, open_storage
from app.jobs.transition_types import ClaimedJob
from tests.worker.children import attempts
from tests.worker.children.attempts import MEBIBYTE, Attempt
from worker.children.child_handle import Child
from worker.children.messages import Done, LocalFile, Start
from worker.children.tenancy import Tenancy
from worker.engines.engine import Engine
from worker.engines.loopback import ADDRESS, LoopbackStarter
from worker.engines.pool import PoolOptions
from worker.engines.ray.engine import RemoteEngine
from worker.files import Files

SECONDS: Final = re.compile(rb'"seconds":[0-9.e-]+')
"""What each epoch took, the only part of an output that differs from run to run."""

MEMORY_LIMIT_BYTES: Final = 512 * MEBIBYTE
SCRATCH_BYTES: Final = 32 * MEBIBYTE

OPTIONS: Final = PoolOptions(
    memory_limit_bytes=MEMORY_LIMIT_BYTES,
    max_jobs_per_child=1000,
    max_file_bytes=64 * MEBIBYTE,
    max_scratch_bytes=SCRATCH_BYTES,
    handlers=f"{attempts.HANDLERS},tests.conformance.engine_handlers:HANDLERS",
)

Open = Callable[[Path, int], AbstractAsyncContextManager[Engine]]
"""Opens an engine with this number of slots. Hosts on this machine may keep files in the folder."""


@asynccontextmanager
async def pool(_folder: Path, slots: int) -> AsyncIterator[Engine]:
    async with OPTIONS.pool(slots) as engine:
        yield engine


@asynccontextmanager
async def loopback(folder: Path, slots: int) -> AsyncIterator[RemoteEngine]:
    async with RemoteEngine(
        OPTIONS,
        slots,
        LoopbackStarter(folder),
        listen_on=ADDRESS,
        address=ADDRESS,
        port=0,
        idle_seconds=60.0,
        cache_bytes=2**30,
    ) as engine:
        yield engine


ENGINES: Final[Mapping[str, Open]] = {"pool": pool, "loopback": loopback}


async def one_due(_limit: int) -> int:
    """One job is due, whatever it is asked for."""
    return 1


@dataclass
class Bench:
    """An engine, and the files of a worker that runs jobs on it."""

    engine: Engine
    files: Files
    storage: Storage
    owner_id: UUID = field(default_factory=ids.new_id)

    async def store_files(self, message: Start) -> dict[str, StoredFile]:
        """Put the local files of a message into storage."""
        return {
            name: await self.storage.put_file(f"datasets/{ids.new_id()}", Path(file.path))
            for name, file in message.files.items()
        }

    @asynccontextmanager
    async def take(
        self, message: Start, *permissions: Permission, wanted: Mapping[str, StoredFile] | None = None
    ) -> AsyncIterator["Running"]:
        """Take a child and confine it, as a worker does, and bring it the files of the attempt.

        They are `wanted`, or else those that the message has.
        """
        if wanted is None:
            wanted = await self.store_files(message)
        job = claimed(message)
        keys = frozenset(file.key for file in wanted.values())
        required = Tenancy(self.owner_id, frozenset(permissions), keys, may_write=True)
        async with self.engine.slot(one_due) as is_reserved, self.engine.take(required) as child:
            assert is_reserved
            paths = await self.files.fetch(wanted)
            there = await self.files.bring(child, wanted, paths)
            await self.files.admit(job, child, {file.key: there[name] for name, file in wanted.items()})
            try:
                yield Running(
                    child,
                    job,
                    msgspec.structs.replace(
                        message,
                        scratch=None if child.folder is None else str(self.files.scratch(job)),
                        files={
                            name: LocalFile(str(there[name]), file.sha256) for name, file in wanted.items()
                        },
                    ),
                )
            finally:
                self.files.unpin(paths.values())
                await self.files.clear_scratch(job)

    async def run(self, message: Start, *, wanted: Mapping[str, StoredFile] | None = None) -> Attempt:
        """Run an attempt to its end."""
        async with self.take(message, wanted=wanted) as running:
            return await attempts.run(running.child, running.message)

    async def run_and_store(self, message: Start) -> dict[str, Any]:
        """Run an attempt to its end. Return what a user gets of it, with digests of its files."""
        async with self.take(message) as running:
            attempt = await attempts.run(running.child, running.message)
            assert isinstance(attempt.end, Done), attempt.end
            stored = {
                name: await self.files.store(running.job, "artifacts", name.replace("/", "-"), local)
                for name, local in attempt.end.artifacts.items()
            }
        contents = {name: await self.storage.get(file) for name, file in stored.items()}
        assert {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} == {
            name: file.sha256 for name, file in stored.items()
        }
        return {
            "outputs": [SECONDS.sub(b"", batch.output) for batch in attempt.batches],
            "rows": [(batch.first_row, batch.row_count, batch.errors) for batch in attempt.batches],
            "result": without_seconds(attempt.result),
            "files": {name: file.sha256 for name, file in stored.items()},
        }


@dataclass(frozen=True)
class Running:
    """An attempt whose child is confined, and the message that starts it there."""

    child: Child
    job: ClaimedJob
    message: Start


@asynccontextmanager
async def bench(opened: Open, folder: Path, slots: int = 2) -> AsyncIterator[Bench]:
    storage = open_storage((folder / "storage").as_uri())
    async with (
        opened(folder / "hosts", slots) as engine,
        Files(storage, folder / "worker", 2**30) as files,
    ):
        yield Bench(engine, files, storage)


def claimed(message: Start) -> ClaimedJob:
    return ClaimedJob(
        id=message.job_id,
        attempt=message.attempt,
        owner_id=ids.new_id(),
        kind=message.kind,
        queue="default",
        params=message.params,
        rows=message.payload,
        total=message.total,
        next_batch=0,
        done=0,
        checkpoint=None,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        failures=0,
        max_attempts=3,
        waited_seconds=0.0,
    )


def without_seconds(value: Any) -> Any:
    """A result without the durations in it."""
    if isinstance(value, dict):
        return {name: without_seconds(part) for name, part in value.items() if "seconds" not in name}
    return [without_seconds(part) for part in value] if isinstance(value, list) else value
