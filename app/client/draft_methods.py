"""The methods of both clients for what comes before a job: the same, with and without await."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.client.drafts import DryRun, JobKind, JobRequest
from app.client.methods import AsyncMethods, Methods
from app.client.values import AnyJob


class DraftMethods(Methods):
    """The methods of `Headrace` for what comes before a job."""

    def kinds(self) -> Sequence[JobKind]:
        """Return the kinds of jobs that the server creates, those of plugins included."""
        return self._run(self._core.drafts.kinds())

    def request_of(self, job: AnyJob) -> JobRequest:
        """Return the request of a job, to change it and to create another job, without its rows.

        Raises Conflict if it cannot be restored, Gone if its rows were deleted.
        """
        return self._run(self._core.drafts.request_of(job))

    def dry_run(self, path: str, body: Mapping[str, Any]) -> DryRun:
        """Check a request as `create` would, and estimate when its job would start. Nothing is created.

        Raises what `create` raises.
        """
        return self._run(self._core.drafts.dry_run(path, body))


class AsyncDraftMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for what comes before a job."""

    async def kinds(self) -> Sequence[JobKind]:
        """Return the kinds of jobs that the server creates, those of plugins included."""
        return await self._run(self._core.drafts.kinds())

    async def request_of(self, job: AnyJob) -> JobRequest:
        """Return the request of a job, to change it and to create another job, without its rows.

        Raises Conflict if it cannot be restored, Gone if its rows were deleted.
        """
        return await self._run(self._core.drafts.request_of(job))

    async def dry_run(self, path: str, body: Mapping[str, Any]) -> DryRun:
        """Check a request as `create` would, and estimate when its job would start. Nothing is created.

        Raises what `create` raises.
        """
        return await self._run(self._core.drafts.dry_run(path, body))
