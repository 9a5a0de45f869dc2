"""Operations on jobs for the API. The caller's unit of work commits and publishes them."""

import dataclasses
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
from msgspec.structs import replace
from pydantic import BaseModel

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Actor, Entry
from app.core import ids, tracing
from app.core.config import Settings
from app.datasets import queries as datasets
from app.http import serializing
from app.http.offloading import offload
from app.jobs import queries, transitions
from app.jobs.errors import (
    IdempotencyKeyReused,
    InputGone,
    IsAShard,
    JobAlreadyFinished,
    JobNotFound,
    JobNotRetryable,
    NotYourJob,
    ProfilingOff,
    ResultsExpired,
)
from app.jobs.job import Job
from app.jobs.kinds.kind import Kind, References, ResolvedReferences
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.shards import plan as shard_plan
from app.jobs.shards import rollup, tallies
from app.jobs.states import HEAD_START, Status
from app.jobs.transition_types import NewJob, TransitionResult
from app.jobs.unit_of_work import UnitOfWork
from app.models import builtin
from app.models import queries as models


@dataclass(frozen=True)
class Submitted:
    """The job that a request created. `is_replay` means that an earlier, identical request created it."""

    job_id: UUID
    status: Status
    is_replay: bool = False


async def submit(
    unit: UnitOfWork,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    key: str | None = None,
    *,
    quota: Quota,
) -> Submitted:
    """Create a job. The datasets and models it refers to cannot be deleted while it is unfinished.

    The caller's quota has admitted one job; shards are checked here. Raises what the kind's plan raises,
    ModelNotFound, DatasetNotFound, IdempotencyKeyReused and TooManyActiveJobs, and for `resubmitted_from`
    JobNotFound, NotYourJob and IsAShard.
    """
    references = kind.references(request)
    if references.datasets or any(builtin.find(model) is None for model in references.models):
        async with unit.transaction():
            found = await resolve(unit.connection, owner_id, references)
            return await _submit(unit, settings, owner_id, kind, request, found, key, quota)
    found = await resolve(unit.connection, owner_id, references)
    return await _submit(unit, settings, owner_id, kind, request, found, key, quota)


async def resolve(
    connection: asyncpg.Connection, owner_id: UUID, references: References
) -> ResolvedReferences:
    """Return the models and datasets that a user's request refers to, locked until the transaction ends.

    Raises ModelNotFound and DatasetNotFound.
    """
    return ResolvedReferences(
        models={model: await models.get_for_job(connection, owner_id, model) for model in references.models},
        datasets={
            reference: await datasets.get_for_job(connection, owner_id, reference)
            for reference in references.datasets
        },
    )


async def _submit(
    unit: UnitOfWork,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    found: ResolvedReferences,
    key: str | None,
    quota: Quota,
) -> Submitted:
    await ensure_own_source(unit.connection, owner_id, request)
    new = await divide(
        unit.connection, settings, await offload(new_job, settings, owner_id, kind, request, found)
    )
    if new.shards is not None:
        await quota.check(unit.connection, owner_id, new.jobs)
    if key is not None:
        request_digest = await offload(digest, kind.name, request)
        new = replace(new, idempotency_key=key, request_digest=request_digest)
    with tracing.sending(new.queue, job_id=new.id) as send:
        new = replace(new, trace_context=send.trace_context)
        while await transitions.create(unit, new) is None:
            earlier = await find_earlier(unit.connection, owner_id, kind, request, key)
            if earlier is not None:
                send.is_replay = True
                return earlier
            # The key expired between the two statements and is free again.
    return Submitted(new.id, Status.PENDING)


def plan_alone(settings: Settings, owner_id: UUID, kind: Kind, request: JobOptions) -> NewJob | None:
    """Return the job of a request that refers to nothing in the database; None for any other request.

    Raises what `new_job` raises.
    """
    references = kind.references(request)
    built_in = {model: found for model in references.models if (found := builtin.find(model)) is not None}
    if references.datasets or len(built_in) < len(references.models) or request.resubmitted_from is not None:
        return None
    job = new_job(settings, owner_id, kind, request, ResolvedReferences(models=built_in))
    return job if job.divisible is None else None


async def store(unit: UnitOfWork, jobs: Sequence[NewJob]) -> None:
    """Create jobs of `plan_alone`, of any owners, each with the trace context that it has."""
    if len(jobs) == 1:
        await transitions.create(unit, jobs[0])
    else:
        await transitions.create_all(unit, jobs)


