"""All Redis keys and channels, with their lifetimes. Redis may lose any of them at any time: see `hints`."""

from typing import Final
from uuid import UUID

PREFIX: Final = "headrace:"

TOKEN_LIFETIME_SECONDS: Final = 3600
"""Lifetime of a wake token's payload. Afterwards the token still wakes a worker, which may find no job."""

PROBE: Final = f"{PREFIX}probe"
"""Key that a process writes to test whether Redis accepts writes again."""

PROBE_LIFETIME_SECONDS: Final = 10


RATES: Final = f"{PREFIX}rates"
"""Prefix of the counts of requests by user or network; each lasts for one window of a minute."""


def pace(duty: str) -> str:
    """Key that exists for a moment after a process has begun a round of a maintenance duty."""
    return f"{PREFIX}pace:{duty}"


def queue(name: str) -> str:
    """ARQ's sorted set of wake tokens for one queue; exists while it has members."""
    return f"{PREFIX}queue:{name}"


def queue_name(key: bytes) -> str:
    """Name of the queue that this key belongs to."""
    return key.decode().removeprefix(f"{PREFIX}queue:")


def events(owner_id: UUID) -> str:
    """Pub/sub channel for events of one owner's jobs; nothing is stored."""
    return f"{PREFIX}events:{owner_id}"


def events_owner(channel: bytes) -> UUID:
    """Owner that this events channel belongs to."""
    return UUID(channel.decode().removeprefix(f"{PREFIX}events:"))


def worker(worker_id: UUID) -> str:
    """Pub/sub channel that notifies one worker of changes to its jobs, such as cancels; nothing is stored."""
    return f"{PREFIX}worker:{worker_id}"
