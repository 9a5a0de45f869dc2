"""Download the files that jobs read, and upload the files that they write.

Children have neither access to storage nor credentials for it. They read local files and write into a
scratch folder; the worker transfers files between those and storage.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import psutil
import structlog

from app.core.errors import FileMissing, StorageUnavailable
from app.core.files import StoredFile
from app.core.storage import BLOCK_BYTES, Storage
from app.jobs.profiles.profile import MAX_BYTES as MAX_PROFILE_BYTES
from app.jobs.results import files_prefix
from app.jobs.transition_types import Batch, ClaimedJob
from worker.children.child_handle import Child
from worker.context import damaged
from worker.engines.engine import FileDamaged, Place, PlaceFault
from worker.folders import open_beneath, own_folder, remove_contents

MAX_INLINE_OUTPUT_BYTES: Final = 16 * 1024
"""For a job over a dataset, a larger output of a batch is stored as a part file."""

log = structlog.get_logger(__name__)


class _NotWritten(Exception):
    """A child names a file that is not a regular file in its scratch folder, or is too large."""


class FileFault(Exception):
    """A file could not be transferred. `is_retryable` says whether another attempt may succeed."""

    def __init__(self, code: str, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_retryable = is_retryable


@dataclass(frozen=True)
class _Room:
    """The folder in which the child of an attempt writes; `place` if that is not on this machine."""

    folder: Path
    place: Place | None = None
    child: int = 0


class Files:
    """Transfers files between storage and the places where children run.

    Those of most children are in the local folder of the workers. What a child on another machine reads is
    downloaded there first, and then sent on.

    All workers of a machine share `folder`. It holds a download cache of at most `cache_bytes`, by SHA-256,
    and a scratch folder for each worker, which holds one folder for each of its children. An async context
    manager: at its end the worker's scratch folder is removed.
    """

    def __init__(self, storage: Storage, folder: Path, cache_bytes: int) -> None:
        self._storage = storage
        self._folder = folder
        self._cache_bytes = cache_bytes
        self._downloads = folder / "downloads"
        self._scratch = folder / "scratch" / str(os.getpid())
        self._rooms: dict[tuple[UUID, int], _Room] = {}
        self._folder_numbers = itertools.count()
        self._download_locks: dict[Path, asyncio.Lock] = {}
        self._pinned: list[Path] = []  # a path occurs once for each pin

    async def __aenter__(self) -> Self:
        """Create the folders, and remove those of workers that no longer run."""
        await asyncio.to_thread(self._prepare)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove the scratch folders."""
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    def create_child_folder(self, pid: int) -> Path:
        """Create the folder in which a child writes: scratch folders of its attempts, and temporary files."""
        folder = self._scratch / f"{next(self._folder_numbers)}-{pid}"
        folder.mkdir(mode=0o700)
        return folder

    def assign_folder(
        self, job: ClaimedJob, folder: Path, *, place: Place | None = None, child: int = 0
    ) -> None:
        """Record that an attempt writes into this folder, which is that of its child."""
        self._rooms[job.id, job.attempt] = _Room(folder, place, child)

    def scratch(self, job: ClaimedJob) -> Path:
        """Return the path of an attempt's scratch folder, as its child sees it. It may not exist yet."""
        return self._room(job).folder / f"{job.id.hex}-{job.attempt}"

    def _room(self, job: ClaimedJob) -> _Room:
        return self._rooms.get((job.id, job.attempt), _Room(self._scratch))

    async def admit(self, job: ClaimedJob, child: Child, paths: Mapping[str, Path]) -> None:
        """Give a job its child's folder. A new child is first confined to it and to the job's files.

        `paths` are the files by storage key, as the child sees them. Raises PlaceFault.
        """
        if child.home is None:
            await child.keep_inherited_files()
            child.confine(paths, await self._create_folder(child))
            if child.place is None:
                # Pinned while the child lives: it may open these files, not others downloaded to their paths.
                child.add_exit_callback(partial(self.unpin, self.pin(child.files.values())))
        if child.home is None:
            raise RuntimeError("a confined child has a folder")
        self.assign_folder(job, child.home, place=child.place, child=child.pid)

    async def _create_folder(self, child: Child) -> Path:
        if child.place is not None:
            return await child.place.create_folder(child.pid)
        folder = self.create_child_folder(child.pid)
        child.add_exit_callback(partial(shutil.rmtree, folder, ignore_errors=True))
        return folder

    async def bring(
        self, child: Child, files: Mapping[str, StoredFile], paths: Mapping[str, Path]
    ) -> dict[str, Path]:
        """Return the paths, by name, at which a child reads files of this machine.

        Raises FileFault, PlaceFault.
        """
        if child.place is None:
            return dict(paths)
        there = {}
        for name, file in files.items():
            try:
                there[name] = await child.place.bring(child.pid, file, paths[name])
            except FileDamaged as error:
                raise FileFault("artifact_integrity", damaged(name), is_retryable=False) from error
        return there

    async def fetch(self, files: Mapping[str, StoredFile]) -> dict[str, Path]:
        """Return local paths of the files by name, downloaded if needed and pinned. Raises FileFault."""
        paths: dict[str, Path] = {}
        try:
            for name, file in files.items():
                paths[name] = await self._fetch_one(name, file)
        except BaseException:
            self.unpin(paths.values())
            raise
        return paths

    def pin(self, paths: Iterable[Path]) -> tuple[Path, ...]:
        """Keep downloads in the cache until `unpin`. Returns the paths that are downloads, for `unpin`."""
        pinned = tuple(path for path in paths if path.parent == self._downloads)
        self._pinned += pinned
        return pinned

    def unpin(self, paths: Iterable[Path]) -> None:
        """Release one pin of each file. Ignores files that are not pinned."""
        for path in paths:
            with contextlib.suppress(ValueError):
                self._pinned.remove(path)

    async def clear_scratch(self, job: ClaimedJob) -> None:
        """Remove everything that a finished attempt has written, including temporary files."""
        room = self._rooms.pop((job.id, job.attempt), None)
        if room is None:
            return
        # The folder is removed when the child ends, and with its place.
        with contextlib.suppress(FileNotFoundError, PlaceFault):
            if room.place is not None:
                await room.place.clear(room.child)
            elif any(room.folder.iterdir()):
                await asyncio.to_thread(remove_contents, room.folder)

    async def offload(self, job: ClaimedJob, first_batch: int, batches: Iterable[Batch]) -> tuple[Batch, ...]:
        """Store large outputs as part files, and return the batches with their keys. Raises FileFault."""
        offloaded: list[Batch] = []
        parts: dict[str, bytes] = {}
        for index, batch in enumerate(batches, first_batch):
            if batch.output is None or job.rows is not None or len(batch.output) <= MAX_INLINE_OUTPUT_BYTES:
                offloaded.append(batch)
                continue
            key = part_key(job.id, job.attempt, index)
            parts[key] = batch.output
            offloaded.append(replace(batch, output=None, part_key=key, part_bytes=len(batch.output)))
        if parts:
            try:
                await self._storage.put_all(parts)
            except StorageUnavailable as error:
                raise _unavailable(error) from error
        return tuple(offloaded)

    async def store(self, job: ClaimedJob, prefix: str, name: str, local_name: str) -> StoredFile:
        """Upload a file from an attempt's scratch folder, under a key of that attempt. Raises FileFault."""
        return await self.store_as(job, f"{prefix}/{job.id}/{job.attempt}/{name}", name, local_name)

    async def store_as(self, job: ClaimedJob, key: str, name: str, local_name: str) -> StoredFile:
        """Upload a file from an attempt's scratch folder, under a new key. Raises FileFault."""
        try:
            async with contextlib.aclosing(self._read(job, local_name)) as blocks:
                return await self._storage.put(key, blocks)
        except _NotWritten:
            message = f"The handler did not write the file {name!r} into its scratch folder."
            raise FileFault("missing_file", message, is_retryable=False) from None
        except StorageUnavailable as error:
            raise _unavailable(error) from error

    async def store_profile(self, job: ClaimedJob, local_name: str) -> str | None:
        """Upload the profile of an attempt, and return its key.

        Returns None if the child has not written one, if it is too large, or if storage is unavailable: no
        attempt fails for its profile.
        """
        key = profile_key(job.id, job.attempt)
        try:
            content = bytearray()
            async with contextlib.aclosing(self._read(job, local_name)) as blocks:
                async for block in blocks:
                    content += block
                    if len(content) > MAX_PROFILE_BYTES:
                        raise _NotWritten(f"{local_name} has more than {MAX_PROFILE_BYTES} bytes")
            await self._storage.put(key, bytes(content))
        except (_NotWritten, PlaceFault, StorageUnavailable) as error:
            log.warning("profile_not_stored", error=repr(error))
            return None
        return key

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete files that nothing refers to any more. The sweep deletes them if storage is unavailable."""
        with contextlib.suppress(StorageUnavailable):
            await self._storage.delete(list(keys))

    async def _read(self, job: ClaimedJob, local_name: str) -> AsyncGenerator[bytes]:
        """Read a file of an attempt's scratch folder. Raises _NotWritten, PlaceFault."""
        room, scratch = self._room(job), self.scratch(job)
        try:
            if room.place is not None:
                async for block in room.place.read(room.child, f"{scratch.name}/{local_name}"):
                    yield block
                return
            descriptor = open_beneath(scratch, local_name)
        except (OSError, ValueError) as error:
            raise _NotWritten(repr(error)) from error
        try:
            while block := await asyncio.to_thread(os.read, descriptor, BLOCK_BYTES):
                yield block
        finally:
            os.close(descriptor)

    async def _fetch_one(self, name: str, file: StoredFile) -> Path:
        path = self._storage.local_path(file.key)
        if path is not None:
            if not path.exists():
                raise _missing(name)
            return path
        path = self._downloads / file.sha256
        self._pinned.append(path)
        try:
            async with self._download_locks.setdefault(path, asyncio.Lock()):
                await self._ensure_downloaded(name, file, path)
        except BaseException:
            self._pinned.remove(path)
            raise
        finally:
            if path not in self._pinned:
                self._download_locks.pop(path, None)
        return path

    async def _ensure_downloaded(self, name: str, file: StoredFile, path: Path) -> None:
        if await asyncio.to_thread(self._is_cached_else_evict, path, file.bytes):
            return
        try:
            await self._storage.download(file, path)
        except FileMissing as error:
            raise _missing(name) from error
        except StorageUnavailable as error:
            raise _unavailable(error) from error
        except OSError as error:  # the disk is full or failing
            message = f"The worker could not save the file {name!r} to its disk: {error.strerror}."
            raise FileFault("no_disk", message, is_retryable=True) from error

    def _prepare(self) -> None:
        own_folder(self._folder)
        for folder in (self._downloads, self._scratch.parent, self._scratch):
            own_folder(folder)
        for folder in self._scratch.parent.iterdir():
            if folder.name.isdigit() and not psutil.pid_exists(int(folder.name)):
                shutil.rmtree(folder, ignore_errors=True)

    def _is_cached_else_evict(self, wanted: Path, size: int) -> bool:
        """Return whether a file is cached. If not, evict least recently used files until `size` fits."""
        if wanted.exists():
            os.utime(wanted)  # marks it as recently used
            return True
        cached = sorted((path.stat().st_mtime, path) for path in self._downloads.iterdir())
        used = sum(path.stat().st_size for _, path in cached)
        for _, path in cached:
            if used + size <= self._cache_bytes:
                return False
            if path not in self._pinned:
                used -= path.stat().st_size
                path.unlink(missing_ok=True)
        return False


def part_key(job_id: UUID, attempt: int, index: int) -> str:
    """Return the storage key of a part file. It contains the attempt, so that a zombie overwrites nothing."""
    return f"jobs/{job_id}/{attempt}/part-{index}"


def profile_key(job_id: UUID, attempt: int) -> str:
    """Return the storage key of the profile of an attempt."""
    return f"{files_prefix(job_id)}/{attempt}/profile"


def _missing(name: str) -> FileFault:
    message = f"The file {name!r} of the job is no longer in storage."
    return FileFault("file_missing", message, is_retryable=False)


def _unavailable(error: Exception) -> FileFault:
    log.warning("storage_unavailable", error=repr(error.__cause__))
    return FileFault("storage_unavailable", "The file storage is unavailable.", is_retryable=True)
