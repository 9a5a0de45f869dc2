"""Sends HTTP requests to URLs that users choose, and only to addresses that may be reached.

httpcore asks its `network_backend` for every TCP connection, to a name or to an address: ours resolves and
checks. TLS, SNI and the Host header keep the name. No proxy, no redirects, no cookies.
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import httpcore
from httpcore import SOCKET_OPTION

from app.core.config import Settings
from app.notifications.addresses import Addresses, AddressNotAllowed, NameNotFound, Resolve, Url

TOTAL_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 200
KEEPALIVE_SECONDS: Final = 30.0
MAX_RESPONSE_BYTES: Final = 64 * 1024
KEPT_RESPONSE_BYTES: Final = 1024
ADDRESSES_TRIED: Final = 2

NOT_ALLOWED: Final = "address_not_allowed"
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """The answer to a request: its status, its headers in lower case and the beginning of its body."""

    status: int
    headers: dict[bytes, bytes]
    response: bytes


@dataclass(frozen=True)
class NoAnswer:
    """Why there was no complete answer, as a code."""

    error: str


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only."""

    def __init__(
        self,
        addresses: Addresses,
        *,
        is_public: bool,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._addresses = addresses
        self._is_public = is_public
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect. Raises AddressNotAllowed and NameNotFound beside httpcore's errors."""
        found = await self._addresses.checked(host, port, is_public=self._is_public)
        tried = found[:ADDRESSES_TRIED]
        each = None if timeout is None else timeout / len(tried)
        for address in tried[:-1]:
            try:
                return await self._connect(address, port, each, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connect(tried[-1], port, each, local_address, socket_options)

    async def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL of a user names a socket of this machine."""
        raise AddressNotAllowed

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class Network:
    """How a sender reaches the network. By default as the system does: its resolver and its certificates."""

    resolve: Resolve | None = None
    backend: httpcore.AsyncNetworkBackend | None = None
    ssl_context: ssl.SSLContext | None = None
    total_seconds: float = TOTAL_SECONDS
    connect_seconds: float = CONNECT_SECONDS


DEFAULT_NETWORK: Final = Network()


@cache
def _system_context() -> ssl.SSLContext:
    """Return a context with the system's certificates. All senders share it, because reading them takes long.

    Not httpcore's, whose certificates are those of a package: operators add theirs to the system's.
    """
    return ssl.create_default_context()


class Sender:
    """Posts to URLs. One for each channel; close it with `aclose()`."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self._addresses = Addresses(settings.webhook_allowed_networks, resolve=network.resolve)
        self._total_seconds = network.total_seconds
        context = network.ssl_context or _system_context()
        self._timeouts = {
            "connect": network.connect_seconds,
            "read": network.total_seconds,
            "write": network.total_seconds,
            "pool": network.total_seconds,
        }
        # URLs whose form is for allowed networks only share no connection with the others.
        self._public, self._internal = (
            httpcore.AsyncConnectionPool(
                ssl_context=context,
                network_backend=PinnedBackend(self._addresses, is_public=is_public, backend=network.backend),
                http2=False,
                retries=0,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_SECONDS,
            )
            for is_public in (True, False)
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._public.aclose()
        await self._internal.aclose()
        self._addresses.close()

    def check(self, url: Url) -> None:
        """Check a URL when it is saved. Raises UrlNotAllowed."""
        self._addresses.check_form(url)

    async def post(self, url: Url, headers: Headers, content: bytes) -> Answer | NoAnswer:
        """Send a request, and return its answer if all of it comes in time. Raises nothing."""
        pool = self._public if url.fault is None else self._internal
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                pool.stream(
                    "POST",
                    httpcore.URL(
                        scheme=url.scheme.encode(),
                        host=url.host.encode(),
                        port=url.port,
                        target=url.target.encode(),
                    ),
                    headers=[(b"Host", _host(url)), *headers],
                    content=content,
                    extensions={"timeout": self._timeouts},
                ) as response,
            ):
                return Answer(
                    response.status,
                    {name.lower(): value for name, value in response.headers},
                    (await _read(response))[:KEPT_RESPONSE_BYTES],
                )
        except AddressNotAllowed:
            return NoAnswer(NOT_ALLOWED)
        except NameNotFound:
            return NoAnswer("name_not_found")
        except (TimeoutError, httpcore.TimeoutException):
            return NoAnswer("timed_out")
        except httpcore.NetworkError as error:
            return NoAnswer("tls_failed" if _is_about_tls(error) else "not_reached")
        except httpcore.ProtocolError:
            return NoAnswer("bad_response")


async def _read(response: httpcore.Response) -> bytes:
    """Read the body as it was sent, undecoded, up to a limit. What follows is not waited for."""
    body = b""
    async for chunk in response.aiter_stream():
        body += chunk[: MAX_RESPONSE_BYTES - len(body)]
        if len(body) == MAX_RESPONSE_BYTES:
            break
    return body


def _is_about_tls(error: BaseException) -> bool:
    """Whether an error, or one of those that led to it, is of TLS."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _host(url: Url) -> bytes:
    host = f"[{url.host}]" if ":" in url.host else url.host
    default = 443 if url.scheme == "https" else 80
    return (host if url.port == default else f"{host}:{url.port}").encode()
