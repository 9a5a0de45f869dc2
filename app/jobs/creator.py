"""Creates jobs for requests. Jobs that are submitted at the same time share a statement and its commit."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from app.core import tracing
from app.core.grouping import Grouping
from app.core.resources import Resources
from app.http.offloading import offload
from app.jobs import service
from app.jobs.errors import TooManyActiveJobs
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.service import Submitted
from app.jobs.states import Status
from app.jobs.transition_types import NewJob
from app.jobs.unit_of_work import unit_of_work

MAX_SHARED_BYTES: Final = 64 * 1024
"""A job with more bytes of rows has a statement of its own, so that small ones do not wait for it."""


class JobCreator:
    """Creates the jobs of one process."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._store: Grouping[NewJob, None] = Grouping(self._store_together)

    async def run_forever(self) -> None:
        """Create jobs together for requests that come while others are created, until cancelled."""
        await self._store.run_forever()

    async def submit(
        self, quota: Quota, owner_id: UUID, kind: Kind, body: JobOptions, key: str | None = None
    ) -> Submitted:
        """Create a job, or find the one that the same request with the same key created before.

        Raises what `service.submit` and `Quota.admit_counted` raise.
        """
        settings = self._resources.settings
        is_free = quota.is_free(owner_id)
        if is_free and key is None:
            new = await offload(service.plan_alone, settings, owner_id, kind, body)
            if new is not None:
                return await self._create(new)
        connections = self._resources.database.connection() if is_free else quota.admit_counted(owner_id)
        try:
            async with unit_of_work(self._resources.hints, connections, failpoint="create") as unit:
                return await service.submit(unit, settings, owner_id, kind, body, key, quota=quota)
        except TooManyActiveJobs:
            async with self._resources.database.connection() as connection:
                earlier = await service.find_earlier(connection, owner_id, kind, body, key)
            if earlier is None:
                raise
            return earlier

    async def _create(self, new: NewJob) -> Submitted:
        with tracing.sending(new.queue, job_id=new.id) as send:
            if send.trace_context is not None:
                new = replace(new, trace_context=send.trace_context)
            if len(new.rows or b"") > MAX_SHARED_BYTES:
                await self._store_together((new,))
            else:
                await self._store(new)
        return Submitted(new.id, Status.PENDING)

    async def _store_together(self, jobs: Sequence[NewJob]) -> Sequence[None]:
        connections = self._resources.database.connection()
        async with unit_of_work(self._resources.hints, connections, failpoint="create") as unit:
            await service.store(unit, jobs)
        return [None] * len(jobs)