async def divide(connection: asyncpg.Connection, settings: Settings, job: NewJob) -> NewJob:
    """Return the job with its shards, if it is divided: for the slots that serve its queue now.

    It is not while a worker of an older version serves the queue, which could not run a shard.
    """
    divisible, total = job.divisible, job.total
    if divisible is None or total is None or not shard_plan.may_divide(total, divisible):
        return job
    lease = timedelta(seconds=settings.lease_seconds)
    found = await tallies.slots(connection, job.queue, job.gpus, lease)
    if not found.can_run_shards:
        return job
    return replace(job, shards=shard_plan.plan(total, divisible, slots=found.slots))


async def create_all(unit: UnitOfWork, jobs: Sequence[NewJob]) -> None:
    """Create jobs that are planned, none with an idempotency key, in the caller's transaction."""
    if not jobs:
        return
    queues = {job.queue for job in jobs}
    with tracing.sending(queues.pop() if len(queues) == 1 else None, jobs=len(jobs)) as send:
        if send.trace_context is not None:
            jobs = [replace(job, trace_context=send.trace_context) for job in jobs]
        await transitions.create_all(unit, jobs)


async def find_earlier(
    connection: asyncpg.Connection, owner_id: UUID, kind: Kind, request: JobOptions, key: str | None
) -> Submitted | None:
    """Return the job that the same request created with this key before. Raises IdempotencyKeyReused."""
    if key is None or (earlier := await queries.job_by_key(connection, owner_id, key)) is None:
        return None
    if earlier.request_digest != await offload(digest, kind.name, request):
        raise IdempotencyKeyReused
    return Submitted(earlier.id, earlier.status, is_replay=True)


def new_job(
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    found: ResolvedReferences,
    *,
    group_id: UUID | None = None,
) -> NewJob:
    """Return the job that a request asks for, with the kind's defaults.

    Raises ProfilingOff, and what the kind's `admit` and `plan` raise.
    """
    if request.profile and not settings.profiling:
        raise ProfilingOff(field="profile")
    kind.admit(request, settings)
    work = kind.plan(request, found)
    time_limit = request.time_limit_seconds or min(kind.time_limit_seconds, settings.max_job_seconds)
    return NewJob(
        id=ids.new_id(),
        owner_id=owner_id,
        kind=kind.name,
        queue=request.queue_or(kind.queue),
        priority=request.priority,
        head_start=HEAD_START[request.priority],
        params=work.params,
        rows=work.rows,
        total=work.total,
        metadata=request.metadata,
        max_attempts=request.max_attempts or min(kind.max_attempts, settings.max_job_attempts),
        soft_limit_seconds=min(request.soft_limit_seconds or kind.soft_limit_seconds, time_limit),
        time_limit_seconds=time_limit,
        retention_seconds=request.expires_in_seconds or settings.result_retention_seconds,
        run_at=request.run_at,
        delay=None if request.delay_seconds is None else timedelta(seconds=request.delay_seconds),
        group_id=group_id,
        files=dict(work.files) or None,
        dataset_id=work.dataset_id,
        model_version_id=work.model_version_id,
        upload_bytes=work.upload_bytes,
        is_profiled=request.profile,
        gpus=request.gpus,
        resubmitted_from=request.resubmitted_from,
        divisible=work.divisible,
    )


async def ensure_own_source(connection: asyncpg.Connection, owner_id: UUID, request: JobOptions) -> None:
    """Check that the job in whose place a request is submitted, if any, is one of the same owner.

    Raises JobNotFound, NotYourJob, IsAShard.
    """
    if request.resubmitted_from is not None:
        await get_submitted(connection, owner_id, request.resubmitted_from)


def digest(what: str, request: BaseModel) -> bytes:
    """Return the digest that detects another request with the same idempotency key."""
    hashed = hashlib.sha256()
    for piece in serializing.encode_sorted([what, request.model_dump(mode="json")]):
        hashed.update(piece)
    return hashed.digest()


async def get_own(
    connection: asyncpg.Connection,
    owner_id: UUID | None,
    job_id: UUID,
    *,
    inline_rows: int = 0,
    inline_bytes: int = queries.MAX_INLINE_BYTES,
) -> Job:
    """Return a job of this owner, None: of any, with its outputs if they are few.

    Raises JobNotFound, NotYourJob.
    """
    found = await queries.job(connection, job_id, inline_rows=inline_rows, inline_bytes=inline_bytes)
    return ensure_own(owner_id, job_id, found)


def ensure_own(owner_id: UUID | None, job_id: UUID, found: Job | None) -> Job:
    """Return the job that was found, if it is one of this owner, None: of any.

    Raises JobNotFound, NotYourJob.
    """
    if found is None:
        raise JobNotFound(job_id=str(job_id))
    if owner_id is not None and found.owner_id != owner_id:
        raise NotYourJob(job_id=str(job_id))
    return found


