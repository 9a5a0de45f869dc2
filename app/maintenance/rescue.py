"""Rescue: jobs of lost workers resume on other workers."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

import asyncpg
import structlog

from app.core import metrics
from app.core.backoff import delay_seconds
from app.core.config import Settings
from app.core.hints import Hints
from app.jobs import transitions
from app.jobs.counting import count_rescued
from app.jobs.unit_of_work import UnitOfWork
from app.maintenance.connectivity import Connectivity

JOBS_AT_ONCE: Final = 200
MAX_LISTED_FAILURES: Final = 16

log = structlog.get_logger(__name__)


class Rescue:
    """Rescues the running jobs of workers that were not seen for a lease."""

    def __init__(self, settings: Settings, hints: Hints) -> None:
        self._settings = settings
        self._hints = hints
        self.contact = Connectivity(settings.lease_seconds)

    async def __call__(self, connection: asyncpg.Connection) -> Callable[[], None] | None:
        """Rescue jobs. The result publishes and counts them, after the commit."""
        self.contact.touch()
        if not self.contact.is_long_enough:
            return None
        unit = UnitOfWork(connection)
        await transitions.rescue(
            unit,
            lease=timedelta(seconds=self._settings.lease_seconds),
            delays_seconds=self._delays(),
            limit=JOBS_AT_ONCE,
        )
        return partial(self._publish, unit)

    def _publish(self, unit: UnitOfWork) -> None:
        for rescued in unit.results:
            log.warning("job_rescued", job_id=str(rescued.job_id), status=rescued.status)
            count_rescued(rescued)
        metrics.JOBS_RESCUED.inc(len(unit.results))
        unit.publish(self._hints)

    def _delays(self) -> list[float]:
        """Return the waits: none after the first failure, likely the worker's; then the usual backoff."""
        settings = self._settings
        return [0.0] + [
            delay_seconds(failures, base=settings.retry_base_seconds, maximum=settings.retry_max_seconds)
            for failures in range(1, MAX_LISTED_FAILURES)
        ]
