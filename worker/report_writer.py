"""Where this worker writes down what its attempts report: many in one statement, none of them twice.

Reports of different jobs that come together go together. While Postgres is away they are held, and their
attempts with them, until it answers again and says what became of each.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from time import perf_counter
from typing import Any, TypeVar, assert_never
from uuid import UUID

import asyncpg
import msgspec
import structlog

from app.core import failpoints, metrics
from app.core.backoff import delay_seconds
from app.core.database import Database
from app.core.errors import AppError, DatabaseUnavailable
from app.core.hints import Hints
from app.jobs import queries, transitions
from app.jobs.completions import Completion
from app.jobs.publishing import publish_transition
from app.jobs.queries import AttemptState
from app.jobs.states import FINAL, Status
from app.jobs.transition_types import Report, TransitionResult
from app.quotas.errors import QuotaExceeded
from app.quotas.service import StorageQuota

MAX_REPORTS_AT_ONCE = 64

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Fenced(Exception):
    """The attempt is no longer this worker's; nothing of it was written."""


class Unstorable(Exception):
    """Postgres refuses the content of a report, and would refuse it each time."""


class _Cancelled(Exception):
    """The job was to be completed, but its cancel was asked for: what its completion wrote must go."""


class ReportOutcome(Enum):
    """What became of a report whose reply was lost."""

    APPLIED = auto()
    NOT_APPLIED = auto()
    FENCED = auto()


@dataclass(frozen=True)
class _Waiting:
    report: Report
    answer: asyncio.Future[TransitionResult | None]
    completion: Completion | None


