"""Temporary folders and disk limits of uploads in progress."""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import UUID

import psutil

from app.uploads.errors import SpoolFull

_PREFIX: Final = "headrace-upload-"


@asynccontextmanager
async def folder() -> AsyncIterator[Path]:
    """A temporary folder for one upload, deleted at the end of the body."""
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        yield made
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, made, ignore_errors=True))


def remove_orphaned_folders() -> None:
    """Delete the folders of processes that were killed during an upload."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process_id = left.name.removeprefix(_PREFIX).partition("-")[0]
        if process_id.isdigit() and not psutil.pid_exists(int(process_id)):
            shutil.rmtree(left, ignore_errors=True)


class Spools:
    """Limits the bytes on disk of uploads in progress in one process, per user and in total."""

    def __init__(self, *, per_user: int, in_total: int) -> None:
        self._per_user = per_user
        self._in_total = in_total
        self._of_users: Counter[UUID] = Counter()
        self._lock = Lock()

    @contextmanager
    def reserving(self, owner_id: UUID) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves bytes for one upload; all are released at the end of the body.

        It raises SpoolFull, and may be called from any thread.
        """
        reserved = 0

        def reserve(size: int) -> None:
            nonlocal reserved
            with self._lock:
                if self._of_users[owner_id] + size > self._per_user:
                    raise SpoolFull(whose="Your", limit=self._per_user)
                if self._of_users.total() + size > self._in_total:
                    raise SpoolFull(whose="All users'", limit=self._in_total)
                self._of_users[owner_id] += size
                reserved += size

        try:
            yield reserve
        finally:
            with self._lock:
                self._of_users[owner_id] -= reserved
                if not self._of_users[owner_id]:
                    del self._of_users[owner_id]
