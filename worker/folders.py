"""Private folders, and files in them that a child may have changed."""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

import structlog

from app.core.errors import ConfigurationError

log = structlog.get_logger(__name__)


def open_beneath(folder: Path, name: str) -> int:
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


def remove_contents(folder: Path) -> None:
    """Remove everything in a folder, without following links."""
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
