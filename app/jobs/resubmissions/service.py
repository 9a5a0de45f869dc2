"""Restores the request of a job from what is stored: each kind has the inverse of its plan."""

from collections.abc import Mapping
from typing import Any, Final

from app.core.config import Settings
from app.http.links import link
from app.jobs import lane
from app.jobs.errors import RequestNotRestored, ResultsExpired
from app.jobs.job import Job
from app.jobs.kinds.kind import Kind, RestoreError, StoredRequest
from app.jobs.requests import GPU_QUEUE
from app.jobs.resubmissions.queries import StoredOptions
from app.jobs.resubmissions.schemas import JobRequest

UNKNOWN_KIND: Final = "this server does not know its kind."
NO_REQUEST: Final = "its kind has no request of its own."
NOT_OFFERED: Final = "its kind does not offer that."


def restore(settings: Settings, kinds: Mapping[str, Kind], job: Job, stored: StoredOptions) -> JobRequest:
    """Return the body that creates a job like this one, without its rows and its start.

    Raises RequestNotRestored, and ResultsExpired if the rows were deleted with the results.
    """
    kind = _kind(kinds, job)
    assert kind.restore is not None  # noqa: S101  # `_kind` has checked it
    try:
        restored = kind.restore(
            StoredRequest(
                params=job.params,
                total=job.total,
                shards=job.shards,
                max_failed_shards=job.max_failed_shards,
                dataset_id=job.dataset_id,
                files=stored.files,
                rows=stored.rows,
                has_text_rows=stored.has_text_rows,
            )
        )
    except RestoreError as error:
        if job.is_pruned and not stored.has_rows:
            raise ResultsExpired(job_id=str(job.id)) from None
        raise RequestNotRestored(job_id=str(job.id), reason=str(error)) from None
    if restored.rows_member is not None and not stored.has_rows:
        raise ResultsExpired(job_id=str(job.id))
    body = {**restored.body, **_options(settings, kind, job, stored)}
    return JobRequest(
        job_id=job.id,
        kind=job.kind,
        path=link(f"/jobs/{kind.path}"),
        request={name: value for name, value in body.items() if not _is_default(kind, name, value)},
        rows_member=restored.rows_member,
    )


def _kind(kinds: Mapping[str, Kind], job: Job) -> Kind:
    kind = kinds.get(job.kind)
    if kind is None:
        raise RequestNotRestored(job_id=str(job.id), reason=UNKNOWN_KIND)
    if kind.is_internal:
        raise RequestNotRestored(job_id=str(job.id), reason=NO_REQUEST)
    if kind.restore is None:
        raise RequestNotRestored(job_id=str(job.id), reason=NOT_OFFERED)
    return kind


def _options(settings: Settings, kind: Kind, job: Job, stored: StoredOptions) -> dict[str, Any]:
    """Return the options of every kind, None for those that are what a request without them gets today."""
    time_limit = min(kind.time_limit_seconds, settings.max_job_seconds)
    soft_limit = min(kind.soft_limit_seconds, stored.time_limit_seconds)
    defaults = {
        "queue": (job.queue, GPU_QUEUE if stored.gpus else kind.queue),
        "max_attempts": (job.max_attempts, min(kind.max_attempts, settings.max_job_attempts)),
        "soft_limit_seconds": (stored.soft_limit_seconds, soft_limit),
        "time_limit_seconds": (stored.time_limit_seconds, time_limit),
        "expires_in_seconds": (stored.retention_seconds, settings.result_retention_seconds),
    }
    options = {name: None if value == default else value for name, (value, default) in defaults.items()}
    if job.queue == lane.QUEUE:  # only synchronous predictions wait there
        options["queue"] = None
    return {
        **options,
        "priority": job.priority,
        "resources": {"gpus": stored.gpus} if stored.gpus else None,
        "profile": stored.is_profiled,
        "metadata": job.metadata,
    }


def _is_default(kind: Kind, name: str, value: object) -> bool:
    field = kind.request.model_fields.get(name)
    if field is None or field.is_required():
        return False
    return bool(value == field.get_default(call_default_factory=True))
