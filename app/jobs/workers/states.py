"""The states of workers, and of what starts their children."""

from enum import StrEnum


class WorkerState(StrEnum):
    """Whether a worker takes jobs, has been told to stop, or has not renewed its lease."""

    LIVE = "live"
    DRAINING = "draining"
    LOST = "lost"


class EngineState(StrEnum):
    """Whether the engine of a worker can run jobs at once."""

    READY = "ready"
    WAITING = "waiting_for_node"
    """A slot waits for a host, which waits for a node."""

    UNAVAILABLE = "unavailable"
    """Hosts cannot be started, because what starts them does not answer."""
