"""Where a file is on this machine while it comes in."""

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
    """A folder of its own for one upload, gone at the end of the body."""
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        yield made
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, made, ignore_errors=True))


def remove_those_of_the_dead() -> None:
    """Remove what processes left that were killed while a file came in."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process_id = left.name.removeprefix(_PREFIX).partition("-")[0]
        if process_id.isdigit() and not psutil.pid_exists(int(process_id)):
            shutil.rmtree(left, ignore_errors=True)


class Spools:
    """How many bytes of uploads in flight one process keeps on the disk, for each user and in all."""

    def __init__(self, *, per_user: int, in_all: int) -> None:
        self._per_user = per_user
        self._in_all = in_all
        self._of_users: Counter[UUID] = Counter()
        self._lock = Lock()

    @contextmanager
    def of(self, owner_id: UUID) -> Iterator[Callable[[int], None]]:
        """What each piece of an upload is told to, before it is kept; all of it is given back at the end.

        It raises SpoolFull, and may be called from any thread.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            with self._lock:
                if self._of_users[owner_id] + size > self._per_user:
                    raise SpoolFull(whose="Your", limit=self._per_user)
                if self._of_users.total() + size > self._in_all:
                    raise SpoolFull(whose="All users'", limit=self._in_all)
                self._of_users[owner_id] += size
                taken += size

        try:
            yield take
        finally:
            with self._lock:
                self._of_users[owner_id] -= taken
                if not self._of_users[owner_id]:
                    del self._of_users[owner_id]
