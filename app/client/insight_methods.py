"""The methods of both clients for what a job was given and has stored: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from app.client.data import Row
from app.client.insight import Ledger, ResultSummary
from app.client.logs import LogLevel, LogLine, LogQuery
from app.client.methods import AsyncMethods, Methods
from app.client.profiles import Profile
from app.client.shards import Shard, Status
from app.client.values import AnyJob


class InsightMethods(Methods):
    """The methods of `Headrace` for what a job was given and has stored."""

    def search_results(
        self,
        job: AnyJob,
        *,
        label: str | None = None,
        below: float | None = None,
        errors: bool | None = None,
        include_input: bool = False,
    ) -> Iterator[Row]:
        """Iterate over the results so far that match: with a label, a score below a bound, or an error.

        `errors=False` leaves out the rows with an error. The server reads all results of the job.
        """
        return self._iterate(self._core.search_results(job, label, below, errors, include_input))

    def result_summary(self, job: AnyJob) -> ResultSummary:
        """Return how many rows of a job that has ended have which label. Raises Conflict before its end."""
        return self._run(self._core.result_summary(job))

    def ledger(self, job: AnyJob) -> Ledger:
        """Return which attempt stored which batches of a job."""
        return self._run(self._core.ledger(job))

    def shards(self, job: AnyJob, *, status: Status | None = None) -> Iterator[Shard]:
        """Iterate over the shards of a job in the order of their rows; one that is not divided has none."""
        return self._iterate(self._core.shards(job, status))

    def logs(
        self,
        job: AnyJob,
        *,
        attempt: int | None = None,
        level: LogLevel | None = None,
        after: int = 0,
        tail: int | None = None,
        follow: bool = False,
    ) -> Iterator[LogLine]:
        """Iterate over the lines that the handler has written, those of a level or a more important one.

        With `tail`, begins with the last so many lines, at most 1000; with `follow`, waits for further ones
        until the job ends. Raises Gone if the results have expired.
        """
        return self._iterate(self._core.logs(job, LogQuery(attempt, level, after, tail), follow))

    def inputs(self, job: AnyJob, *, first_row: int = 0, limit: int = 20) -> Sequence[Any]:
        """Return input rows of a job, at most 100: as they were submitted, or as its dataset has them."""
        return self._run(self._core.inputs(job, first_row, limit))

    def profile(self, job: AnyJob, *, attempt: int | None = None, shard: int | None = None) -> Profile:
        """Return where an attempt spent its time; by default the last one that has a profile.

        Of a job with shards, it is an attempt at the one with the number `shard`; by default at any of them.
        The job must have been created with `profile=True`. Raises NotFound if there is no profile.
        """
        return self._run(self._core.profile(job, attempt, shard))

    def stacks(self, job: AnyJob, *, attempt: int | None = None, shard: int | None = None) -> str:
        """Return the stacks of a profile as flame graph tools read them, one in each line."""
        return self._run(self._core.stacks(job, attempt, shard))


class AsyncInsightMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for what a job was given and has stored."""

    def search_results(
        self,
        job: AnyJob,
        *,
        label: str | None = None,
        below: float | None = None,
        errors: bool | None = None,
        include_input: bool = False,
    ) -> AsyncIterator[Row]:
        """Iterate over the results so far that match: with a label, a score below a bound, or an error.

        `errors=False` leaves out the rows with an error. The server reads all results of the job.
        """
        return self._iterate(self._core.search_results(job, label, below, errors, include_input))

    async def result_summary(self, job: AnyJob) -> ResultSummary:
        """Return how many rows of a job that has ended have which label. Raises Conflict before its end."""
        return await self._run(self._core.result_summary(job))

    async def ledger(self, job: AnyJob) -> Ledger:
        """Return which attempt stored which batches of a job."""
        return await self._run(self._core.ledger(job))

    def shards(self, job: AnyJob, *, status: Status | None = None) -> AsyncIterator[Shard]:
        """Iterate over the shards of a job in the order of their rows; one that is not divided has none."""
        return self._iterate(self._core.shards(job, status))

    def logs(
        self,
        job: AnyJob,
        *,
        attempt: int | None = None,
        level: LogLevel | None = None,
        after: int = 0,
        tail: int | None = None,
        follow: bool = False,
    ) -> AsyncIterator[LogLine]:
        """Iterate over the lines that the handler has written, those of a level or a more important one.

        With `tail`, begins with the last so many lines, at most 1000; with `follow`, waits for further ones
        until the job ends. Raises Gone if the results have expired.
        """
        return self._iterate(self._core.logs(job, LogQuery(attempt, level, after, tail), follow))

    async def inputs(self, job: AnyJob, *, first_row: int = 0, limit: int = 20) -> Sequence[Any]:
        """Return input rows of a job, at most 100: as they were submitted, or as its dataset has them."""
        return await self._run(self._core.inputs(job, first_row, limit))

    async def profile(self, job: AnyJob, *, attempt: int | None = None, shard: int | None = None) -> Profile:
        """Return where an attempt spent its time; by default the last one that has a profile.

        Of a job with shards, it is an attempt at the one with the number `shard`; by default at any of them.
        The job must have been created with `profile=True`. Raises NotFound if there is no profile.
        """
        return await self._run(self._core.profile(job, attempt, shard))

    async def stacks(self, job: AnyJob, *, attempt: int | None = None, shard: int | None = None) -> str:
        """Return the stacks of a profile as flame graph tools read them, one in each line."""
        return await self._run(self._core.stacks(job, attempt, shard))
