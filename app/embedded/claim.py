"""One process at a time on a data directory, and what the last one left behind."""

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
    """A data directory is ours until `release()`, or until this process ends in any way."""

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
        # A holder that was killed had no time to remove its sockets.
        _, left_socket_dir = self._read()
        if left_socket_dir is not None:
            sockets.remove(left_socket_dir)
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "socket_dir": str(socket_dir)}))
        self._file.flush()

    def _read(self) -> tuple[int, Path | None]:
        self._file.seek(0)
        try:
            said = json.loads(self._file.read())
            return int(said["pid"]), Path(said["socket_dir"])
        except (ValueError, KeyError, TypeError):
            # Empty or half-written: the holder is just taking it, or died while it did.
            return 0, None

    def release(self) -> None:
        """Let the next one have it."""
        self._file.truncate(0)
        self._file.close()
