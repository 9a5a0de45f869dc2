"""The work of one slot: claim the next job of a queue, run it in a child, write how the attempt ended.

    claim ─▶ Start ─▶ batches, each committed under the fence ─▶ completed, failed, released, cancelled

Whatever stops a job from outside (a cancellation, a limit, the fence, the end of the drain) kills the child
with a reason. The conversation then ends in `ChildDied` with that reason, and only `_end_by_death` decides
what to write. So there is one path out, however many ways lead to it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import assert_never
from uuid import UUID

import structlog

from app.core import metrics, tracing
from app.core.backoff import delay_seconds
from app.core.config import Settings
from app.core.errors import AppError, DatabaseUnavailable
from app.core.files import StoredFile
from app.jobs.completions import COMPLETIONS, KindCompletion
from app.jobs.counting import FENCED, count_attempt
from app.jobs.faults import fault_of
from app.jobs.kinds.kind import Kind
from app.jobs.states import Outcome
from app.jobs.transition_types import NOT_MEASURED, ClaimedJob, Measurements
from app.quotas.errors import QuotaExceeded
from worker import spans
from worker.children import messages
from worker.children.inside import InsideChild, InsideHandler
from worker.children.messages import LocalFile, StopReason
from worker.children.pool import Child, ChildDied, ChildProtocolError, ChildStartFailed, KillReason
from worker.children.tenancy import tenancy_of
from worker.claimer import Claimer
from worker.context import CHECKPOINT_FILE
from worker.conversation import Conversation
from worker.engines.engine import Engine, PlaceFault
from worker.failures import Failure
from worker.files import FileFault, Files
from worker.handler_log import HandlerLogs
from worker.lease import Lease
from worker.measuring import measure
from worker.report_writer import Fenced, ReportWriter, Unstorable
from worker.reports import Reports
from worker.running_attempt import RunningAttempt
from worker.spans import Phases

log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs in the slots of one worker."""

    def __init__(
        self,
        settings: Settings,
        kinds: Mapping[str, Kind],
        claimer: Claimer,
        report_writer: ReportWriter,
        lease: Lease,
        engine: Engine,
        files: Files,
        handler_logs: HandlerLogs,
        completions: Mapping[str, KindCompletion] = COMPLETIONS,
        inside: Mapping[str, InsideHandler] = MappingProxyType({}),
    ) -> None:
        """`inside` are the handlers that run in this process, by kind; all others run in children."""
        self._settings = settings
        self._kinds = kinds
        self._claimer = claimer
        self._report_writer = report_writer
        self._lease = lease
        self._engine = engine
        self._files = files
        self._handler_logs = handler_logs
        self._inside = inside
        self._reports = Reports(files, completions)
        # By attempt: a worker that was frozen may claim a job again before it learns that it has lost it.
        self._running: dict[tuple[UUID, int], RunningAttempt] = {}
        self._is_draining = False

    async def run_next(self, queue: str) -> bool:
        """Run the next job of a queue to the end of its attempt.

        Return False if there was no job to claim, and during a drain.
        """
        async with self._engine.slot(self._count_due) as is_reserved:
            return is_reserved and await self._claim_and_run(queue)

    async def _count_due(self, limit: int) -> int:
        try:
            return await self._claimer.count_due(self._lease.worker.queues, limit)
        except DatabaseUnavailable:
            return 0

    async def _claim_and_run(self, queue: str) -> bool:
        try:
            with self._lease.claiming():
                job = await self._claimer.claim(queue)
        except DatabaseUnavailable:
            return False
        if job is None:
            return False
        with (
            structlog.contextvars.bound_contextvars(job_id=str(job.id), attempt=job.attempt),
            spans.of_attempt(job),
        ):
            await self._run(job)
        return True

    def drain(self) -> None:
        """Claim nothing more, and ask every running job to stop at its next commit."""
        self._is_draining = True
        self._claimer.close()
        for running in self._running.values():
            running.request_stop(StopReason.DRAIN)

    def release_all(self) -> None:
        """Stop every running job at once. Each is released with what it has committed."""
        for running in self._running.values():
            running.release()

    async def _run(self, job: ClaimedJob) -> None:
        started = perf_counter()
        metrics.SLOTS_BUSY.inc()
        try:
            # From here on, not only from the start of the handler, because it may wait for a free child.
            with self._lease.tracking_claim(job.id, job.attempt):
                outcome = await self._attempt(job)
        finally:
            metrics.SLOTS_BUSY.dec()
        seconds = perf_counter() - started
        if outcome is not Outcome.FAILED:  # `_fail` counts those, because it knows the fault
            count_attempt(job.kind, outcome or FENCED)
        metrics.ATTEMPT_SECONDS.labels(job.kind).observe(seconds, metrics.exemplar())
        log.info("attempt_ended", kind=job.kind, outcome=outcome or FENCED, seconds=round(seconds, 3))

    async def _attempt(self, job: ClaimedJob) -> Outcome | None:
        """Run one attempt and record its outcome. Return None without recording if the worker has lost it."""
        try:
            async with self._take_child(job) as child:
                running = RunningAttempt(job, child)
                with self._lease.holding(job.id, job.attempt, running), self._watch(running):
                    try:
                        return await self._with_files(job, child)
                    except ChildDied as death:
                        return await self._end_by_death(job, death, child.measurements)
                    except Fenced:
                        tracing.mark_failed(KillReason.FENCED)
                        child.kill(KillReason.FENCED)
                        return None
                    except (ChildProtocolError, Unstorable) as error:
                        await _end(child, KillReason.PROTOCOL)
                        return await self._fail(job, Failure.from_error(error), child.measurements)
                    except (FileFault, PlaceFault, QuotaExceeded) as error:
                        await _end(child, KillReason.CLOSING)
                        return await self._fail(job, Failure.from_error(error), child.measurements)
                    except AppError as error:  # from the completion; the handler has already ended
                        return await self._fail(job, Failure.from_error(error), child.measurements)
        except ChildStartFailed as error:
            return await self._fail(job, Failure.from_error(error))

    def _take_child(self, job: ClaimedJob) -> AbstractAsyncContextManager[Child | InsideChild]:
        handler = self._inside.get(job.kind)
        if handler is not None:
            return InsideChild(handler)
        return self._engine.take(tenancy_of(job, self._kinds))

    @contextmanager
    def _watch(self, running: RunningAttempt) -> Iterator[None]:
        """Enforce the time limits of the attempt, and let a drain reach it."""
        loop = asyncio.get_running_loop()
        job, child = running.job, running.child
        timers = (
            loop.call_later(job.soft_limit_seconds, running.request_stop, StopReason.SOFT_LIMIT),
            loop.call_later(job.time_limit_seconds, child.kill, KillReason.TIME_LIMIT),
        )
        self._running[job.id, job.attempt] = running
        try:
            yield
        finally:
            del self._running[job.id, job.attempt]
            for timer in timers:
                timer.cancel()

    async def _with_files(self, job: ClaimedJob, child: Child | InsideChild) -> Outcome:
        """Fetch the files of the job, run it, and clear its scratch folder."""
        if isinstance(child, InsideChild):  # these kinds have no files, and write none
            return await self._run_in_child(job, child, {})
        wanted = (
            job.files if job.checkpoint_file is None else {**job.files, CHECKPOINT_FILE: job.checkpoint_file}
        )
        paths = await child.run_while_alive(self._files.fetch(wanted)) if wanted else {}
        try:
            there = paths
            if child.place is not None:
                there = await child.run_while_alive(self._files.bring(child, wanted, paths))
            await self._files.admit(job, child, {file.key: there[name] for name, file in wanted.items()})
            return await self._run_in_child(job, child, _local_files(wanted, there))
        finally:
            self._files.unpin(paths.values())
            await self._files.clear_scratch(job)

    async def _run_in_child(
        self, job: ClaimedJob, child: Child | InsideChild, files: dict[str, LocalFile]
    ) -> Outcome:
        """Run the handler to its end, and record the outcome."""
        with Phases(job) as phases, self._handler_logs.opened(job.id, job.attempt) as handler_log:
            conversation = Conversation(
                job, child, self._files, self._reports, self._report_writer, self._lease, phases, handler_log
            )
            conversation.start(files)
            if self._is_draining:  # the drain began during the claim
                child.send(messages.Stop(StopReason.DRAIN))
            end = await conversation.commit_until_end()
        match end:
            case messages.Done():
                return Outcome.COMPLETED
            case messages.Yielded(delay_seconds=delay_seconds):
                measurements = await measure(job, child, self._files, end)
                # A child process may be in the hands of a user's file, and does not decide when it is due.
                delay_seconds = delay_seconds if isinstance(child, InsideChild) else 0.0
                await self._report_writer.release(job.id, job.attempt, delay_seconds, measurements)
                return Outcome.RELEASED
            case messages.Failed():
                measurements = await measure(job, child, self._files, end)
                return await self._fail(job, Failure.from_message(end), measurements)
            case never:
                assert_never(never)

    async def _end_by_death(
        self, job: ClaimedJob, death: ChildDied, measurements: Measurements
    ) -> Outcome | None:
        """Record the end of an attempt whose child has died, according to the kill reason."""
        match death.reason:
            case KillReason.FENCED:
                tracing.mark_failed(KillReason.FENCED)
                return None
            case KillReason.CANCELLED:
                await self._report_writer.stop(job.id, job.attempt, measurements)
                return Outcome.CANCELLED
            case KillReason.RELEASED:
                await self._report_writer.release(job.id, job.attempt, measurements=measurements)
                return Outcome.RELEASED
            case (
                KillReason.TIME_LIMIT
                | KillReason.MEMORY_LIMIT
                | KillReason.DISK_LIMIT
                | KillReason.PROTOCOL
                | KillReason.CLOSING
                | None
            ):
                return await self._fail(job, Failure.from_death(death, job, self._settings), measurements)
            case never:
                assert_never(never)

    async def _fail(
        self, job: ClaimedJob, failure: Failure, measurements: Measurements = NOT_MEASURED
    ) -> Outcome:
        tracing.mark_failed(failure.code)
        log.warning("attempt_failed", code=failure.code, reason=failure.message, traceback=failure.traceback)
        policy = self._kinds[job.kind].retry
        is_retryable = failure.is_retryable and failure.code not in policy.never
        await self._report_writer.fail(
            job_id=job.id,
            attempt=job.attempt,
            error={"code": failure.code, "message": failure.message, "retryable": is_retryable},
            traceback=failure.traceback,
            is_retryable=is_retryable,
            delay_seconds=delay_seconds(
                job.failures + 1,
                base=policy.base_seconds or self._settings.retry_base_seconds,
                maximum=policy.maximum_seconds or self._settings.retry_max_seconds,
            ),
            measurements=measurements,
        )
        count_attempt(job.kind, Outcome.FAILED, fault_of(failure.code))
        return Outcome.FAILED


async def _end(child: Child | InsideChild, reason: KillReason) -> None:
    """Kill a child, and wait until it is known what it has used: it may have exited by itself before."""
    child.kill(reason)
    if isinstance(child, Child):
        await child.wait_exited()


def _local_files(wanted: Mapping[str, StoredFile], paths: Mapping[str, Path]) -> dict[str, LocalFile]:
    return {name: LocalFile(str(paths[name]), file.sha256) for name, file in wanted.items()}
