"""Every name in Redis, with its lifetime. Whatever is here may vanish at any moment: see `hints`."""

from typing import Final
from uuid import UUID

PREFIX: Final = "headrace:"

TOKEN_LIFETIME_SECONDS: Final = 3600
"""How long the payload of a wake token lives. A token that outlived it is an empty claim."""

PROBE: Final = f"{PREFIX}probe"
"""What a process writes to see whether Redis takes writes again."""

PROBE_LIFETIME_SECONDS: Final = 10


def queue(name: str) -> str:
    """ARQ's sorted set of wake tokens for one queue; lives as long as it has members."""
    return f"{PREFIX}queue:{name}"


def queue_name(key: bytes) -> str:
    """The queue whose tokens are under this key."""
    return key.decode().removeprefix(f"{PREFIX}queue:")


def events(owner_id: UUID) -> str:
    """Pub/sub channel of the events of one owner's jobs; nothing is stored."""
    return f"{PREFIX}events:{owner_id}"


def events_owner(channel: bytes) -> UUID:
    """The owner whose events come over this channel."""
    return UUID(channel.decode().removeprefix(f"{PREFIX}events:"))


def worker(worker_id: UUID) -> str:
    """Pub/sub channel that tells one worker which of its jobs to look at; nothing is stored."""
    return f"{PREFIX}worker:{worker_id}"
