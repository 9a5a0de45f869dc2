"""Where the servers listen: a directory that nobody else can enter, with a short path."""

import contextlib
import secrets
import tempfile
from pathlib import Path

PREFIX = "headrace-"
# The address of a Unix socket holds 103 bytes on macOS, 107 on Linux.
LONGEST_PATH_BYTES = 103
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


def choose() -> Path:
    """A path for a new socket directory; nothing is made yet."""
    name = PREFIX + secrets.token_hex(4)
    path = Path(tempfile.gettempdir(), name)
    if len(bytes(path / LONGEST_SOCKET_NAME)) > LONGEST_PATH_BYTES:
        path = Path("/tmp", name)  # noqa: S108 - short is the point; the name is random, `create` exclusive
    return path


def create(path: Path) -> None:
    """Make the directory, for this user alone. Raises FileExistsError: it may be somebody else's."""
    path.mkdir(mode=0o700)


def remove(path: Path) -> None:
    """Remove the directory and the sockets in it; what is not there, or not ours, is left alone."""
    if not path.name.startswith(PREFIX):
        return
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.is_socket() or entry.suffix == ".lock":
                entry.unlink()
        path.rmdir()