async def get_submitted(connection: asyncpg.Connection, owner_id: UUID | None, job_id: UUID) -> Job:
    """Return a job of this owner, None: of any, that is no shard.

    Raises JobNotFound, NotYourJob, IsAShard.
    """
    job = await get_own(connection, owner_id, job_id)
    if job.parent_id is not None:
        raise IsAShard(job_id=str(job_id), parent_id=str(job.parent_id))
    return job


async def with_input(connection: asyncpg.Connection, job: Job) -> Job:
    """Return the job that has the input of a job: the parent of a shard. Raises JobNotFound if it is gone."""
    return job if job.parent_id is None else await get_own(connection, job.owner_id, job.parent_id)


async def cancel(unit: UnitOfWork, owner_id: UUID | None, job_id: UUID, *, by: Actor) -> None:
    """Cancel an owner's job, or request its cancellation if it runs. A repeated request changes nothing.

    The audit log records it for the job of another user. Raises JobNotFound, NotYourJob, IsAShard,
    JobAlreadyFinished.
    """
    job = await get_submitted(unit.connection, owner_id, job_id)
    async with recording(unit, by, Action.JOB_CANCELLED, {job_id: job.owner_id}):
        cancelled = await cancel_with_shards(unit, job_id)
    if cancelled is None:
        ensure_can_be_cancelled(await get_own(unit.connection, owner_id, job_id))


async def cancel_with_shards(unit: UnitOfWork, job_id: UUID) -> TransitionResult | None:
    """Cancel a job and its shards, running ones too, or request the cancellation of a running job.

    Return None if the job has ended or its cancellation was requested before. Shards that a worker is writing
    at this moment are left to the maintenance loop.
    """
    cancelled = await transitions.cancel(unit, job_id=job_id)
    if cancelled is None or cancelled.shards is None:
        return cancelled
    is_ended = await rollup.end_cancelled(unit, job_id)
    return dataclasses.replace(cancelled, status=Status.CANCELLED) if is_ended else cancelled


async def cancel_replaced(unit: UnitOfWork, job_ids: Iterable[UUID]) -> None:
    """Cancel jobs in whose place other jobs of the same owner come, or request it of those that run."""
    for job_id in job_ids:
        await transitions.cancel(unit, job_id=job_id)


async def retry(
    unit: UnitOfWork, owner_id: UUID | None, job_id: UUID, *, from_start: bool, by: Actor
) -> None:
    """Make a failed or cancelled job of this owner pending again.

    The audit log records it for the job of another user. Raises JobNotFound, NotYourJob, IsAShard,
    JobNotRetryable, ResultsExpired, InputGone.
    """
    job = await get_submitted(unit.connection, owner_id, job_id)
    if not await queries.has_its_inputs(unit.connection, job_id):
        raise InputGone(job_id=str(job_id))
    head_start = HEAD_START[job.priority]
    async with recording(unit, by, Action.JOB_RETRIED, {job_id: job.owner_id}):
        retried = await transitions.retry(unit, job_id=job_id, from_start=from_start, head_start=head_start)
    if retried is not None:
        return
    job = await get_own(unit.connection, owner_id, job_id)
    if job.is_pruned:
        raise ResultsExpired(job_id=str(job_id))
    raise JobNotRetryable(status=str(job.status))


@asynccontextmanager
async def recording(
    unit: UnitOfWork, by: Actor, action: Action, owners: Mapping[UUID, UUID]
) -> AsyncIterator[None]:
    """Record the transitions of the body in the audit log, those of the jobs of other users than the actor.

    `owners` are those of the jobs. The entries are committed together with the transitions.
    """
    if all(owner_id == by.user_id for owner_id in owners.values()):
        yield
        return
    async with unit.transaction():
        before = len(unit.results)
        yield
        changed = {result.job_id for result in unit.results[before:]}
        recorded = {job_id: owner_id for job_id, owner_id in owners.items() if job_id in changed}
        await record_others(unit.connection, by, action, recorded)


async def record_others(
    connection: asyncpg.Connection,
    by: Actor,
    action: Action,
    owners: Mapping[UUID, UUID],
    *,
    reason: str | None = None,
) -> None:
    """Record an action on jobs in the audit log, except on those that the actor owns.

    `owners` are those of the jobs. Call it in the transaction of the action.
    """
    why = {} if reason is None else {"reason": reason}
    entries = [
        Entry(action, ObjectType.JOB, str(job_id), details={"owner_id": str(owner_id), **why})
        for job_id, owner_id in owners.items()
        if owner_id != by.user_id
    ]
    await audit.record_all(connection, by, entries)


def ensure_can_be_cancelled(job: Job) -> None:
    """Raise JobAlreadyFinished if the job has ended."""
    if job.has_ended:
        raise JobAlreadyFinished(status=str(job.status))
