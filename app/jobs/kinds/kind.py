"""What the system has to know about a kind of job before it runs one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A sort of job: where it queues unless told otherwise, how often it is tried, how long it may run."""

    name: str
    queue: str = "default"
    max_attempts: int = 3
    soft_limit_seconds: int = 1500
    time_limit_seconds: int = 1800
