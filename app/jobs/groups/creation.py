"""How a group comes to be over HTTP: by a request for many jobs, or by one that spreads over many."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import Response, status

from app.core.metrics import JOBS_CREATED
from app.core.resources import Resources
from app.jobs import views
from app.jobs.errors import TooManyActiveJobs
from app.jobs.groups import service
from app.jobs.groups.schemas import GroupCreated
from app.jobs.kinds.kind import Kind
from app.jobs.publishing import publish_transition
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions


async def create(
    resources: Resources,
    quota: Quota,
    owner_id: UUID,
    jobs: Sequence[tuple[Kind, JobOptions]],
    *,
    key: str | None,
    digest: bytes,
    message: str,
    search: Mapping[str, Any] | None = None,
) -> Response:
    """Create all jobs or none, and tell of them. The same request under the same key gives the same group."""
    try:
        # A single job is let in without a transaction, but its group must not be there without it.
        async with quota.admit(owner_id, len(jobs)) as connection, connection.transaction():
            submitted = await service.submit(
                connection, resources.settings, owner_id, jobs, key=key, digest=digest, search=search
            )
    except TooManyActiveJobs:
        async with resources.database.connection() as connection:
            earlier = await service.find_earlier(connection, owner_id, key=key, digest=digest)
        if earlier is None:
            raise
        submitted = earlier
    for transition in submitted.transition:
        publish_transition(resources.hints, transition)
        JOBS_CREATED.labels(transition.kind, transition.queue).inc()
    here = f"/groups/{submitted.group_id}"
    headers = {"Location": here, **({"Idempotent-Replayed": "true"} if submitted.is_replay else {})}
    created = GroupCreated(
        group_id=submitted.group_id, job_ids=submitted.job_ids, message=message, poll_url=here
    )
    status_code = status.HTTP_200_OK if submitted.is_replay else status.HTTP_202_ACCEPTED
    return views.respond(created, status_code=status_code, headers=headers)
