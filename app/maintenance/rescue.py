"""Rescue: jobs that run on workers which are gone go on elsewhere."""

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
from app.jobs.publishing import publish_transition
from app.jobs.transition_types import TransitionResult
from app.maintenance.connectivity import Connectivity

JOBS_AT_ONCE: Final = 200
MAX_LISTED_FAILURES: Final = 16

log = structlog.get_logger(__name__)


class Rescue:
    """Takes the running jobs of workers that have not been seen for a lease."""

    def __init__(self, settings: Settings, hints: Hints) -> None:
        self._settings = settings
        self._hints = hints
        self.contact = Connectivity(settings.lease_seconds)

    async def __call__(self, connection: asyncpg.Connection) -> Callable[[], None] | None:
        """Rescue what there is to rescue now; gives back what tells of it."""
        self.contact.touch()
        if not self.contact.is_long_enough:
            return None
        rescued = await transitions.rescue(
            connection,
            lease=timedelta(seconds=self._settings.lease_seconds),
            delays_seconds=self._delays(),
            limit=JOBS_AT_ONCE,
        )
        return partial(self._tell, rescued)

    def _tell(self, rescued: list[TransitionResult]) -> None:
        for transition in rescued:
            log.warning("job_rescued", job_id=str(transition.job_id), status=transition.status)
            publish_transition(self._hints, transition)
        metrics.JOBS_RESCUED.inc(len(rescued))

    def _delays(self) -> list[float]:
        """No wait after the first failure, which is most likely the worker's; then the usual backoff."""
        settings = self._settings
        return [0.0] + [
            delay_seconds(failures, base=settings.retry_base_seconds, maximum=settings.retry_max_seconds)
            for failures in range(1, MAX_LISTED_FAILURES)
        ]