class ReportWriter:
    """Commits batches and ends attempts, for all slots of one worker."""

    def __init__(
        self, database: Database, hints: Hints, worker_id: UUID, quota: StorageQuota | None = None
    ) -> None:
        self._database = database
        self._quota = quota or StorageQuota(0)
        self._hints = hints
        self._worker_id = worker_id
        self._waiting: list[_Waiting] = []
        self._has_waiting = asyncio.Event()

    async def advance(self, report: Report, completion: Completion | None = None) -> None:
        """Commit a report, a final one together with its completion.

        Returns when it is durable; raises Fenced or Unstorable if it never will be, and the AppError by which
        the completion was refused.
        """
        answer: asyncio.Future[TransitionResult | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(report, answer, completion))
        self._has_waiting.set()
        if (transition := await answer) is not None and transition.status.is_final:
            metrics.JOBS_ENDED.labels(transition.kind, transition.status).inc()

    async def write_forever(self) -> None:
        """Write what waits, one statement at a time, until cancelled."""
        while True:
            await self._has_waiting.wait()
            group = self._waiting[:MAX_REPORTS_AT_ONCE]
            del self._waiting[: len(group)]
            if not self._waiting:
                self._has_waiting.clear()
            together: list[_Waiting] = []
            alone: list[_Waiting] = []
            for waiting in group:
                (alone if self._is_alone(waiting) else together).append(waiting)
            if together:
                await self._write(together)
            for waiting in alone:
                await self._write([waiting])

    def _is_alone(self, waiting: _Waiting) -> bool:
        """Whether a report is written in a transaction of its own."""
        return waiting.completion is not None or self._must_be_checked(waiting.report)

    def _must_be_checked(self, report: Report) -> bool:
        """Whether what a report stores may be more than its owner may store."""
        return report.owner_id is not None and not self._quota.is_far_below(report.owner_id)

    async def fail(
        self,
        *,
        job_id: UUID,
        attempt: int,
        error: dict[str, Any],
        traceback: str | None,
        is_retryable: bool,
        delay_seconds: float,
    ) -> None:
        """End an attempt that failed."""
        await self._end(
            "fail",
            lambda connection: transitions.fail(
                connection,
                job_id=job_id,
                attempt=attempt,
                error=error,
                traceback=traceback,
                is_retryable=is_retryable,
                delay_seconds=delay_seconds,
            ),
        )

    async def release(self, job_id: UUID, attempt: int) -> None:
        """Give a job back unfinished."""
        await self._end(
            "release", lambda connection: transitions.release(connection, job_id=job_id, attempt=attempt)
        )

    async def stop(self, job_id: UUID, attempt: int) -> None:
        """End an attempt whose job is to be cancelled."""
        await self._end(
            "stop", lambda connection: transitions.stop(connection, job_id=job_id, attempt=attempt)
        )

    async def _end(
        self, name: str, change: Callable[[asyncpg.Connection], Awaitable[TransitionResult | None]]
    ) -> None:
        # Sent again after a lost reply, without asking: the fence makes the second one an empty answer,
        # and whether it was the first or somebody else that ended the attempt makes no difference here.
        failpoints.reach(f"{name}:before")
        transition = await self._persist(change)
        failpoints.reach(f"{name}:after")
        if transition is None:
            return
        publish_transition(self._hints, transition)
        if transition.status.is_final:
            metrics.JOBS_ENDED.labels(transition.kind, transition.status).inc()

    async def _write(self, group: list[_Waiting]) -> None:
        try:
            await self._write_together(group)
        except DatabaseUnavailable:
            log.warning("reports_held", reports=len(group))
            await self._write_held(group)
        except asyncpg.PostgresError as error:
            await self._write_apart(group, error)
        except QuotaExceeded as error:  # a report that is checked is written alone
            self._refuse(group[0], error)
        except Exception as error:  # only a completion raises something else, and that is written alone
            if group[0].completion is None:
                raise
            self._refuse(group[0], error)

    async def _write_together(self, group: list[_Waiting]) -> None:
        reports = [waiting.report for waiting in group]
        started = perf_counter()
        failpoints.reach("advance:before")
        async with self._database.connection() as connection:
            if len(group) == 1:
                async with self._checked(connection, reports[0]):
                    transition = await self._advance(connection, group[0])
            else:
                transition = await transitions.advance(connection, worker_id=self._worker_id, reports=reports)
        failpoints.reach("advance:after")
        metrics.COMMIT_SECONDS.observe(perf_counter() - started)
        metrics.COMMIT_BATCHES.observe(sum(len(report.batches) for report in reports))
        for waiting in group:
            self._answer(waiting, transition.get(waiting.report.job_id))

    @asynccontextmanager
    async def _checked(self, connection: asyncpg.Connection, report: Report) -> AsyncIterator[None]:
        """Hold what the body writes to the owner's quota. Raises QuotaExceeded, and nothing of it is kept."""
        if report.owner_id is None or not self._must_be_checked(report):
            yield
            return
        async with connection.transaction(), self._quota.checked(connection, report.owner_id):
            yield

    async def _advance(
        self, connection: asyncpg.Connection, waiting: _Waiting
    ) -> dict[UUID, TransitionResult]:
        if waiting.completion is None:
            return await transitions.advance(connection, worker_id=self._worker_id, reports=[waiting.report])
        return await self._complete(connection, waiting.report, waiting.completion)

    async def _complete(
        self, connection: asyncpg.Connection, report: Report, completion: Completion
    ) -> dict[UUID, TransitionResult]:
        """Apply a final report and its completion, both or neither."""
        try:
            async with connection.transaction():
                result = await completion(connection, msgspec.json.decode(report.result or b"{}"))
                whole = replace(report, result=msgspec.json.encode(result))
                transition = await transitions.advance(connection, worker_id=self._worker_id, reports=[whole])
                if report.job_id not in transition:
                    raise Fenced
                if transition[report.job_id].status is not Status.COMPLETED:
                    raise _Cancelled
        except Fenced:
            return {}
        except _Cancelled:
            return await transitions.advance(connection, worker_id=self._worker_id, reports=[report])
        return transition

    def _answer(self, waiting: _Waiting, transition: TransitionResult | None) -> None:
        if transition is not None:
            publish_transition(self._hints, transition)
        if waiting.answer.done():
            return  # whoever waited was cancelled
        if transition is None:
            waiting.answer.set_exception(Fenced())
        else:
            waiting.answer.set_result(transition)

    def _refuse(self, waiting: _Waiting, error: Exception) -> None:
        """A completion must not take the worker with it, whatever is wrong with it."""
        if not isinstance(error, AppError):
            log.error("completion_failed", job_id=waiting.report.job_id, exc_info=error)
            error = Unstorable("what the job has made could not be registered")
        if not waiting.answer.done():
            waiting.answer.set_exception(error)

    async def _write_held(self, group: list[_Waiting]) -> None:
        """Find out what became of reports whose reply was lost, and send again what was not applied."""
        attempt_states = await self._persist(
            lambda connection: queries.attempt_states(
                connection, [waiting.report.job_id for waiting in group]
            )
        )
        again = []
        for waiting in group:
            match outcome_of(waiting.report, attempt_states.get(waiting.report.job_id)):
                case ReportOutcome.APPLIED:
                    if not waiting.answer.done():
                        waiting.answer.set_result(None)
                case ReportOutcome.NOT_APPLIED:
                    again.append(waiting)
                case ReportOutcome.FENCED:
                    self._answer(waiting, None)
                case never:
                    assert_never(never)
        log.info("reports_resumed", reports=len(group), sent_again=len(again))
        if again:
            await self._write(again)

    async def _write_apart(self, group: list[_Waiting], error: asyncpg.PostgresError) -> None:
        """One report of a group that Postgres refuses must not spoil the others."""
        if len(group) == 1:
            log.error("report_refused", job_id=group[0].report.job_id, error=str(error))
            if not group[0].answer.done():
                group[0].answer.set_exception(Unstorable(str(error)))
            return
        for waiting in group:
            await self._write([waiting])

    async def _persist(self, action: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do something in Postgres however long it takes until Postgres is there."""
        failures = 0
        while True:
            try:
                async with self._database.connection() as connection:
                    return await action(connection)
            except DatabaseUnavailable:
                failures += 1
                await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=1.0))


def outcome_of(report: Report, state: AttemptState | None) -> ReportOutcome:
    """What became of a report, told from where its job stands now."""
    if state is None or state.attempt != report.attempt:
        return ReportOutcome.FENCED
    if report.is_final and state.status in FINAL:
        return ReportOutcome.APPLIED
    if state.status is not Status.RUNNING:
        return ReportOutcome.FENCED
    if state.next_batch == report.first_batch:
        return ReportOutcome.NOT_APPLIED
    if not report.is_final and state.next_batch == report.first_batch + len(report.batches):
        return ReportOutcome.APPLIED
    return ReportOutcome.FENCED
