"""Socket directories: private, with a short path."""

import contextlib
import secrets
import tempfile
from pathlib import Path

PREFIX = "headrace-"
# The address of a Unix socket holds 103 bytes on macOS, 107 on Linux.
LONGEST_PATH_BYTES = 103
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


def choose() -> Path:
    """Choose a path for a new socket directory, without creating it."""
    name = PREFIX + secrets.token_hex(4)
    path = Path(tempfile.gettempdir(), name)
    if len(bytes(path / LONGEST_SOCKET_NAME)) > LONGEST_PATH_BYTES:
        path = Path("/tmp", name)  # noqa: S108 - must be short; the name is random and `create` exclusive
    return path


def create(path: Path) -> None:
    """Create the directory for this user only. Raises FileExistsError: it may belong to another user."""
    path.mkdir(mode=0o700)


def remove(path: Path) -> None:
    """Remove the directory and its sockets; ignore a directory that is missing or not ours."""
    if not path.name.startswith(PREFIX):
        return
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.is_socket() or entry.suffix == ".lock":
                entry.unlink()
        path.rmdir()
