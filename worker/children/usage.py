"""How much a child has written, looked at from outside while it may write on."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_FILES: Final = 10_000
"""As many files and folders may be there. A look at them has an end, whatever a child does meanwhile."""

_BLOCK_BYTES: Final = 512
"""What `st_blocks` counts in, whatever the file system does."""


def is_beyond(folder: Path, max_bytes: int, max_files: int = MAX_FILES) -> bool:
    """Whether what is below a folder takes more room than that, or is more files and folders.

    No link is followed. What disappears during the look does not count. A folder that cannot be looked into
    (closed to others, or too deep for its path to have a name) is beyond any limit.
    """
    files = size = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    with suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    if size > max_bytes or files > max_files:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return True
    return False
