"""The response that a flow reads in chunks, for both clients."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import httpx

from app.client import steps, transport


class OpenResponse:
    """The response that a flow reads in chunks, if any."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] | None = None

    def open(self, http: httpx.Client, arguments: dict[str, Any]) -> steps.Response:
        """Send a request. The body of a successful response is left for `read`."""
        self.close()
        self._response = http.send(http.build_request(**arguments), stream=True)
        if not self._response.is_success:
            return transport.to_response(self._response, self._response.read())
        self._chunks = self._response.iter_bytes()
        return transport.to_response(self._response, b"")

    def read(self) -> bytes:
        """Return the next chunk, or no bytes at the end."""
        if self._chunks is None:
            raise RuntimeError("no response is open")
        return next(self._chunks, b"")

    def close(self) -> None:
        """Close the response, if one is open."""
        response, self._response, self._chunks = self._response, None, None
        if response is not None:
            response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncOpenResponse:
    """The response that a flow reads in chunks, if any."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def open(self, http: httpx.AsyncClient, arguments: dict[str, Any]) -> steps.Response:
        """Send a request. The body of a successful response is left for `read`."""
        await self.close()
        self._response = await http.send(http.build_request(**arguments), stream=True)
        if not self._response.is_success:
            return transport.to_response(self._response, await self._response.aread())
        self._chunks = self._response.aiter_bytes()
        return transport.to_response(self._response, b"")

    async def read(self) -> bytes:
        """Return the next chunk, or no bytes at the end."""
        if self._chunks is None:
            raise RuntimeError("no response is open")
        return await anext(self._chunks, b"")

    async def close(self) -> None:
        """Close the response, if one is open."""
        response, self._response, self._chunks = self._response, None, None
        if response is not None:
            await response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
