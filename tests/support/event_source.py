"""EventSource as specified by the HTML standard: reconnects with the same URL until the server rejects it.

https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx

from tests.support.sse import ServerSentEvent, Stream

RECONNECT_SECONDS = 0.01
"""Shorter than the 2000 ms that the server sends, to keep tests fast."""


class EventSource:
    """A browser's EventSource on one URL."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._connection = AsyncExitStack()
        self.last_event_id = ""
        self.statuses: list[int] = []
        self.is_closed = False

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Yield each event as it is dispatched, over all connections, until the source is closed."""
        while not self.is_closed:
            try:
                async for event in self._connect():
                    yield event
            except httpx.TransportError:
                pass  # a network error: reconnect
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self) -> AsyncIterator[ServerSentEvent]:
        headers = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        async with self._client.stream("GET", self._url, headers=headers) as response:
            self.statuses.append(response.status_code)
            is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
            if response.status_code != 200 or not is_stream:
                self.is_closed = True  # "fail the connection" in the standard: do not reconnect
                return
            stream = Stream(response)
            async for event in stream.events():
                if stream.last_id is not None:
                    self.last_event_id = stream.last_id
                yield event
            if stream.last_id is not None:
                self.last_event_id = stream.last_id
