"""What the conformance suite of channels needs to know: a folder that it can take away."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from app.core.config import Settings
from examples.file_channel.channels import FileChannel
from tests.conformance.cases import ChannelCase, ReceiverState


class FileReceiver:
    """The channel, and the folder in which it writes."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder / "notifications"
        self._file = self._folder / "nightly.ndjson"
        self.channel = FileChannel(settings, self._folder)
        self.target = {"file": "nightly"}

    def become(self, state: ReceiverState) -> bool:
        """Create the folder or take it away; a folder in place of the file can never be written to."""
        match state:
            case ReceiverState.ACCEPTING:
                if self._file.is_dir():
                    self._file.rmdir()
                self._folder.mkdir(exist_ok=True)
            case ReceiverState.AWAY:
                self._folder.rmdir()
            case ReceiverState.REFUSING_FOR_GOOD:
                self._file.mkdir()
            case _:
                return False
        return True

    def accepted(self) -> list[str]:
        """The ids in the file."""
        if not self._file.is_file():
            return []
        return [json.loads(line)["id"] for line in self._file.read_text().splitlines()]


@asynccontextmanager
async def open_receiver(settings: Settings, folder: Path) -> AsyncIterator[FileReceiver]:
    """Yield a receiver."""
    yield FileReceiver(settings, folder)


CHANNEL_CASES: Final = {"file": ChannelCase(open_receiver)}
