"""The files of the jobs that run here: what they read is brought, what they wrote is taken away.

Children have no way to storage, and no credentials for it. They read files on this machine and write into a
scratch folder; everything between those and storage is done here, by the worker.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import psutil
import structlog

from app.core.errors import ConfigurationError, FileMissing, StorageUnavailable
from app.core.files import StoredFile
from app.core.storage import BLOCK_BYTES, Storage
from app.jobs.transition_types import Batch, ClaimedJob

MAX_INLINE_OUTPUT_BYTES: Final = 16 * 1024
"""The output of a batch over a dataset that is larger than this becomes a part file."""

log = structlog.get_logger(__name__)


class FileFault(Exception):
    """A file cannot be brought or taken away; `is_retryable` says whether that may change."""

    def __init__(self, code: str, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_retryable = is_retryable


class Files:
    """The folder of one worker, and what goes to and fro between it and storage.

    Below `folder`, which all workers of a machine share, are a folder of downloads by their SHA-256, and one
    for the scratch folders of each worker. An asynchronous context manager; at its end the latter is gone.
    """

    def __init__(self, storage: Storage, folder: Path, cache_bytes: int) -> None:
        self._storage = storage
        self._folder = folder
        self._cache_bytes = cache_bytes
        self._downloads = folder / "downloads"
        self._scratch = folder / "scratch" / str(os.getpid())
        self._rooms: dict[int, Path] = {}
        self._room_of: dict[tuple[UUID, int], Path] = {}
        self._room_numbers = itertools.count()
        self._fetching: dict[Path, asyncio.Lock] = {}
        self._in_use: list[Path] = []

    async def __aenter__(self) -> Self:
        """Make the folders, and remove what workers that are dead have left."""
        await asyncio.to_thread(self._prepare)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove the scratch folders."""
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    def open_room(self, pid: int) -> Path:
        """A new folder in which one child writes: the scratch folders of its attempts, temporary files."""
        room = self._scratch / f"{next(self._room_numbers)}-{pid}"
        room.mkdir(mode=0o700)
        self._rooms[pid] = room
        return room

    def close_room(self, pid: int) -> None:
        """Remove a child's folder, when the child has ended."""
        shutil.rmtree(self._rooms.pop(pid), ignore_errors=True)

    def enter_room(self, job: ClaimedJob, pid: int) -> None:
        """Say in which child an attempt runs."""
        self._room_of[job.id, job.attempt] = self._rooms[pid]

    def scratch(self, job: ClaimedJob) -> Path:
        """Where an attempt may make its scratch folder."""
        return self._room_of.get((job.id, job.attempt), self._scratch) / f"{job.id.hex}-{job.attempt}"

    async def fetch(self, files: Mapping[str, StoredFile]) -> dict[str, Path]:
        """The files, on this machine, in use until they are given back. Raises FileFault."""
        paths: dict[str, Path] = {}
        try:
            for name, file in files.items():
                paths[name] = await self._local(name, file)
        except BaseException:
            self.give_back(paths.values())
            raise
        return paths

    def hold(self, paths: Iterable[Path]) -> tuple[Path, ...]:
        """Keep files that are on this machine in use until they are given back; those it comes to."""
        held = tuple(path for path in paths if path.parent == self._downloads)
        self._in_use += held
        return held

    def give_back(self, paths: Iterable[Path]) -> None:
        """Say that the files are no longer in use."""
        for path in paths:
            with contextlib.suppress(ValueError):
                self._in_use.remove(path)

    async def clear(self, job: ClaimedJob) -> None:
        """Remove all that an attempt that is over has written, temporary files too."""
        room = self._room_of.pop((job.id, job.attempt), None)
        with contextlib.suppress(FileNotFoundError):  # the child has ended, and its room is gone with it
            if room is not None and any(room.iterdir()):
                await asyncio.to_thread(_empty, room)

    async def offload(self, job: ClaimedJob, first_batch: int, batches: Iterable[Batch]) -> tuple[Batch, ...]:
        """The batches, the large outputs among them as part files in storage. Raises FileFault."""
        kept: list[Batch] = []
        parts: dict[str, bytes] = {}
        for index, batch in enumerate(batches, first_batch):
            if batch.output is None or job.rows is not None or len(batch.output) <= MAX_INLINE_OUTPUT_BYTES:
                kept.append(batch)
                continue
            key = part_key(job.id, job.attempt, index)
            parts[key] = batch.output
            kept.append(replace(batch, output=None, part_key=key, part_bytes=len(batch.output)))
        if parts:
            try:
                await self._storage.put_all(parts)
            except StorageUnavailable as error:
                raise _unavailable(error) from error
        return tuple(kept)

    async def keep(self, job: ClaimedJob, prefix: str, name: str, local_name: str) -> StoredFile:
        """Store a file from an attempt's scratch folder, under a key of its own. Raises FileFault."""
        try:
            descriptor = _open_beneath(self.scratch(job), local_name)
        except (OSError, ValueError):
            raise FileFault(
                "missing_file", f"the handler wrote no file for {name!r}", is_retryable=False
            ) from None
        try:
            return await self._put(f"{prefix}/{job.id}/{job.attempt}/{name}", descriptor)
        finally:
            os.close(descriptor)

    async def forget(self, keys: Iterable[str]) -> None:
        """Delete files that nothing refers to any more. What fails is left to the sweep."""
        with contextlib.suppress(StorageUnavailable):
            await self._storage.delete(list(keys))

    async def _put(self, key: str, descriptor: int) -> StoredFile:
        try:
            return await self._storage.put(key, _blocks(descriptor))
        except StorageUnavailable as error:
            raise _unavailable(error) from error

    async def _local(self, name: str, file: StoredFile) -> Path:
        path = self._storage.local_path(file.key)
        if path is not None:
            if not path.exists():
                raise _missing(name)
            return path
        path = self._downloads / file.sha256
        self._in_use.append(path)
        try:
            async with self._fetching.setdefault(path, asyncio.Lock()):
                await self._ensure_downloaded(name, file, path)
        except BaseException:
            self._in_use.remove(path)
            raise
        finally:
            if path not in self._in_use:
                self._fetching.pop(path, None)
        return path

    async def _ensure_downloaded(self, name: str, file: StoredFile, path: Path) -> None:
        if await asyncio.to_thread(self._make_room_unless_there, path, file.bytes):
            return
        try:
            await self._storage.download(file, path)
        except FileMissing as error:
            raise _missing(name) from error
        except StorageUnavailable as error:
            raise _unavailable(error) from error
        except OSError as error:  # the disk is full, or gone
            raise FileFault(
                "no_disk", f"The file {name!r} does not fit here: {error.strerror}.", is_retryable=True
            ) from error

    def _prepare(self) -> None:
        own_folder(self._folder)
        for folder in (self._downloads, self._scratch.parent, self._scratch):
            own_folder(folder)
        for folder in self._scratch.parent.iterdir():
            if folder.name.isdigit() and not psutil.pid_exists(int(folder.name)):
                shutil.rmtree(folder, ignore_errors=True)

    def _make_room_unless_there(self, wanted: Path, size: int) -> bool:
        """Whether a download is there; if not, the ones used last the longest ago make room for it."""
        if wanted.exists():
            os.utime(wanted)  # so that it is not the next to go
            return True
        found = sorted((path.stat().st_mtime, path) for path in self._downloads.iterdir())
        used = sum(path.stat().st_size for _, path in found)
        for _, path in found:
            if used + size <= self._cache_bytes:
                return False
            if path not in self._in_use:
                used -= path.stat().st_size
                path.unlink(missing_ok=True)
        return False


