"""Updates the gauges that describe the whole system, from Postgres."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from prometheus_client import Gauge

from app.core import exposition, metrics
from app.core.errors import DatabaseUnavailable
from app.core.exposition import Page
from app.core.resources import Resources
from app.jobs.states import Priority, Status
from app.notifications.channels import registry
from app.notifications.states import SubscriptionStatus
from app.operations import queries
from app.operations.queries import Sample
from app.schedules.states import ScheduleStatus

PROBE_SECONDS: Final = 1.0

_GAUGES: Final = {
    "queue_jobs": metrics.QUEUE_JOBS,
    "queue_oldest_seconds": metrics.QUEUE_OLDEST_SECONDS,
    "jobs_active": metrics.JOBS_ACTIVE,
    "queue_slots": metrics.QUEUE_SLOTS,
    "workers": metrics.WORKERS,
    "dead_letters": metrics.DEAD_LETTERS,
    "schedules": metrics.SCHEDULES,
    "delivery_oldest_seconds": metrics.DELIVERY_OLDEST_SECONDS,
    "subscriptions": metrics.SUBSCRIPTIONS,
}
_WITHOUT_LABELS: Final = {
    "database_bytes": metrics.DATABASE_BYTES,
    "queue_stats_timestamp_seconds": metrics.QUEUE_STATS_TIMESTAMP,
    "statistics_folded_timestamp_seconds": metrics.STATISTICS_FOLDED_TIMESTAMP,
}


async def read_metrics(resources: Resources, kinds: Iterable[str], accept: str) -> Page:
    """Return the metrics of this process with fresh gauges, in the format for this `Accept` header."""
    await _read_system(resources, kinds)
    return exposition.render(accept)


async def _read_system(resources: Resources, kinds: Iterable[str]) -> None:
    lease = timedelta(seconds=resources.settings.lease_seconds)
    try:
        async with asyncio.timeout(PROBE_SECONDS), resources.database.connection() as connection:
            samples = await queries.samples(connection, queues=metrics.queue_labels.names, lease=lease)
    except (DatabaseUnavailable, TimeoutError):
        return  # these gauges are stale, but the other metrics are still current
    show(samples, kinds)


def show(samples: Iterable[Sample], kinds: Iterable[str]) -> None:
    """Set the gauges to these samples only, so that a queue that has become empty disappears.

    What is known and has no sample is shown as 0: these kinds, and the queues that live workers serve.
    """
    found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _GAUGES}
    for sample in samples:
        if sample.gauge in _WITHOUT_LABELS:
            _WITHOUT_LABELS[sample.gauge].set(sample.value)
        else:
            found[sample.gauge][sample.labels] = sample.value
    served = {queue for queue, _ in found["queue_slots"]}
    for name, labels in _known(kinds, served):
        found[name].setdefault(labels, 0.0)
    for name, values in found.items():
        _set_all(_GAUGES[name], values)


def _known(kinds: Iterable[str], served: Iterable[str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    for channel in registry.BUILT_IN:
        yield "delivery_oldest_seconds", (channel,)
        for subscription_status in SubscriptionStatus:
            yield "subscriptions", (channel, subscription_status.value)
    for state in ("live", "draining", "lost"):
        yield "workers", (state,)
    for status in ScheduleStatus:
        yield "schedules", (status.value,)
    for kind in kinds:
        yield "dead_letters", (kind,)
        yield "jobs_active", (kind, Status.PENDING.value)
        yield "jobs_active", (kind, Status.RUNNING.value)
    for queue in served:
        yield "queue_oldest_seconds", (queue,)
        for state in ("due", "delayed", "paused", "running"):
            yield "queue_jobs", (queue, Priority.NORMAL.value, state)


def _set_all(gauge: Gauge, values: dict[tuple[str, ...], float]) -> None:
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
