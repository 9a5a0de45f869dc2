"""Group commit: writes the reports of all running attempts in one statement, each of them once.

While Postgres is unavailable the reports are held, and their attempts with them. When it answers again, the
state of each job shows which reports were applied.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from time import perf_counter
from typing import Any, TypeVar, assert_never
from uuid import UUID

import asyncpg
import msgspec
import structlog

from app.core import metrics
from app.core.backoff import delay_seconds
from app.core.database import Database
from app.core.errors import AppError, DatabaseUnavailable
from app.core.hints import Hints
from app.jobs import queries, transitions
from app.jobs.completions import Completion
from app.jobs.queries import AttemptState
from app.jobs.shards.rollup import roll_up_finished
from app.jobs.states import FINAL, Status
from app.jobs.transition_types import NOT_MEASURED, Measurements, Report, TransitionResult
from app.jobs.unit_of_work import UnitOfWork, unit_of_work
from app.quotas.errors import QuotaExceeded
from app.quotas.service import StorageQuota

MAX_REPORTS_AT_ONCE = 64

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Fenced(Exception):
    """The worker has lost the attempt; nothing was written."""


class Unstorable(Exception):
    """Postgres rejects the content of a report, and would reject it every time."""


class _Cancelled(Exception):
    """The job is being cancelled, so what its completion wrote must be rolled back."""


class ReportOutcome(Enum):
    """Whether a report whose reply was lost has been applied."""

    APPLIED = auto()
    NOT_APPLIED = auto()
    FENCED = auto()


@dataclass(frozen=True)
class _Waiting:
    report: Report
    answer: asyncio.Future[None]
    completion: Completion | None


class ReportWriter:
    """Commits batches and ends attempts, for all slots of one worker."""

    def __init__(
        self, database: Database, hints: Hints, worker_id: UUID, quota: StorageQuota | None = None
    ) -> None:
        self._database = database
        self._quota = quota
        self._hints = hints
        self._worker_id = worker_id
        self._waiting: list[_Waiting] = []
        self._has_waiting = asyncio.Event()

    async def advance(self, report: Report, completion: Completion | None = None) -> None:
        """Commit a report, and with a final one the job's completion.

        Returns when it is durable. Raises Fenced or Unstorable if it never will be, and the AppError with
        which the completion was rejected.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(report, answer, completion))
        self._has_waiting.set()
        await answer

    async def write_forever(self) -> None:
        """Write waiting reports, one statement at a time, until cancelled."""
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
        return waiting.completion is not None or self._must_be_checked(waiting)

    def _must_be_checked(self, waiting: _Waiting) -> bool:
        """Whether the report might exceed the owner's quota: near it, or with files of any size."""
        owner_id = waiting.report.owner_id
        if owner_id is None or self._quota is None:
            return False
        return waiting.completion is not None or not self._quota.is_far_below(owner_id)

    async def fail(
        self,
        *,
        job_id: UUID,
        attempt: int,
        error: dict[str, Any],
        traceback: str | None,
        is_retryable: bool,
        delay_seconds: float,
        measurements: Measurements = NOT_MEASURED,
    ) -> None:
        """End an attempt that failed."""
        await self._end(
            "fail",
            lambda unit: transitions.fail(
                unit,
                job_id=job_id,
                attempt=attempt,
                error=error,
                traceback=traceback,
                is_retryable=is_retryable,
                delay_seconds=delay_seconds,
                measurements=measurements,
            ),
        )

    async def release(
        self,
        job_id: UUID,
        attempt: int,
        delay_seconds: float = 0.0,
        measurements: Measurements = NOT_MEASURED,
    ) -> None:
        """End an attempt unfinished, so that the job is pending again, due after a delay."""
        await self._end(
            "release",
            lambda unit: transitions.release(
                unit,
                job_id=job_id,
                attempt=attempt,
                delay_seconds=delay_seconds,
                measurements=measurements,
            ),
        )

    async def stop(self, job_id: UUID, attempt: int, measurements: Measurements = NOT_MEASURED) -> None:
        """End an attempt whose job is being cancelled."""
        await self._end(
            "stop",
            lambda unit: transitions.stop(unit, job_id=job_id, attempt=attempt, measurements=measurements),
        )

    async def _end(
        self, name: str, change: Callable[[UnitOfWork], Awaitable[TransitionResult | None]]
    ) -> None:
        # Sent again after a lost reply, without a check: the fence makes the second one return nothing, and
        # it makes no difference here whether the first one or another process ended the attempt.
        async def end() -> TransitionResult | None:
            async with unit_of_work(self._hints, self._database.connection(), failpoint=name) as unit:
                return await change(unit)

        ended = await self._persist(end)
        if ended is not None:
            await roll_up_finished(self._database, self._hints, [ended])

    async def _write(self, group: list[_Waiting]) -> None:
        try:
            await self._write_together(group)
        except DatabaseUnavailable:
            log.warning("reports_held", reports=len(group))
            await self._write_held(group)
        except asyncpg.PostgresError as error:
            await self._write_separately(group, error)
        except QuotaExceeded as error:  # a report that is checked is alone in its group
            self._reject(group[0], error)
        except Exception as error:  # only a completion raises others, and its report is alone in its group
            if group[0].completion is None:
                raise
            self._reject(group[0], error)

    async def _write_together(self, group: list[_Waiting]) -> None:
        reports = [waiting.report for waiting in group]
        started = perf_counter()
        async with unit_of_work(self._hints, self._database.connection(), failpoint="advance") as unit:
            if len(group) == 1:
                async with self._check_quota(unit, group[0]):
                    applied = await self._advance(unit, group[0])
            else:
                applied = await transitions.advance(unit, worker_id=self._worker_id, reports=reports)
            metrics.COMMIT_SECONDS.observe(perf_counter() - started)
            # Before the hints are queued at the end of this block: a slot that is free now takes its next
            # token in the same round trip.
            for waiting in group:
                self._answer(waiting, is_applied=waiting.report.job_id in applied)
        metrics.COMMIT_BATCHES.observe(sum(len(report.batches) for report in reports))
        await roll_up_finished(self._database, self._hints, applied.values())

    @asynccontextmanager
    async def _check_quota(self, unit: UnitOfWork, waiting: _Waiting) -> AsyncIterator[None]:
        """Check what the body writes against the owner's quota. Raises QuotaExceeded, and rolls it back."""
        owner_id = waiting.report.owner_id
        if owner_id is None or self._quota is None or not self._must_be_checked(waiting):
            yield
            return
        async with unit.transaction(), self._quota.checked(unit.connection, owner_id):
            yield

    async def _advance(self, unit: UnitOfWork, waiting: _Waiting) -> Mapping[UUID, TransitionResult]:
        if waiting.completion is None:
            return await transitions.advance(unit, worker_id=self._worker_id, reports=[waiting.report])
        return await self._complete(unit, waiting.report, waiting.completion)

    async def _complete(
        self, unit: UnitOfWork, report: Report, completion: Completion
    ) -> Mapping[UUID, TransitionResult]:
        """Apply a final report and its completion, both or neither."""
        try:
            async with unit.transaction():
                result = await completion(unit.connection, msgspec.json.decode(report.result or b"{}"))
                whole = replace(report, result=msgspec.json.encode(result))
                applied = await transitions.advance(unit, worker_id=self._worker_id, reports=[whole])
                if report.job_id not in applied:
                    raise Fenced
                if applied[report.job_id].status is not Status.COMPLETED:
                    raise _Cancelled
        except Fenced:
            return {}
        except _Cancelled:
            return await transitions.advance(unit, worker_id=self._worker_id, reports=[report])
        return applied

    def _answer(self, waiting: _Waiting, *, is_applied: bool) -> None:
        if waiting.answer.done():
            return  # the attempt that waited was cancelled
        if is_applied:
            waiting.answer.set_result(None)
        else:
            waiting.answer.set_exception(Fenced())

    def _reject(self, waiting: _Waiting, error: Exception) -> None:
        """Fail the attempt. A broken completion must not take the worker down."""
        if not isinstance(error, AppError):
            log.error("completion_failed", job_id=waiting.report.job_id, exc_info=error)
            error = Unstorable("the result of the job could not be registered")
        if not waiting.answer.done():
            waiting.answer.set_exception(error)

    async def _write_held(self, group: list[_Waiting]) -> None:
        """Find out which reports were applied although their reply was lost, and write the others again."""

        async def read() -> dict[UUID, AttemptState]:
            async with self._database.connection() as connection:
                return await queries.attempt_states(connection, [waiting.report.job_id for waiting in group])

        attempt_states = await self._persist(read)
        not_applied = []
        for waiting in group:
            match outcome_of(waiting.report, attempt_states.get(waiting.report.job_id)):
                case ReportOutcome.APPLIED:
                    self._answer(waiting, is_applied=True)
                case ReportOutcome.NOT_APPLIED:
                    not_applied.append(waiting)
                case ReportOutcome.FENCED:
                    self._answer(waiting, is_applied=False)
                case never:
                    assert_never(never)
        log.info("reports_resumed", reports=len(group), sent_again=len(not_applied))
        if not_applied:
            await self._write(not_applied)

    async def _write_separately(self, group: list[_Waiting], error: asyncpg.PostgresError) -> None:
        """Write each report on its own, so that one that Postgres rejects does not fail the others."""
        if len(group) == 1:
            log.error("report_refused", job_id=group[0].report.job_id, error=str(error))
            if not group[0].answer.done():
                group[0].answer.set_exception(Unstorable(str(error)))
            return
        for waiting in group:
            await self._write([waiting])

    async def _persist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Repeat an action until Postgres is available."""
        failures = 0
        while True:
            try:
                return await action()
            except DatabaseUnavailable:
                failures += 1
                await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=1.0))


def outcome_of(report: Report, state: AttemptState | None) -> ReportOutcome:
    """Return whether a report was applied, from the state its job has now."""
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
