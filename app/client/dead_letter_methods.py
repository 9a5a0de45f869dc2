"""The methods of both clients for dead letters: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from app.client.dead_letters import LetterFilters, LetterGroup
from app.client.methods import AsyncMethods, Methods
from app.client.values import AnyJob, Job


class DeadLetterMethods(Methods):
    """The methods of `Headrace` for dead letters."""

    def dead_letters(self, *, page_size: int = 100, **filters: Unpack[LetterFilters]) -> Iterator[Job]:
        """Iterate over your dead letters, newest first: jobs that failed for good.

        Filters are `code`, `kind`, `model` and `queue`; `model=""` means jobs that use no version of a model.
        """
        return self._iterate(self._core.dead_letters.list(filters, page_size))

    def dead_letter_summary(self, **filters: Unpack[LetterFilters]) -> Sequence[LetterGroup]:
        """Return how many dead letters have the same error code, kind and model."""
        return self._run(self._core.dead_letters.summary(filters))

    def retry_dead_letters(
        self, jobs: Sequence[AnyJob] | None = None, **filters: Unpack[LetterFilters]
    ) -> Sequence[str]:
        """Retry these dead letters, or those that failed until now and match the filters; return their ids.

        Raises TooManyRequests if your quota of active jobs has no room for the next 1000 of them.
        """
        return self._run(self._core.dead_letters.handle("retry", jobs, filters))

    def dismiss_dead_letters(
        self,
        jobs: Sequence[AnyJob] | None = None,
        *,
        reason: str | None = None,
        **filters: Unpack[LetterFilters],
    ) -> Sequence[str]:
        """Dismiss these dead letters, or those that failed until now and match; return their ids.

        The `reason` is shown with each job.
        """
        return self._run(self._core.dead_letters.handle("dismiss", jobs, filters, reason))


class AsyncDeadLetterMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for dead letters."""

    def dead_letters(self, *, page_size: int = 100, **filters: Unpack[LetterFilters]) -> AsyncIterator[Job]:
        """Iterate over your dead letters, newest first: jobs that failed for good.

        Filters are `code`, `kind`, `model` and `queue`; `model=""` means jobs that use no version of a model.
        """
        return self._iterate(self._core.dead_letters.list(filters, page_size))

    async def dead_letter_summary(self, **filters: Unpack[LetterFilters]) -> Sequence[LetterGroup]:
        """Return how many dead letters have the same error code, kind and model."""
        return await self._run(self._core.dead_letters.summary(filters))

    async def retry_dead_letters(
        self, jobs: Sequence[AnyJob] | None = None, **filters: Unpack[LetterFilters]
    ) -> Sequence[str]:
        """Retry these dead letters, or those that failed until now and match the filters; return their ids.

        Raises TooManyRequests if your quota of active jobs has no room for the next 1000 of them.
        """
        return await self._run(self._core.dead_letters.handle("retry", jobs, filters))

    async def dismiss_dead_letters(
        self,
        jobs: Sequence[AnyJob] | None = None,
        *,
        reason: str | None = None,
        **filters: Unpack[LetterFilters],
    ) -> Sequence[str]:
        """Dismiss these dead letters, or those that failed until now and match; return their ids.

        The `reason` is shown with each job.
        """
        return await self._run(self._core.dead_letters.handle("dismiss", jobs, filters, reason))
