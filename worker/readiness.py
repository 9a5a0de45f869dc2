"""Whether a worker is ready, for its health port."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Readiness:
    """Whether the worker takes jobs: its children are warm, it holds its lease, and it is not stopping."""

    is_stopping: Callable[[], bool]
    holds_lease: Callable[[], bool] | None = None
    """None until the worker has created its lease, which it does once its children are warm."""

    @property
    def status(self) -> str:
        """`ok`, `stopping` or `no_lease`."""
        if self.is_stopping():
            return "stopping"
        if self.holds_lease is None or not self.holds_lease():
            return "no_lease"
        return "ok"
