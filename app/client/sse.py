"""Parser of server-sent events from chunks of bytes.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation:
lines end with CR, LF or both, a BOM at the start is skipped, and what is not UTF-8 is replaced.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_RETRY_DIGITS: Final = 9

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream. `id` is the last id that the stream has sent."""

    event: str
    data: str
    id: str


class Parser:
    """Parser of one stream. Drops an event that is incomplete when the stream ends, as the standard says.

    >>> parser = Parser()
    >>> list(parser.feed(b"id: 7\\nevent: upd"))
    []
    >>> list(parser.feed(b"ate\\ndata: {}\\n\\n"))
    [Frame(event='update', data='{}', id='7')]
    """

    def __init__(self, last_id: str = "") -> None:
        self.retry_seconds: float | None = None
        """The last reconnection time that the stream has sent."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._unfinished: list[str] = []
        self._ended_with_cr = False
        self._event = ""
        self._data: list[str] = []
        self._id = last_id

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Return the events that these bytes complete."""
        for line in self._lines(self._decoder.decode(chunk)):
            if line:
                self._process(line)
                continue
            if self._data:
                yield Frame(self._event or "message", "\n".join(self._data), self._id)
            self._event = ""
            self._data = []

    def _lines(self, text: str) -> Iterator[str]:
        if not text:
            return
        if self._ended_with_cr and text.startswith("\n"):
            text = text[1:]
            if not text:
                self._ended_with_cr = False
                return
        self._ended_with_cr = text.endswith("\r")
        first, *others = _LINE_END.split(text)
        self._unfinished.append(first)
        for other in others:
            yield "".join(self._unfinished)
            self._unfinished = [other]

    def _process(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdecimal() and len(value) <= MAX_RETRY_DIGITS:
                self.retry_seconds = int(value) / 1000
            case _:  # a comment, or an unknown field
                pass
