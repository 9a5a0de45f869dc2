"""Files on a local disk that are there whole, and stay there through a loss of power, or are not there.

POSIX promises neither by itself: a rename may reach the disk before what the file holds does, and a new name
is only as durable as the folder that it is in. So the order is: write under a temporary name, fsync the file,
rename it, fsync the folder (https://lwn.net/Articles/457667/). Everything here blocks: call it in a thread.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

INCOMING: Final = "incoming"
"""The folder below the root for what is not whole yet. What stays there was left by a crash."""

_ATTEMPTS: Final = 20


class DurableFile:
    """A file below `root` in the making: write it, then `finish` or `discard` it."""

    def __init__(self, root: Path, key: str) -> None:
        self._root = root
        self._target = root / key
        self._temporary = root / INCOMING / uuid4().hex
        # A caller that is cancelled goes away while its thread still writes.
        self._lock = Lock()
        _ensure_folder(self._temporary.parent)
        self._descriptor: int | None = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)

    def write(self, block: bytes | memoryview) -> None:
        """Append a block."""
        with self._lock:
            if self._descriptor is None:
                return  # discarded meanwhile
            view = memoryview(block)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def finish(self) -> None:
        """Make it visible under its name; when this returns it is durable."""
        if self.show():
            _sync_folder(self._target.parent)

    def show(self) -> bool:
        """Make it visible under its name; False if it was discarded meanwhile.

        What it holds is durable when this returns, its name only once the folder is.
        """
        with self._lock:
            if self._descriptor is None:
                return False
            os.fsync(self._descriptor)
            self._close()
            self._rename()
            return True

    def discard(self) -> None:
        """Forget it. Harmless after `finish`."""
        with self._lock:
            self._close()
            self._temporary.unlink(missing_ok=True)

    def _rename(self) -> None:
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                _ensure_folder(self._target.parent)
                self._temporary.rename(self._target)
            except FileNotFoundError:
                # `remove` has just taken the folder or one above it, because it was empty.
                if not attempts_left:
                    raise
            else:
                return

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_all(root: Path, contents: Mapping[str, bytes]) -> None:
    """Write small files, by their keys below `root`. All are durable when this returns.

    Their folders reach the disk once, and not once for each file. After an error some may be there.
    """
    for key, content in contents.items():
        file = DurableFile(root, key)
        try:
            file.write(content)
            file.show()
        except BaseException:
            file.discard()
            raise
    for folder in {(root / key).parent for key in contents}:
        _sync_folder(folder)


def remove(root: Path, key: str) -> None:
    """Remove a file below `root`, and the folders that are empty then. A file that is not there is fine."""
    path = root / key
    path.unlink(missing_ok=True)
    for folder in path.relative_to(root).parents:
        if folder == Path():
            return
        try:
            (root / folder).rmdir()
        except OSError:
            return  # something else is in it


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