def _open_beneath(folder: Path, name: str) -> int:
    """Open a regular file below a folder that a child can change meanwhile: no link in its path is followed.

    Raises OSError, ValueError.
    """
    *folders, last = Path(name).parts
    if Path(name).is_absolute() or ".." in folders or last == "..":
        raise ValueError(name)
    with contextlib.ExitStack() as opened:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        opened.callback(os.close, here)
        for part in folders:
            here = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            opened.callback(os.close, here)
        # Without O_NONBLOCK a pipe would be waited for.
        descriptor = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    status = os.fstat(descriptor)
    if (
        not stat.S_ISREG(status.st_mode) or status.st_nlink != 1
    ):  # a link may lead to what the child cannot read
        os.close(descriptor)
        raise ValueError(name)
    return descriptor


async def _blocks(descriptor: int) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(os.read, descriptor, BLOCK_BYTES):
        yield block


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def default_folder() -> Path:
    """The folder of all workers of this user on this machine; a new one if another user has its name."""
    folder = Path(tempfile.gettempdir(), f"headrace-worker-{os.getuid()}")
    try:
        own_folder(folder)
    except ConfigurationError as error:
        log.warning("worker_folder_not_ours", reason=str(error))
        return Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    return folder


def own_folder(folder: Path) -> None:
    """Make a folder that is ours alone, or see that it is. Raises ConfigurationError if it is not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"WORKER_DIR: {folder} is not a folder")
    if status.st_uid != os.getuid():
        raise ConfigurationError(f"WORKER_DIR: {folder} belongs to the user {status.st_uid}")
    if status.st_mode & 0o077:
        raise ConfigurationError(f"WORKER_DIR: {folder} is open to other users; close it with chmod 700")


def part_key(job_id: UUID, attempt: int, index: int) -> str:
    """The key of a part file. It is the attempt's own: a zombie's part never takes the place of another."""
    return f"jobs/{job_id}/{attempt}/part-{index}"


def _missing(name: str) -> FileFault:
    return FileFault("file_missing", f"The file {name!r} of the job is gone.", is_retryable=False)


def _unavailable(error: Exception) -> FileFault:
    log.warning("storage_unavailable", error=repr(error.__cause__))
    return FileFault(
        "storage_unavailable", "The storage of files cannot be reached right now.", is_retryable=True
    )
