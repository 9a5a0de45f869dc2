"""Limits on what a user may request of one job. Operators and administrators have only those of the API."""

from collections.abc import Iterable

from app.auth.identities import Identity
from app.core.config import Settings
from app.jobs.errors import JobLimitExceeded
from app.jobs.requests import JobOptions
from app.jobs.states import HEAD_START, Priority


def ensure_allowed(settings: Settings, user: Identity, requests: Iterable[JobOptions]) -> None:
    """Raise JobLimitExceeded for the first request that exceeds the limits of its user."""
    if user.sees_everything:
        return
    highest = Priority(settings.max_job_priority)
    for request in requests:
        if (request.time_limit_seconds or 0) > settings.max_job_seconds:
            raise JobLimitExceeded(
                field="time_limit_seconds", limit=settings.max_job_seconds, got=request.time_limit_seconds
            )
        if (request.max_attempts or 0) > settings.max_job_attempts:
            raise JobLimitExceeded(
                field="max_attempts", limit=settings.max_job_attempts, got=request.max_attempts
            )
        if HEAD_START[request.priority] > HEAD_START[highest]:
            raise JobLimitExceeded(field="priority", limit=str(highest), got=str(request.priority))
