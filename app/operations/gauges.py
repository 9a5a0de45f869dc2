"""Updates the gauges that describe the whole system, from Postgres."""

import asyncio
from datetime import timedelta
from typing import Final

from prometheus_client import Gauge

from app.core import exposition, metrics
from app.core.errors import DatabaseUnavailable
from app.core.exposition import Page
from app.core.resources import Resources
from app.jobs.queues import queries
from app.jobs.workers import queries as workers

PROBE_SECONDS: Final = 1.0


async def read_metrics(resources: Resources, accept: str) -> Page:
    """Return the metrics of this process with fresh gauges, in the format for this `Accept` header."""
    await _measure_queues(resources)
    return exposition.render(accept)


async def _measure_queues(resources: Resources) -> None:
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            backlog = await queries.backlog(connection)
            active = await queries.active(connection)
            alive = await workers.alive(connection, timedelta(seconds=resources.settings.lease_seconds))
    except (DatabaseUnavailable, TimeoutError):
        return  # these gauges are stale, but the other metrics are still current
    _set_all(metrics.QUEUE_DEPTH, {(found.queue,): found.waiting for found in backlog})
    _set_all(metrics.QUEUE_OLDEST_SECONDS, {(found.queue,): found.oldest_seconds for found in backlog})
    _set_all(metrics.JOBS_ACTIVE, {(found.kind, found.status): found.jobs for found in active})
    metrics.WORKERS_ALIVE.set(alive)


def _set_all(gauge: Gauge, values: dict[tuple[str, ...], float]) -> None:
    """Set a gauge to these values only, so that a queue that has become empty disappears."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
