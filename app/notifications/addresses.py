"""Which URLs and addresses a notification may be sent to.

Users choose the URLs, and the process that sends may reach networks that users must not (server-side request
forgery). The form of a URL is checked when it is saved, as a courtesy. What counts is the check of each
address right before the connection: a name is resolved once, it is refused if any of its addresses is not
allowed, and the connection goes to an address that was checked.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from app.notifications.errors import UrlNotAllowed

RESOLVE_SECONDS: Final = 2.0
RESOLVER_THREADS: Final = 16
MAX_URL_LENGTH: Final = 2048
PUBLIC_PORTS: Final = frozenset({443, 8443})

_LINK_LOCAL: Final = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
_NEVER_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
            *("224.0.0.0/4", "240.0.0.0/4"),
            # Addresses that stand for IPv4 addresses: mapped, NAT64, Teredo, 6to4.
            *("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
            *("fec0::/10", "ff00::/8"),
        ),
    )
)
"""Beside what `is_global` refuses, which differs between versions of Python."""

_PRIVATE_SUFFIXES: Final = frozenset({"local", "localhost", "internal", "home", "arpa"})
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    # Printable ASCII, without quotes, angle brackets, backslash, braces and the fragment.
    r"(?P<target>(?:/[!$-;=?-\[\]_a-z~]*)?(?:\?[!$-;=?-\[\]_a-z~]*)?)",
    re.IGNORECASE | re.ASCII,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns all addresses of a name. Raises OSError."""


class AddressNotAllowed(Exception):
    """A host has an address that may not be reached."""


class NameNotFound(Exception):
    """A host could not be resolved."""


@dataclass(frozen=True)
class Url:
    """The parts of a URL. `target` is its path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> "Url":
        """Read a URL. Raises UrlNotAllowed for a text that programs might read in different ways."""
        if len(text) > MAX_URL_LENGTH:
            raise UrlNotAllowed(reason=f"it has more than {MAX_URL_LENGTH} characters")
        match = _URL.fullmatch(text)
        if match is None:
            raise UrlNotAllowed(reason="it is not of the form https://host/path, in ASCII")
        scheme = match["scheme"].lower()
        port = int(match["port"] or (443 if scheme == "https" else 80))
        if not 0 < port < 65_536:
            raise UrlNotAllowed(reason="its port is not valid")
        url = cls(scheme, match["host"].lower().strip("[]"), port, match["target"] or "/")
        if url.literal is None and not all(_LABEL.fullmatch(label) for label in url.host.split(".")):
            raise UrlNotAllowed(reason="its host is not a valid name")
        if url.literal is None and _NUMERIC.fullmatch(url.host.rpartition(".")[2]):
            raise UrlNotAllowed(reason="its host is neither a name nor an address")
        return url

    @cached_property
    def literal(self) -> Address | None:
        """The host, if it is an address."""
        return _parse(self.host)

    @property
    def fault(self) -> str | None:
        """Why no address in a public network may be reached with it; None if one may."""
        if self.scheme != "https":
            return "it does not start with https://"
        if self.port not in PUBLIC_PORTS:
            return "its port is neither 443 nor 8443"
        if self.literal is not None:
            return "its host is an address; use a name"
        _, dot, suffix = self.host.rpartition(".")
        if not dot or suffix in _PRIVATE_SUFFIXES:
            return "its host is not a public name"
        return None


class Addresses:
    """Decides which addresses may be reached. `networks` are those that an operator has allowed.

    Close it with `close()`.
    """

    def __init__(
        self,
        networks: Iterable[str] = (),
        *,
        resolve: Resolve | None = None,
        resolve_seconds: float = RESOLVE_SECONDS,
    ) -> None:
        self._networks = tuple(map(ip_network, networks))
        # Of its own: look-ups that hang must not take the threads of others.
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "resolver")
        self._resolve = resolve or self._ask_system
        self._resolve_seconds = resolve_seconds

    def close(self) -> None:
        """Forget the look-ups that still run."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_form(self, url: Url) -> None:
        """Check a URL when it is saved. Raises UrlNotAllowed.

        Plain HTTP, literal addresses, private names and other ports are for allowed networks only.
        """
        fault = url.fault
        if fault is None:
            return
        if not self._networks or (url.literal is not None and not self.is_allowed_network(url.literal)):
            raise UrlNotAllowed(reason=fault)

    def is_allowed_network(self, address: Address) -> bool:
        """Whether an operator has allowed the network of an address. Link-local ones never are."""
        return _has_no_zone(address) and not _in(address, _LINK_LOCAL) and _in(address, self._networks)

    def may_reach(self, address: Address) -> bool:
        """Whether an address is public, or in an allowed network."""
        return self.is_allowed_network(address) or _is_public(address)

    async def checked(self, host: str, port: int, *, is_public: bool) -> list[str]:
        """Resolve a host and return its addresses. Raises AddressNotAllowed and NameNotFound.

        `is_public`: public addresses are accepted too, and not only those in allowed networks.
        """
        literal = _parse(host)
        found = [literal] if literal is not None else await self._addresses(host, port)
        accepts = self.may_reach if is_public else self.is_allowed_network
        if not all(map(accepts, found)):
            raise AddressNotAllowed
        return [str(address) for address in found]

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(self._resolve_seconds):
                texts = await self._resolve(host, port)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise NameNotFound from error
        addresses = [_parse(text) for text in dict.fromkeys(texts)]
        if not addresses:
            raise NameNotFound
        known = [address for address in addresses if address is not None]
        if len(known) < len(addresses):
            raise AddressNotAllowed
        return known

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(sockaddr[0]) for *_, sockaddr in found]


def _parse(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    return (
        _has_no_zone(address)
        and address.is_global
        and not _in(address, _LINK_LOCAL)
        and not _in(address, _NEVER_PUBLIC)
    )


def _has_no_zone(address: Address) -> bool:
    return isinstance(address, IPv4Address) or address.scope_id is None


def _in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
