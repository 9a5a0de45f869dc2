"""Client addresses, also behind trusted proxies. Limits per client count networks, not addresses."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN: Final = "unknown"
IPV6_PREFIX: Final = 64
"""One subscriber usually has a /64 of IPv6 addresses, so limits count it as one client."""


def parse_networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Parse addresses and networks. Raises ValueError for anything else."""
    return tuple(ipaddress.ip_network(name) for name in names)


def is_trusted(host: str, trusted: Sequence[Network]) -> bool:
    """Whether this is the address of a trusted proxy."""
    address = _parse(host)
    return address is not None and any(address in network for network in trusted)


def client_network(scope: Scope, trusted: Sequence[Network]) -> str:
    """The network of the client: its IPv4 address, or the /64 of its IPv6 address.

    X-Forwarded-For counts only if the peer is a trusted proxy. It is read from its end up to the first
    address that is not a trusted proxy; a client can forge everything before that.
    """
    client = scope.get("client")
    host: str = client[0] if client else ""
    if trusted and is_trusted(host, trusted):
        for name in reversed(_forwarded_addresses(scope)):
            if _parse(name) is None:
                break
            host = name
            if not is_trusted(name, trusted):
                break
    return network_of(host)


def network_of(host: str) -> str:
    """The network of an address."""
    address = _parse(host)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)


def _forwarded_addresses(scope: Scope) -> list[str]:
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [part.strip() for part in b",".join(values).decode("latin-1").split(",")]


def _parse(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
