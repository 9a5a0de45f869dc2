"""Where a file is on this machine while it comes in."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

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
