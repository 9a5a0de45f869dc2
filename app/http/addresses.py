"""Where a request comes from: the one place that decides whose address counts."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN: Final = "unknown"
IPV6_PREFIX: Final = 64
"""A single customer has that many addresses of IPv6, so limits count them as one."""


def parse_networks(names: Sequence[str]) -> tuple[Network, ...]:
    """The networks with these names; raises ValueError for what is neither an address nor a network."""
    return tuple(ipaddress.ip_network(name) for name in names)


def is_trusted(host: str, trusted: Sequence[Network]) -> bool:
    """Whether this is the address of a proxy whose X-Forwarded-For is believed."""
    address = _parse(host)
    return address is not None and any(address in network for network in trusted)


def client_network(scope: Scope, trusted: Sequence[Network]) -> str:
    """The network that a request counts for: an IPv4 address, or the /64 of an IPv6 address.

    X-Forwarded-For is read only if the peer is a trusted proxy, from its end, up to the first address that
    is not one: everything before that address is the client's own text.
    """
    client = scope.get("client")
    host: str = client[0] if client else ""
    if trusted and is_trusted(host, trusted):
        for name in reversed(_forwarded(scope)):
            if _parse(name) is None:
                break
            host = name
            if not is_trusted(name, trusted):
                break
    return network_of(host)


def network_of(host: str) -> str:
    """The network that an address counts for."""
    address = _parse(host)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)


def _forwarded(scope: Scope) -> list[str]:
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
