"""What can be done with jobs, as the API does it. Commits nothing, sends nothing: its callers do."""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from app.core import ids
from app.core.config import Settings
from app.jobs import queries, transitions
from app.jobs.errors import (
    IdempotencyKeyReused,
    JobAlreadyFinished,
    JobNotFound,
    NotYourJob,
    TextTooLong,
    TooManyRows,
)
from app.jobs.kinds import batch_predict
from app.jobs.kinds.batch_predict import ModelReference, Params
from app.jobs.kinds.kind import Kind
from app.jobs.moves import Moved, NewJob
from app.jobs.schemas import MAX_INLINE_ROWS, MAX_TEXT_CHARACTERS, BatchPredictRequest, JobOptions
from app.jobs.states import HEAD_START, Status
from app.models import builtin

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class Submitted:
    """What became of a request for work: a new job, or the one that the same request made before."""

    job_id: UUID
    status: Status
    moved: Moved | None

    @property
    def is_replay(self) -> bool:
        """Whether the job was there already."""
        return self.moved is None


async def submit_batch_predict(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    request: BatchPredictRequest,
    idempotency_key: str | None,
) -> Submitted:
    """Create a batch-predict job over inline texts.

    Raises TooManyRows, TextTooLong, ModelNotFound, IdempotencyKeyReused.
    """
    _check_texts(request.texts)
    model = builtin.resolve(request.model)
    params = Params(ModelReference(model.name, model.version, model.runtime), request.batch_size)
    new = _new_job(settings, owner_id, batch_predict.KIND, request)
    new = replace(
        new,
        params=msgspec.json.encode(params),
        rows=msgspec.json.encode(request.texts),
        total=len(request.texts),
    )
    if idempotency_key is not None:
        new = replace(new, idempotency_key=idempotency_key, request_digest=_digest(new.kind, request))
    return await _submit(connection, new)


async def _submit(connection: asyncpg.Connection, new: NewJob) -> Submitted:
    moved = await transitions.create(connection, new)
    if moved is not None:
        return Submitted(new.id, Status.PENDING, moved)
    assert new.idempotency_key is not None  # noqa: S101  # nothing else makes `create` answer None
    earlier = await queries.job_of_key(connection, new.owner_id, new.idempotency_key)
    if earlier is None:
        # The key was let go between the two statements: it is free again.
        return await _submit(connection, new)
    if earlier["request_digest"] != new.request_digest:
        raise IdempotencyKeyReused
    return Submitted(earlier["id"], Status(earlier["status"]), None)


def _new_job(settings: Settings, owner_id: UUID, kind: Kind, options: JobOptions) -> NewJob:
    """A job with what is said of every job; a limit that is not given is the kind's own."""
    time_limit = options.time_limit_seconds or kind.time_limit_seconds
    return NewJob(
        id=ids.new_id(),
        owner_id=owner_id,
        kind=kind.name,
        queue=options.queue or kind.queue,
        priority=options.priority,
        head_start=HEAD_START[options.priority],
        params=b"{}",
        rows=None,
        total=None,
        metadata=options.metadata,
        max_attempts=options.max_attempts or kind.max_attempts,
        soft_limit_seconds=min(options.soft_limit_seconds or kind.soft_limit_seconds, time_limit),
        time_limit_seconds=time_limit,
        retention_seconds=options.expires_in_seconds or settings.result_retention_seconds,
        run_at=options.run_at,
        delay=None if options.delay_seconds is None else timedelta(seconds=options.delay_seconds),
    )


def _check_texts(texts: list[str]) -> None:
    if len(texts) > MAX_INLINE_ROWS:
        raise TooManyRows(limit=MAX_INLINE_ROWS, got=len(texts))
    for index, text in enumerate(texts):
        if len(text) > MAX_TEXT_CHARACTERS:
            raise TextTooLong(index=index, length=len(text), limit=MAX_TEXT_CHARACTERS)


def _digest(kind: str, request: JobOptions) -> bytes:
    return hashlib.sha256(_encode_sorted([kind, request.model_dump(mode="json")])).digest()


async def get_own(
    connection: asyncpg.Connection, owner_id: UUID, job_id: UUID, *, inline_rows: int = 0
) -> asyncpg.Record:
    """A job of this owner; raises JobNotFound or NotYourJob."""
    found = await queries.job(connection, job_id, inline_rows=inline_rows)
    if found is None:
        raise JobNotFound(job_id=str(job_id))
    if found["owner_id"] != owner_id:
        raise NotYourJob(job_id=str(job_id))
    return found


async def cancel(connection: asyncpg.Connection, owner_id: UUID, job_id: UUID) -> Moved | None:
    """Cancel an owner's job, or ask for it if it runs. None when that was asked for before.

    Raises JobNotFound, NotYourJob, JobAlreadyFinished.
    """
    found = await get_own(connection, owner_id, job_id)
    moved = await transitions.cancel(connection, job_id=job_id)
    if moved is None:
        found = await get_own(connection, owner_id, job_id)
        ensure_can_be_cancelled(found)
    return moved


def ensure_can_be_cancelled(job: Any) -> None:
    """Raise JobAlreadyFinished if the job has ended without being cancelled by a request still open."""
    status = Status(job["status"])
    if status.is_final:
        raise JobAlreadyFinished(status=str(status))
