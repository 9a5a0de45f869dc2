"""Download the files that jobs read, and upload the files that they write.

Children have neither access to storage nor credentials for it. They read local files and write into a
scratch folder; the worker transfers files between those and storage.
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
from app.jobs.profiles.profile import MAX_BYTES as MAX_PROFILE_BYTES
from app.jobs.results import files_prefix
from app.jobs.transition_types import Batch, ClaimedJob

MAX_INLINE_OUTPUT_BYTES: Final = 16 * 1024
"""For a job over a dataset, a larger output of a batch is stored as a part file."""

log = structlog.get_logger(__name__)


class FileFault(Exception):
    """A file could not be transferred. `is_retryable` says whether another attempt may succeed."""

    def __init__(self, code: str, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_retryable = is_retryable


class Files:
    """Transfers files between storage and the local folder of the workers.

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
        self._child_folders: dict[int, Path] = {}
        self._attempt_folders: dict[tuple[UUID, int], Path] = {}
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
        self._child_folders[pid] = folder
        return folder

    def remove_child_folder(self, pid: int) -> None:
        """Remove the folder of a child that has exited."""
        shutil.rmtree(self._child_folders.pop(pid), ignore_errors=True)

    def assign_folder(self, job: ClaimedJob, pid: int) -> None:
        """Record that an attempt runs in this child, and so writes into its folder."""
        self._attempt_folders[job.id, job.attempt] = self._child_folders[pid]

    def scratch(self, job: ClaimedJob) -> Path:
        """Return the path of an attempt's scratch folder, which may not exist yet."""
        parent = self._attempt_folders.get((job.id, job.attempt), self._scratch)
        return parent / f"{job.id.hex}-{job.attempt}"

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
        folder = self._attempt_folders.pop((job.id, job.attempt), None)
        with contextlib.suppress(FileNotFoundError):  # the child has exited, which removed its folder
            if folder is not None and any(folder.iterdir()):
                await asyncio.to_thread(_remove_contents, folder)

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
            descriptor = _open_beneath(self.scratch(job), local_name)
        except (OSError, ValueError):
            message = f"The handler did not write the file {name!r} into its scratch folder."
            raise FileFault("missing_file", message, is_retryable=False) from None
        try:
            return await self._put(key, descriptor)
        finally:
            os.close(descriptor)

    async def store_profile(self, job: ClaimedJob, local_name: str) -> str | None:
        """Upload the profile of an attempt, and return its key.

        Returns None if the child has not written one, if it is too large, or if storage is unavailable: no
        attempt fails for its profile.
        """
        key = profile_key(job.id, job.attempt)
        try:
            content = await asyncio.to_thread(_read_beneath, self.scratch(job), local_name, MAX_PROFILE_BYTES)
            await self._storage.put(key, content)
        except (OSError, ValueError, StorageUnavailable) as error:
            log.warning("profile_not_stored", error=repr(error))
            return None
        return key

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete files that nothing refers to any more. The sweep deletes them if storage is unavailable."""
        with contextlib.suppress(StorageUnavailable):
            await self._storage.delete(list(keys))

    async def _put(self, key: str, descriptor: int) -> StoredFile:
        try:
            return await self._storage.put(key, _blocks(descriptor))
        except StorageUnavailable as error:
            raise _unavailable(error) from error

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


def _open_beneath(folder: Path, name: str) -> int:
    """Open a regular file below a folder without following links, since a child may change the folder.

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
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    status = os.fstat(descriptor)
    # A hard link could make the worker upload a file that the child itself cannot read.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise ValueError(name)
    return descriptor


def _read_beneath(folder: Path, name: str, max_bytes: int) -> bytes:
    """Return the content of a file below a folder. Raises OSError, ValueError."""
    with os.fdopen(_open_beneath(folder, name), "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{name} has more than {max_bytes} bytes")
    return content


async def _blocks(descriptor: int) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(os.read, descriptor, BLOCK_BYTES):
        yield block


def _remove_contents(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def default_folder() -> Path:
    """Return the folder that this user's workers share; a new one if another user owns that path."""
    folder = Path(tempfile.gettempdir(), f"headrace-worker-{os.getuid()}")
    try:
        own_folder(folder)
    except ConfigurationError as error:
        log.warning("worker_folder_of_another_user", reason=str(error))
        return Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    return folder


def own_folder(folder: Path) -> None:
    """Create a private folder, or check that an existing one is private. Raises ConfigurationError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigurationError(f"WORKER_DIR: cannot create {folder}: {reason}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"WORKER_DIR: {folder} is not a folder; name a folder")
    if status.st_uid != os.getuid():
        raise ConfigurationError(f"WORKER_DIR: {folder} belongs to another user, with uid {status.st_uid}")
    if status.st_mode & 0o077:
        raise ConfigurationError(f"WORKER_DIR: other users can access {folder}; run chmod 700 on it")


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
