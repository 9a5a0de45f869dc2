"""Parser for server-sent events that follows the specification byte by byte.

httpx's `aiter_lines` also splits lines at U+2028 and similar characters, which a browser does not.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.waiting import TIMEOUT_SECONDS

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass
class ServerSentEvent:
    """One event as a browser dispatches it."""

    event: str = "message"
    data: str = ""
    id: str | None = None

    def json(self) -> dict[str, Any]:
        """Decode the data, which must be a JSON object."""
        decoded = json.loads(self.data)
        assert isinstance(decoded, dict)
        return decoded


@dataclass
class Stream:
    """An open stream of events."""

    response: httpx.Response
    fields: list[tuple[str, str]] = field(default_factory=list)
    last_id: str | None = None
    """The last id received, including ids of blocks without an event."""
    _iterators: list[AsyncIterator[ServerSentEvent]] = field(default_factory=list)

    def events(self) -> AsyncIterator[ServerSentEvent]:
        """Iterate over the events as they arrive, until the server closes the stream.

        The iterator is kept: one that is collected closes the response, and so the connection, at any moment.
        """
        iterator = self._read()
        self._iterators.append(iterator)
        return iterator

    async def _read(self) -> AsyncIterator[ServerSentEvent]:
        rest = b""
        async for chunk in self.response.aiter_bytes():
            # The server never splits a line ending between chunks.
            *lines, rest = _LINE_END.split(rest + chunk)
            for line in lines:
                if (event := self._take(line.decode())) is not None:
                    yield event

    def _take(self, line: str) -> ServerSentEvent | None:
        if line:
            name, _, value = line.partition(":")
            self.fields.append((name, value.removeprefix(" ")))
            return None
        fields, self.fields = self.fields, []
        self.last_id = dict(fields).get("id", self.last_id)
        data = [value for name, value in fields if name == "data"]
        if not data:
            return None  # a comment or `retry`
        last = dict(fields)
        return ServerSentEvent(last.get("event", "message"), "\n".join(data), last.get("id"))

    async def all(self) -> list[ServerSentEvent]:
        """Return all events until the server closes the stream."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return [event async for event in self.events()]


@asynccontextmanager
async def opened(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> AsyncIterator[Stream]:
    """Open a stream during the body."""
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)
