"""Measure how much a child has written to disk, while it may still be writing."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_FILES: Final = 10_000
"""The limit on files and folders. It also bounds the time of a measurement."""

_BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`, on every file system."""


def exceeds_limit(folder: Path, max_bytes: int, max_files: int = MAX_FILES) -> bool:
    """Return whether a folder has more contents than allowed, in bytes on disk or in files and folders.

    Does not follow links and does not count what disappears meanwhile. A folder that cannot be read,
    because of its mode or because its path is too long, exceeds any limit.
    """
    files = size = 0
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    files += 1
                    with suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    if size > max_bytes or files > max_files:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return True
    return False
