"""The creation of a group over HTTP: by a bulk request, or by a request that fans out to many jobs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import Response, status

from app.core.resources import Resources
from app.http.links import link
from app.jobs import views
from app.jobs.errors import TooManyActiveJobs
from app.jobs.groups import service
from app.jobs.groups.schemas import GroupCreated
from app.jobs.groups.service import GroupSubmitted
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.unit_of_work import unit_of_work


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
    member: str | None = None,
) -> Response:
    """Create all jobs or none. The same request with the same key returns the same group."""
    submitted = await submit(
        resources, quota, owner_id, jobs, key=key, digest=digest, search=search, member=member
    )
    here = link(f"/groups/{submitted.group_id}")
    headers = {"Location": here, **({"Idempotent-Replayed": "true"} if submitted.is_replay else {})}
    created = GroupCreated(
        group_id=submitted.group_id, job_ids=submitted.job_ids, message=message, poll_url=here
    )
    status_code = status.HTTP_200_OK if submitted.is_replay else status.HTTP_202_ACCEPTED
    return views.respond(created, status_code=status_code, headers=headers)


async def submit(
    resources: Resources,
    quota: Quota,
    owner_id: UUID,
    jobs: Sequence[tuple[Kind, JobOptions]],
    *,
    key: str | None,
    digest: bytes,
    search: Mapping[str, Any] | None = None,
    member: str | None = None,
) -> GroupSubmitted:
    """Create all jobs or none, or find the group that the same request with the same key created before.

    `member` is the list in the body that the jobs are made of, to which errors refer; None if each is made of
    the whole body.
    """
    try:
        async with unit_of_work(resources.hints, _transaction(quota, owner_id, len(jobs))) as unit:
            return await service.submit(
                unit,
                resources.settings,
                owner_id,
                jobs,
                key=key,
                digest=digest,
                search=search,
                member=member,
                quota=quota,
            )
    except TooManyActiveJobs:
        async with resources.database.connection() as connection:
            earlier = await service.find_earlier(connection, owner_id, key=key, digest=digest)
        if earlier is None:
            raise
        return earlier


@asynccontextmanager
async def _transaction(quota: Quota, owner_id: UUID, jobs: int) -> AsyncIterator[asyncpg.Connection]:
    """Admit the jobs in a transaction, even a single one, which must not exist without its group."""
    async with quota.admit(owner_id, jobs) as connection, connection.transaction():
        yield connection
