"""Jobs, events and explanations as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.client.data import instant

FINAL: Final = frozenset({"completed", "failed", "cancelled"})
"""The statuses of a job that has ended; only a retry can change them."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that the server has accepted; every method that takes a job takes it.

    >>> job = client.submit(["What a lovely day"])
    >>> client.wait(job).status
    'completed'
    """

    id: str
    status: str
    is_replay: bool = False
    """Whether an earlier request with the same idempotency key created the job."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class JobError:
    """The error of the last failed attempt."""

    code: str
    message: str
    retryable: bool
    attempt: int | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "JobError":
        """Parse the JSON document."""
        return cls(
            code=document.get("code", "unknown"),
            message=document.get("message", ""),
            retryable=bool(document.get("retryable")),
            attempt=document.get("attempt"),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A job at the time of the request.

    >>> job = client.job("019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")
    >>> job.status, job.progress, job.done, job.total
    ('running', 40.0, 400, 1000)
    """

    id: str
    status: str
    kind: str
    queue: str | None
    priority: str | None
    model: str | None
    attempt: int
    max_attempts: int | None
    progress: float
    done: int
    total: int | None
    step: str | None
    estimated_completion: datetime | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    run_at: datetime | None
    expires_at: datetime | None
    cancel_requested: bool
    result: Mapping[str, Any] | None
    error: JobError | None
    group_id: str | None
    dataset_id: str | None
    schedule_id: str | None
    fire_at: datetime | None
    resubmitted_from: str | None
    gpus: int
    shards: int | None
    parent_id: str | None
    metadata: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: completed, failed or cancelled."""
        return self.status in FINAL

    @property
    def warnings(self) -> Sequence[str]:
        """What the result warns of: about the data of a training, or inputs that differ from it."""
        return _warnings(self.result)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Job":
        """Parse the JSON document."""
        return cls(
            id=document["job_id"],
            status=document["status"],
            kind=document.get("kind", ""),
            queue=document.get("queue"),
            priority=document.get("priority"),
            model=document.get("model"),
            attempt=document.get("attempt", 0),
            max_attempts=document.get("max_attempts"),
            progress=document.get("progress", 0.0),
            done=document.get("done", 0),
            total=document.get("total"),
            step=document.get("step"),
            estimated_completion=instant(document, "estimated_completion"),
            created_at=instant(document, "created_at"),
            started_at=instant(document, "started_at"),
            completed_at=instant(document, "completed_at"),
            run_at=instant(document, "run_at"),
            expires_at=instant(document, "expires_at"),
            cancel_requested=bool(document.get("cancel_requested")),
            result=document.get("result"),
            error=error_of(document),
            group_id=document.get("group_id"),
            dataset_id=document.get("dataset_id"),
            schedule_id=document.get("schedule_id"),
            fire_at=instant(document, "fire_at"),
            resubmitted_from=document.get("resubmitted_from"),
            gpus=document.get("gpus", 0),
            shards=document.get("shards"),
            parent_id=document.get("parent_id"),
            metadata=document.get("metadata") or {},
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a job, numbered from 1 within the job.

    >>> for event in client.follow(job):
    ...     print(event.seq, event.type, event.progress)
    1 created 0.0
    2 started 0.0
    3 progress 100.0
    4 completed 100.0
    """

    job_id: str
    seq: int
    type: str
    status: str
    at: datetime | None
    progress: float
    done: int
    total: int | None
    step: str | None
    attempt: int
    result: Mapping[str, Any] | None
    error: JobError | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    metrics: Mapping[str, Any] | None = None
    """The metrics of an epoch of a training: `epoch`, `train_loss`, `valid_loss` and others."""

    @property
    def is_final(self) -> bool:
        """Whether the job ended with this event; only a retry adds events after it."""
        return self.type in FINAL

    @property
    def warnings(self) -> Sequence[str]:
        """What the result warns of; empty before the end."""
        return _warnings(self.result)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Event":
        """Parse the JSON document."""
        return cls(
            job_id=document["job_id"],
            seq=int(document["seq"]),
            type=document["type"],
            status=document["status"],
            at=instant(document, "at"),
            progress=document.get("progress", 0.0),
            done=document.get("done", 0),
            total=document.get("total"),
            step=document.get("step"),
            attempt=document.get("attempt", 0),
            result=document.get("result"),
            error=error_of(document),
            raw=document,
            metrics=document.get("metrics"),
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits, runs or has ended. `code` is stable, `sentence` is for people.

    >>> client.explain(job).sentence
    'It is next: it starts as soon as a slot is free.'
    """

    job_id: str
    code: str
    sentence: str
    status: str
    queue: str | None
    position: int | None
    jobs_of_mine_ahead: int | None
    estimated_start_at: datetime | None
    estimated_completion: datetime | None
    facts: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Explanation":
        """Parse the JSON document."""
        return cls(
            job_id=document["job_id"],
            code=document["code"],
            sentence=document["sentence"],
            status=document["status"],
            queue=document.get("queue"),
            position=document.get("position"),
            jobs_of_mine_ahead=document.get("jobs_of_mine_ahead"),
            estimated_start_at=instant(document, "estimated_start_at"),
            estimated_completion=instant(document, "estimated_completion"),
            facts=document.get("facts") or {},
            raw=document,
        )


AnyJob = str | UUID | Submitted | Job
"""A job or its id."""


def job_id(job: AnyJob) -> str:
    """The id of a job."""
    return job.id if isinstance(job, Submitted | Job) else str(job)


def error_of(document: Mapping[str, Any]) -> JobError | None:
    """Parse the error in the JSON document of a job or a shard, if any."""
    error = document.get("error")
    return None if error is None else JobError.parse(error)


def _warnings(result: Mapping[str, Any] | None) -> Sequence[str]:
    return tuple((result or {}).get("warnings") or ())
