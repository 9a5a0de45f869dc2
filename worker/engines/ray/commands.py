"""What the worker and its starter process say to each other: a closed set of messages, as for children."""

from typing import Final

import msgspec

from worker.framing import Message

MAX_BYTES: Final = 64 * 1024


# Worker → starter


class Connect(Message, frozen=True):
    """Connect to this Ray cluster. Sent once, before anything else, so that the environment has no token.

    Each host takes `cpus` and `gpus` of a node.
    """

    address: str
    token: str
    cpus: float
    gpus: int


class PlaceHost(Message, frozen=True):
    """Have Ray start a process for the host with this number, as soon as a node has room for it."""

    number: int


class RunHost(Message, frozen=True):
    """Run a host that has its process. It connects to `address` and shows `secret` there."""

    number: int
    address: str
    secret: str


class KillHost(Message, frozen=True):
    """End the host with this number, running or waiting for a node, whatever it does."""

    number: int


# Starter → worker


class Connected(Message, frozen=True):
    """The cluster has been checked and takes hosts."""


class Refused(Message, frozen=True):
    """The cluster cannot be used as it is. Another try would end the same way."""

    reason: str


class Unreachable(Message, frozen=True):
    """The cluster did not answer, or not as it should."""

    reason: str


class HostPlaced(Message, frozen=True):
    """The host with this number has its process, which waits for `RunHost`."""

    number: int


class HostEnded(Message, frozen=True):
    """The host with this number has ended, wherever it was: its process, its node, or its wait for one."""

    number: int


ToStarter = Connect | PlaceHost | RunHost | KillHost
FromStarter = Connected | Refused | Unreachable | HostPlaced | HostEnded

decode_to_starter: Final = msgspec.msgpack.Decoder(ToStarter).decode
decode_from_starter: Final = msgspec.msgpack.Decoder(FromStarter).decode
