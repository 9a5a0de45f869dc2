"""Dry runs: check a request as its creation would, and estimate when its job would start and end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from app.core.config import Settings
from app.core.resources import Resources
from app.http.offloading import offload
from app.jobs import explanations, service
from app.jobs.dry_runs.schemas import DryRun
from app.jobs.explanations import ClaimConditions
from app.jobs.groups import service as groups
from app.jobs.kinds.kind import FanOut, Kind
from app.jobs.queues import queries as queues
from app.jobs.queues.queries import Pace
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.schemas import JobError
from app.jobs.transition_types import NewJob
from app.quotas import queries as quotas
from app.quotas.values import OwnQuotas


@dataclass(frozen=True)
class _Prospect:
    """A job that is not created, as its queue would see it."""

    id: UUID
    owner_id: UUID
    kind: str
    queue: str
    sort_key: datetime
    run_at: datetime
    max_attempts: int
    gpus: int = 0
    failures: int = 0
    error: JobError | None = None


async def dry_run(
    resources: Resources,
    quota: Quota,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    fan_out: FanOut | None,
) -> DryRun:
    """Return what the job of a request would wait for, or those into which it fans out.

    Raises what their creation would raise.
    """
    settings = resources.settings
    requests = (request,) if fan_out is None else fan_out.requests
    async with resources.database.transaction() as connection:
        room = await quota.room(connection, owner_id, len(requests))
        if room.jobs < len(requests):
            raise room.jobs_error
        planned = await _plan(connection, settings, owner_id, kind, request, fan_out)
        if room.jobs < sum(job.jobs for job in planned):
            raise room.jobs_error
        size = sum(len(job.rows or b"") + job.upload_bytes for job in planned)
        if room.bytes_left is not None and size > room.bytes_left[0]:
            raise room.bytes_left[1]
    first = planned[0]
    # Not in the same transaction, which may hold the row of the user's quota.
    async with resources.database.connection() as connection:
        pace = await queues.pace(
            connection, kind=kind.name, queue=first.queue, model_version_id=first.model_version_id
        )
        own = await quotas.get(connection, owner_id) or OwnQuotas()
        conditions = ClaimConditions.from_settings(settings, own, is_redis_up=resources.redis.is_up)
        outlook = await explanations.foresee(connection, _prospect(first, pace.now), conditions)
    total = _total(planned)
    return DryRun(
        kind=kind.name,
        queue=first.queue,
        jobs=len(planned),
        shards=sum(job.jobs - 1 for job in planned),
        total=total,
        position=outlook.position,
        estimated_start_at=outlook.estimated_start_at,
        estimated_seconds=_seconds(pace, total, len(planned)),
        code=outlook.reason.code,
        sentence=outlook.reason.sentence,
        facts=outlook.reason.facts,
    )


async def _plan(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    fan_out: FanOut | None,
) -> list[NewJob]:
    if fan_out is None:
        found = await service.resolve(connection, owner_id, kind.references(request))
        await service.ensure_own_source(connection, owner_id, request)
        new = await offload(service.new_job, settings, owner_id, kind, request, found)
        return [await service.divide(connection, settings, new)]
    jobs = [(kind, one) for one in fan_out.requests]
    return await groups.plan_all(connection, settings, owner_id, jobs, None, fan_out.member)


def _prospect(job: NewJob, now: datetime) -> _Prospect:
    """Return when and where the job would wait, as the statement that creates it decides."""
    run_at = max(now, job.run_at or now, now if job.delay is None else now + job.delay)
    return _Prospect(
        job.id, job.owner_id, job.kind, job.queue, run_at - job.head_start, run_at, job.max_attempts, job.gpus
    )


def _total(jobs: Sequence[NewJob]) -> int | None:
    totals = [job.total for job in jobs if job.total is not None]
    return sum(totals) if len(totals) == len(jobs) else None


def _seconds(pace: Pace, total: int | None, jobs: int) -> float | None:
    seconds = pace.seconds_for(total)
    if seconds is None:
        return None
    return round(seconds if total is not None else seconds * jobs, 3)
