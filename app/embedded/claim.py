"""Lock of a data directory: one process at a time; cleans up after a holder that was killed."""

import fcntl
import json
import os
from pathlib import Path

from app.embedded import sockets


class DataDirTaken(Exception):
    """Another process has a server on this data directory."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        super().__init__(f"process {pid} runs a server on it")


class Claim:
    """Exclusive use of a data directory until `release()`, or until this process ends in any way."""

    def __init__(self, data_dir: Path, socket_dir: Path) -> None:
        """Raises DataDirTaken."""
        self._file = (data_dir / "claim").open("a+", encoding="utf-8")
        try:
            self._take(socket_dir)
        except BaseException:
            self._file.close()
            raise

    def _take(self, socket_dir: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirTaken(self._read()[0]) from error
        # A holder that was killed could not remove its sockets.
        _, stale_socket_dir = self._read()
        if stale_socket_dir is not None:
            sockets.remove(stale_socket_dir)
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "socket_dir": str(socket_dir)}))
        self._file.flush()

    def _read(self) -> tuple[int, Path | None]:
        self._file.seek(0)
        return _parse(self._file.read())

    def release(self) -> None:
        """Release the lock."""
        self._file.truncate(0)
        self._file.close()


def find_socket_dir(data_dir: Path) -> Path | None:
    """Return where the server on a data directory listens; None if no process has claimed the directory."""
    try:
        return _parse((data_dir / "claim").read_text(encoding="utf-8"))[1]
    except FileNotFoundError:
        return None


def _parse(content: str) -> tuple[int, Path | None]:
    try:
        holder = json.loads(content)
        return int(holder["pid"]), Path(holder["socket_dir"])
    except (ValueError, KeyError, TypeError):
        # Empty or incomplete: the holder is writing it, or died while it did.
        return 0, None
