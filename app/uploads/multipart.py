"""Reads the file of a `multipart/form-data` body as it arrives. The body must have exactly one file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.uploads.errors import BadUpload

OVERHEAD_BYTES: Final = 64 * 1024
"""Maximum size of a form apart from its file."""


@dataclass
class FilePart:
    """The file: its declared name and media type, and its content."""

    filename: str
    media_type: str
    chunks: AsyncIterator[bytes]


async def open_file(content_type: str, body: AsyncIterator[bytes]) -> FilePart:
    """Read the body up to the content of the file. Raises BadUpload."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise BadUpload(reason="its Content-Type has no boundary")
    parts = _Parts(boundary)
    async for received in body:
        parts.take(received)
        if parts.is_found:
            break
    else:
        raise BadUpload(reason="there is no file in the form")
    return FilePart(parts.filename, parts.media_type, _chunks(parts, body))


async def _chunks(parts: "_Parts", body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield parts.drain()
    async for received in body:
        parts.take(received)
        yield parts.drain()
    if not parts.is_finished:
        raise BadUpload(reason="the form is cut off")


@dataclass
class _Parts:
    """Parser of the form; collects the content of its file."""

    boundary: bytes
    filename: str = ""
    media_type: str = ""
    is_found: bool = False
    is_finished: bool = False
    _is_in_file: bool = False
    _name: bytes = b""
    _value: bytes = b""
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _content: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self._parser = MultipartParser(
                self.boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_to_name,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_to_content,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise BadUpload(reason=str(error)) from None

    def take(self, received: bytes) -> None:
        """Parse the next bytes. Raises BadUpload."""
        try:
            self._parser.write(received)
        except FormParserError as error:
            raise BadUpload(reason="the form is malformed") from error

    def drain(self) -> bytes:
        """Return the content of the file parsed since the last call."""
        content = b"".join(self._content)
        self._content.clear()
        return content

    def _begin(self) -> None:
        self._headers.clear()

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._is_in_file = b"filename" in options
        if not self._is_in_file:
            return
        if self.is_found:
            raise BadUpload(reason="there is more than one file in the form")
        self.is_found = True
        self.filename = options[b"filename"].decode("utf-8", "replace")
        self.media_type = self._headers.get(b"content-type", b"").decode("latin-1")

    def _add_to_content(self, data: bytes, start: int, end: int) -> None:
        if self._is_in_file:
            self._content.append(data[start:end])

    def _end(self) -> None:
        self.is_finished = True
