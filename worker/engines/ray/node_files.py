"""The files of one host on its node: a cache that all hosts of the node share, and folders for its children.

A file in the cache is kept by a shared lock on it, which the kernel releases with the host. Only files that
nobody keeps are evicted.
"""

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from worker.children.disk_usage import exceeds_limit
from worker.folders import open_beneath, own_folder, remove_contents

_HEX: Final = frozenset("0123456789abcdef")
_SHA256_DIGITS: Final = 64


class Damaged(Exception):
    """A file does not have its SHA-256."""


@dataclass
class _Incoming:
    """A file that is being received."""

    descriptor: int
    path: Path
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class NodeFiles:
    """The files of one host. Its methods block: call them in a thread, one at a time for a child.

    `folder` belongs to this user, and `cache_bytes` bound what stays there that nobody uses.
    """

    def __init__(self, folder: Path, cache_bytes: int) -> None:
        self._cache = folder / "node"
        self._scratch = folder / "scratch" / str(os.getpid())
        self._cache_bytes = cache_bytes
        self._numbers = itertools.count()
        self._incoming: dict[tuple[int, str], _Incoming] = {}
        self._kept: dict[int, dict[Path, int]] = {}
        self._folders: dict[int, Path] = {}
        self._open: dict[int, int] = {}
        for own in (folder, self._cache, self._scratch.parent, self._scratch):
            own_folder(own)
        self._remove_leftovers()

    def close(self) -> None:
        """Remove the folders, and keep no file any more."""
        for child in (*self._kept, *self._folders):
            self.forget(child)
        for descriptor in self._open.values():
            os.close(descriptor)
        for incoming in self._incoming.values():
            os.close(incoming.descriptor)
            incoming.path.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    # What children read

    def bring(self, child: int, sha256: str, size: int) -> Path | None:
        """Keep a file for a child. Returns None if it is not there; then it is to be written and sealed."""
        path = self._cached(sha256)
        if self._keep(child, path):
            os.utime(path)  # marks it as recently used
            return path
        self._make_room(size)
        temporary = self._cache / f"incoming-{os.getpid()}-{next(self._numbers)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        self._drop_incoming(child, sha256)
        self._incoming[child, sha256] = _Incoming(descriptor, temporary)
        return None

    def write(self, child: int, sha256: str, block: bytes) -> None:
        """Append a block to a file that was not there."""
        incoming = self._incoming[child, sha256]
        incoming.digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(incoming.descriptor, view) :]

    def seal(self, child: int, sha256: str) -> Path:
        """Put a complete file into the cache, and keep it for the child. Raises Damaged."""
        incoming = self._incoming[child, sha256]
        path = self._cached(sha256)
        if incoming.digest.hexdigest() != sha256:
            self._drop_incoming(child, sha256)
            raise Damaged(f"the file has the SHA-256 {incoming.digest.hexdigest()} instead of {sha256}")
        del self._incoming[child, sha256]
        os.close(incoming.descriptor)
        incoming.path.rename(path)
        if not self._keep(child, path):
            raise OSError("the file was evicted at once: the cache is too small")
        return path

    def keep(self, child: int, paths: Iterable[Path]) -> tuple[Path, ...]:
        """Keep files for another child. Returns those that are still there."""
        return tuple(path for path in paths if path.parent == self._cache and self._keep(child, path))

    # What children write

    def create_folder(self, child: int) -> Path:
        """Create the folder of a child."""
        folder = self._scratch / str(child)
        folder.mkdir(mode=0o700)
        self._folders[child] = folder
        return folder

    def clear(self, child: int) -> None:
        """Remove everything in the folder of a child."""
        with contextlib.suppress(FileNotFoundError):
            remove_contents(self._folders[child])

    def open(self, child: int, name: str) -> int:
        """Open a file below the folder of a child, and return a number for it. Raises OSError, ValueError."""
        file = next(self._numbers)
        self._open[file] = open_beneath(self._folders[child], name)
        return file

    def read(self, file: int, size: int) -> bytes:
        """Return the next bytes of an open file; none at its end."""
        return os.read(self._open[file], size)

    def close_file(self, file: int) -> None:
        """Close an open file."""
        if (descriptor := self._open.pop(file, None)) is not None:
            os.close(descriptor)

    def exceeds_limit(self, child: int, max_bytes: int) -> bool:
        """Return whether a child has written too much."""
        folder = self._folders.get(child)
        return folder is not None and exceeds_limit(folder, max_bytes)

    def forget(self, child: int) -> None:
        """Remove the folder of a child that has ended, and keep no file for it any more."""
        for descriptor in self._kept.pop(child, {}).values():
            os.close(descriptor)
        for key in [key for key in self._incoming if key[0] == child]:
            self._drop_incoming(*key)
        if (folder := self._folders.pop(child, None)) is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _cached(self, sha256: str) -> Path:
        if len(sha256) != _SHA256_DIGITS or not _HEX.issuperset(sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self._cache / sha256

    def _keep(self, child: int, path: Path) -> bool:
        kept = self._kept.setdefault(child, {})
        if path in kept:
            return True
        descriptor = _lock_shared(path)
        if descriptor is None:
            return False
        kept[path] = descriptor
        return True

    def _drop_incoming(self, child: int, sha256: str) -> None:
        incoming = self._incoming.pop((child, sha256), None)
        if incoming is not None:
            os.close(incoming.descriptor)
            incoming.path.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Evict the least recently used files that nobody keeps, until `size` fits."""
        found = []
        for path in self._cache.iterdir():
            with contextlib.suppress(FileNotFoundError):  # evicted by another host
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        used = sum(file_size for _, file_size, _ in found)
        for _, file_size, path in sorted(found):
            if used + size <= self._cache_bytes:
                return
            if not path.name.startswith("incoming-") and _evict(path):
                used -= file_size

    def _remove_leftovers(self) -> None:
        """Remove what hosts have left that were killed."""
        for path in (*self._scratch.parent.iterdir(), *self._cache.glob("incoming-*")):
            pid = path.name.split("-")[1] if path.parent == self._cache else path.name
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _lock_shared(path: Path) -> int | None:
    """Return a descriptor that keeps a file from being evicted; None if it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if _is_still(path, descriptor):
        return descriptor
    os.close(descriptor)  # it was evicted before it was locked
    return None


def _evict(path: Path) -> bool:
    """Remove a file that nobody keeps; return whether it was removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
