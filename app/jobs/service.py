"""What can be done with jobs, as the API does it. Commits nothing, sends nothing: its callers do."""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from app.core import ids
from app.core.config import Settings
from app.datasets import queries as datasets
from app.http import serializing
from app.http.offloading import offload
from app.jobs import queries, transitions
from app.jobs.errors import (
    IdempotencyKeyReused,
    InputGone,
    JobAlreadyFinished,
    JobNotFound,
    JobNotRetryable,
    NotYourJob,
    ResultsExpired,
)
from app.jobs.kinds.kind import Kind, References, ResolvedReferences
from app.jobs.requests import JobOptions
from app.jobs.states import HEAD_START, Priority, Status
from app.jobs.transition_types import NewJob, TransitionResult
from app.models import builtin
from app.models import queries as models


@dataclass(frozen=True)
class Submitted:
    """What became of a request for work: a new job, or the one that the same request made before."""

    job_id: UUID
    status: Status
    transition: TransitionResult | None

    @property
    def is_replay(self) -> bool:
        """Whether the job was there already."""
        return self.transition is None


async def submit(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    key: str | None = None,
) -> Submitted:
    """Create a job; what it refers to is kept from then on.

    Raises what the kind's plan raises, ModelNotFound, DatasetNotFound and IdempotencyKeyReused.
    """
    references = kind.references(request)
    if references.datasets or any(builtin.find(model) is None for model in references.models):
        async with connection.transaction():
            found = await find(connection, owner_id, references)
            return await _submit(connection, settings, owner_id, kind, request, found, key)
    found = await find(connection, owner_id, references)
    return await _submit(connection, settings, owner_id, kind, request, found, key)


async def find(connection: asyncpg.Connection, owner_id: UUID, references: References) -> ResolvedReferences:
    """What a user's request refers to, held until the caller's transaction ends.

    Raises ModelNotFound and DatasetNotFound.
    """
    return ResolvedReferences(
        models={model: await models.get_for_job(connection, owner_id, model) for model in references.models},
        datasets={
            dataset_id: await datasets.get_for_job(connection, owner_id, dataset_id)
            for dataset_id in references.datasets
        },
    )


async def _submit(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    found: ResolvedReferences,
    key: str | None,
) -> Submitted:
    new = await offload(new_job, settings, owner_id, kind, request, found)
    if key is not None:
        request_digest = await offload(digest, kind.name, request)
        new = replace(new, idempotency_key=key, request_digest=request_digest)
    while (transition := await transitions.create(connection, new)) is None:
        earlier = await find_earlier(connection, owner_id, kind, request, key)
        if earlier is not None:
            return earlier
        # The key was let go between the two statements: it is free again.
    return Submitted(new.id, Status.PENDING, transition)


async def find_earlier(
    connection: asyncpg.Connection, owner_id: UUID, kind: Kind, request: JobOptions, key: str | None
) -> Submitted | None:
    """The job that the same request made before under this key; raises IdempotencyKeyReused."""
    if key is None or (earlier := await queries.job_of_key(connection, owner_id, key)) is None:
        return None
    if earlier["request_digest"] != await offload(digest, kind.name, request):
        raise IdempotencyKeyReused
    return Submitted(earlier["id"], Status(earlier["status"]), None)


def new_job(
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: JobOptions,
    found: ResolvedReferences,
    *,
    group_id: UUID | None = None,
) -> NewJob:
    """The job that a request asks for; what it does not say is the kind's. Raises what the plan raises."""
    work = kind.plan(request, found)
    time_limit = request.time_limit_seconds or min(kind.time_limit_seconds, settings.max_job_seconds)
    return NewJob(
        id=ids.new_id(),
        owner_id=owner_id,
        kind=kind.name,
        queue=request.queue or kind.queue,
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
    )


def digest(what: str, request: BaseModel) -> bytes:
    """What tells one request from another under the same idempotency key."""
    hashed = hashlib.sha256()
    for piece in serializing.encode_sorted([what, request.model_dump(mode="json")]):
        hashed.update(piece)
    return hashed.digest()


async def get_own(
    connection: asyncpg.Connection,
    owner_id: UUID,
    job_id: UUID,
    *,
    inline_rows: int = 0,
    inline_bytes: int = queries.MAX_INLINE_BYTES,
) -> asyncpg.Record:
    """A job of this owner, with its outputs if they are few; raises JobNotFound or NotYourJob."""
    found = await queries.job(connection, job_id, inline_rows=inline_rows, inline_bytes=inline_bytes)
    if found is None:
        raise JobNotFound(job_id=str(job_id))
    if found["owner_id"] != owner_id:
        raise NotYourJob(job_id=str(job_id))
    return found


async def cancel(connection: asyncpg.Connection, owner_id: UUID, job_id: UUID) -> TransitionResult | None:
    """Cancel an owner's job, or ask for it if it runs. None when that was asked for before.

    Raises JobNotFound, NotYourJob, JobAlreadyFinished.
    """
    found = await get_own(connection, owner_id, job_id)
    transition = await transitions.cancel(connection, job_id=job_id)
    if transition is None:
        found = await get_own(connection, owner_id, job_id)
        ensure_can_be_cancelled(found)
    return transition


async def retry(
    connection: asyncpg.Connection, owner_id: UUID, job_id: UUID, *, from_start: bool
) -> TransitionResult:
    """Let a failed or cancelled job of this owner run again.

    Raises JobNotFound, NotYourJob, JobNotRetryable, ResultsExpired, InputGone.
    """
    found = await get_own(connection, owner_id, job_id)
    if not await queries.has_its_inputs(connection, job_id):
        raise InputGone(job_id=str(job_id))
    head_start = HEAD_START[Priority(found["priority"])]
    transition = await transitions.retry(
        connection, job_id=job_id, from_start=from_start, head_start=head_start
    )
    if transition is not None:
        return transition
    found = await get_own(connection, owner_id, job_id)
    if found["pruned_at"] is not None:
        raise ResultsExpired(job_id=str(job_id))
    raise JobNotRetryable(status=found["status"])


def ensure_can_be_cancelled(job: Any) -> None:
    """Raise JobAlreadyFinished if the job has ended without being cancelled by a request still open."""
    status = Status(job["status"])
    if status.is_final:
        raise JobAlreadyFinished(status=str(status))
