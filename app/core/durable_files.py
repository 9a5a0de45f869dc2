"""Atomic, durable writes to local disk: after a crash or power loss a file is complete or absent.

POSIX guarantees neither: a rename may reach the disk before the file's content, and a directory entry is
durable only after its directory is synced. Each file is therefore written under a temporary name, fsynced and
renamed, and then its folder is fsynced (https://lwn.net/Articles/457667/). All functions block: call them in
a thread.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

INCOMING: Final = "incoming"
"""Folder below the root for incomplete files. A file that stays there was left by a crash."""

_RENAME_ATTEMPTS: Final = 20


class DurableFile:
    """A file below `root` that is being written. Call `write`, then `finish` or `discard`."""

    def __init__(self, root: Path, key: str) -> None:
        self._root = root
        self._target = root / key
        self._temporary = root / INCOMING / uuid4().hex
        # A cancelled caller may call `discard` while its thread is still writing.
        self._lock = Lock()
        _ensure_folder(self._temporary.parent)
        self._descriptor: int | None = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)

    def write(self, block: bytes | memoryview) -> None:
        """Append a block."""
        with self._lock:
            if self._descriptor is None:
                return  # discarded by another thread
            view = memoryview(block)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def finish(self) -> None:
        """Publish the file under its final name. File and name are durable on return."""
        if self.rename():
            _sync_folder(self._target.parent)

    def rename(self) -> bool:
        """Publish the file under its final name; return False if it has been discarded.

        The content is durable on return. The name becomes durable when the folder is synced.
        """
        with self._lock:
            if self._descriptor is None:
                return False
            os.fsync(self._descriptor)
            self._close()
            self._move_to_target()
            return True

    def discard(self) -> None:
        """Delete the temporary file. Has no effect after `finish`."""
        with self._lock:
            self._close()
            self._temporary.unlink(missing_ok=True)

    def _move_to_target(self) -> None:
        for attempts_left in reversed(range(_RENAME_ATTEMPTS)):
            try:
                _ensure_folder(self._target.parent)
                self._temporary.rename(self._target)
            except FileNotFoundError:
                # A concurrent `remove` has just deleted the empty folder or one of its parents.
                if not attempts_left:
                    raise
            else:
                return

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_all(root: Path, contents: Mapping[str, bytes]) -> None:
    """Write small files, given as content by key relative to `root`. All are durable on return.

    Syncs each folder once, not once per file. After an error, some of the files may exist.
    """
    for key, content in contents.items():
        file = DurableFile(root, key)
        try:
            file.write(content)
            file.rename()
        except BaseException:
            file.discard()
            raise
    for folder in {(root / key).parent for key in contents}:
        _sync_folder(folder)


def remove(root: Path, key: str) -> None:
    """Remove a file below `root` and any parent folders left empty. A missing file is not an error."""
    path = root / key
    path.unlink(missing_ok=True)
    for folder in path.relative_to(root).parents:
        if folder == Path():
            return
        try:
            (root / folder).rmdir()
        except OSError:
            return  # not empty


def _ensure_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _ensure_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
