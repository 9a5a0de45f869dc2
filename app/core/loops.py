"""The state of the background loops of this process."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.core import metrics

LATE: Final = timedelta(minutes=1)
"""A loop that has no rule of its own is healthy if it succeeded within this time."""


@dataclass(frozen=True)
class LoopState:
    """One background loop. `rounds` and `failures` are None if it does not count them."""

    name: str
    is_healthy: bool
    last_success_at: datetime | None
    rounds: int | None = None
    failures: int | None = None


def measured(name: str, now: datetime) -> LoopState:
    """Return the state of a loop as its metric has it."""
    at: datetime | None = None
    for sample in next(iter(metrics.LOOP_LAST_SUCCESS.collect())).samples:
        if sample.labels["loop"] == name and sample.value:
            at = datetime.fromtimestamp(sample.value, UTC)
    return LoopState(name, is_healthy=at is not None and now - at < LATE, last_success_at=at)
