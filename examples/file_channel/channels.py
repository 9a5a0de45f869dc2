"""The channel: one line of JSON for each event, in a file of a folder that the operator chooses."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from app.core.config import Settings
from app.http.body import StrictBody
from app.notifications.channels.channel import Away, Delivered, Message, Outcome, Refused

FOLDER_VARIABLE: Final = "FILE_CHANNEL_FOLDER"
DEFAULT_FOLDER: Final = ".data/notifications"


class FileTarget(StrictBody):
    """What a subscription's `target` holds: the name of a file, which cannot leave the folder."""

    file: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$", examples=["nightly"])]


class FileChannel:
    """Appends events to files. The folder must exist, so that a wrong setting is noticed."""

    name = "file"
    target = FileTarget
    gather_seconds = 0
    needs_confirmation = False
    is_signed = False

    def __init__(self, _settings: Settings, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.environ.get(FOLDER_VARIABLE, DEFAULT_FOLDER))

    async def check(self, target: FileTarget) -> None:
        """Accept every target: the class has checked it."""

    async def send(self, message: Message) -> Outcome:
        """Append the event, after the id by which a reader recognises a repetition."""
        [notice] = message.notices
        line = b'{"id":"%s","event":%s}\n' % (str(message.id).encode(), notice.body)
        return await asyncio.to_thread(self._append, message.target.file, line)

    def _append(self, name: str, line: bytes) -> Outcome:
        if not self._folder.is_dir():
            return Away("folder_missing")  # no fault of the subscription: its deliveries wait
        try:
            with (self._folder / f"{name}.ndjson").open("ab") as file:
                file.write(line)
        except IsADirectoryError:
            return Refused(error="not_a_file", is_final=True)
        except OSError:
            return Refused(error="not_written")
        return Delivered()

    async def aclose(self) -> None:
        """Close nothing: each line has opened its file."""


CHANNELS: Final = {FileChannel.name: FileChannel}
