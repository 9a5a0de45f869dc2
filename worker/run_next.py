"""One slot's work: take the next job of a queue, run it in a child, write down what comes of it.

    claim ─▶ Start ─▶ batches, each committed under the fence ─▶ done, failed, given back, stopped

Whatever stops a job from outside (a cancel, a limit, the fence, the end of the drain) does it by killing the
child and saying why; the conversation below then ends in `ChildDied` with that reason, and only there is
decided what to write. So there is one path out, however many ways lead to it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, assert_never
from uuid import UUID

import msgspec
import structlog

from app.core import failpoints, metrics
from app.core.backoff import delay_seconds
from app.core.config import Settings
from app.core.errors import AppError, DatabaseUnavailable
from app.core.files import StoredFile
from app.jobs.completions import COMPLETIONS, Completion
from app.jobs.kinds.kind import Kind
from app.jobs.states import Outcome
from app.jobs.transition_types import Batch, ClaimedJob, Report
from app.quotas.errors import QuotaExceeded
from worker.children import messages
from worker.children.messages import LocalFile, StopReason
from worker.children.pool import Child, ChildDied, ChildPool, ChildProtocolError, ChildStartFailed, KillReason
from worker.children.tenancy import tenancy_of
from worker.children.usage import MAX_FILES
from worker.claimer import Claimer
from worker.context import CHECKPOINT_FILE
from worker.files import FileFault, Files
from worker.lease import Lease
from worker.report_writer import Fenced, ReportWriter, Unstorable

MAX_RESULT_BYTES: Final = 1024 * 1024
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_STEP_CHARACTERS: Final = 200
"""A job's result and the data of its events are sent whole to everybody who looks at them."""

GATHER_SECONDS: Final = 0.005
"""A fraction of what a child may compute ahead, so that it does not stand still meanwhile."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed."""

    code: str
    message: str
    is_retryable: bool
    traceback: str | None = None


@dataclass
class Running:
    """One attempt that runs here, and the handle by which it is stopped from outside."""

    job: ClaimedJob
    child: Child

    def revoke_as_fenced(self) -> None:
        """Stop at once: the attempt is no longer ours."""
        self.child.kill(KillReason.FENCED)

    def revoke_as_cancelled(self) -> None:
        """Stop at once: the job is to be cancelled."""
        self.child.kill(KillReason.CANCELLED)

    def give_back(self) -> None:
        """Stop at once: the worker goes away."""
        self.child.kill(KillReason.RELEASED)

    def ask_to_stop(self, reason: StopReason) -> None:
        """Have the handler stop at its next commit."""
        self.child.send(messages.Stop(reason))


class Runner:
    """Runs jobs in the slots of one worker."""

    def __init__(
        self,
        settings: Settings,
        kinds: Mapping[str, Kind],
        claimer: Claimer,
        report_writer: ReportWriter,
        lease: Lease,
        children: ChildPool,
        files: Files,
    ) -> None:
        self._settings = settings
        self._kinds = kinds
        self._claimer = claimer
        self._report_writer = report_writer
        self._lease = lease
        self._children = children
        self._files = files
        # By attempt: a worker that was frozen may have claimed a job again before it learns that it lost it.
        self._running: dict[tuple[UUID, int], Running] = {}
        self._is_draining = False

    async def run_next(self, queue: str) -> bool:
        """Run the next job of a queue to the end of its attempt.

        False when none was there to claim, and during a drain, when nothing more is taken.
        """
        if self._is_draining:
            return False
        try:
            job = await self._claimer.claim(queue)
        except DatabaseUnavailable:
            return False
        if job is None:
            return False
        with structlog.contextvars.bound_contextvars(job_id=str(job.id), attempt=job.attempt):
            await self._run(job)
        return True

    def drain(self) -> None:
        """Have every running job stop at its next commit."""
        self._is_draining = True
        for running in self._running.values():
            running.ask_to_stop(StopReason.DRAIN)

    def give_everything_back(self) -> None:
        """Stop every running job at once; each is released with what it has committed."""
        for running in self._running.values():
            running.give_back()

    async def _run(self, job: ClaimedJob) -> None:
        started = perf_counter()
        metrics.SLOTS_BUSY.inc()
        try:
            # From here on, not only from the start of the handler: there may be a wait for a child.
            with self._lease.knowing(job.id, job.attempt):
                outcome = await self._attempt(job)
        finally:
            metrics.SLOTS_BUSY.dec()
        seconds = perf_counter() - started
        metrics.ATTEMPTS.labels(job.kind, outcome or "fenced").inc()
        metrics.ATTEMPT_SECONDS.labels(job.kind).observe(seconds)
        log.info("attempt_ended", kind=job.kind, outcome=outcome or "fenced", seconds=round(seconds, 3))

    async def _attempt(self, job: ClaimedJob) -> Outcome | None:
        """Run one attempt and write down its end. None: it was taken from us, there is nothing to write."""
        try:
            async with self._children.take(tenancy_of(job, self._kinds)) as child:
                running = Running(job, child)
                with self._lease.holding(job.id, job.attempt, running), self._watched(running):
                    try:
                        return await self._with_files(job, child)
                    except FileFault as fault:
                        child.kill(KillReason.CLOSING)
                        return await self._fail(job, Failure(fault.code, str(fault), fault.is_retryable))
                    except ChildDied as death:
                        return await self._settle_death(job, death)
                    except ChildProtocolError as error:
                        child.kill(KillReason.PROTOCOL)
                        return await self._fail(job, Failure("child_protocol_error", str(error), True))
                    except Fenced:
                        child.kill(KillReason.FENCED)
                        return None
                    except Unstorable as error:
                        child.kill(KillReason.PROTOCOL)
                        return await self._fail(job, Failure("unstorable_output", str(error), False))
                    except QuotaExceeded as error:
                        child.kill(KillReason.CLOSING)
                        return await self._fail(job, Failure(error.code, error.detail, False))
                    except AppError as error:  # a completion was refused
                        return await self._fail(job, Failure(error.code, error.detail, False))
        except ChildStartFailed as error:
            return await self._fail(job, Failure("child_start_failed", str(error), True))

    @contextmanager
    def _watched(self, running: Running) -> Iterator[None]:
        """Hold the attempt to its time limits, and within reach of a drain."""
        loop = asyncio.get_running_loop()
        job, child = running.job, running.child
        timers = (
            loop.call_later(job.soft_limit_seconds, running.ask_to_stop, StopReason.SOFT_LIMIT),
            loop.call_later(job.time_limit_seconds, child.kill, KillReason.TIME_LIMIT),
        )
        self._running[job.id, job.attempt] = running
        try:
            yield
        finally:
            del self._running[job.id, job.attempt]
            for timer in timers:
                timer.cancel()

    async def _with_files(self, job: ClaimedJob, child: Child) -> Outcome:
        """Bring the job's files, run it, and take away what it left."""
        wanted = (
            job.files if job.checkpoint_file is None else {**job.files, CHECKPOINT_FILE: job.checkpoint_file}
        )
        paths = await child.run_while_alive(self._files.fetch(wanted)) if wanted else {}
        try:
            self._admit(job, child, {file.key: paths[name] for name, file in wanted.items()})
            return await self._converse(job, child, _local_files(wanted, paths))
        finally:
            self._files.unpin(paths.values())
            await self._files.clear_scratch(job)

    def _admit(self, job: ClaimedJob, child: Child, paths: Mapping[str, Path]) -> None:
        """Give the job its child's room; a fresh child gets one, and is confined to it and to its files."""
        if not child.is_confined:
            room = self._files.create_child_folder(child.pid)
            child.confine(paths, room)
            # They stay as long as the child lives: it may open these, not what is downloaded in their place.
            held = self._files.pin(child.files.values())
            child.add_exit_callback(partial(self._files.unpin, held))
            child.add_exit_callback(partial(self._files.remove_child_folder, child.pid))
        self._files.assign_folder(job, child.pid)

    async def _converse(self, job: ClaimedJob, child: Child, files: dict[str, LocalFile]) -> Outcome:
        """Start the handler, commit what it computes, and write down how it ended."""
        child.send(
            messages.Start(
                job_id=job.id,
                attempt=job.attempt,
                kind=job.kind,
                params=job.params,
                payload=job.rows,
                total=job.total,
                resume_batch=job.next_batch,
                done=job.done,
                checkpoint=job.checkpoint,
                errors=job.errors,
                files=files,
                scratch=None if child.folder is None else str(self._files.scratch(job)),
            )
        )
        if self._is_draining:  # it was claimed while the drain began
            child.send(messages.Stop(StopReason.DRAIN))
        next_batch = job.next_batch
        checkpoint_file = job.checkpoint_file
        while True:
            batches, last = await _ready(child)
            if last is not None:
                self._lease.settling(job.id, job.attempt)
            done = last if isinstance(last, messages.Done) else None
            if done is not None:
                failpoints.reach("complete:before")
            if batches or done is not None:
                report = await self._report(job, next_batch, batches, done)
                await self._report_writer.advance(report, await self._completion(job, done))
                next_batch += len(batches)
                if checkpoint_file is not None and report.checkpoint_file is not None:
                    await self._files.delete([checkpoint_file.key])
                checkpoint_file = report.checkpoint_file or checkpoint_file
            for batch in batches:
                metrics.BATCH_SECONDS.labels(job.kind).observe(batch.seconds)
            match last:
                case None:
                    child.send(messages.Committed(next_batch - 1))
                case messages.Done():
                    failpoints.reach("complete:after")
                    return Outcome.COMPLETED
                case messages.Yielded():
                    await self._report_writer.release(job.id, job.attempt)
                    return Outcome.RELEASED
                case messages.Failed():
                    return await self._fail(
                        job, Failure(last.code, last.message, last.is_retryable, last.traceback)
                    )
                case never:
                    assert_never(never)

    async def _report(
        self, job: ClaimedJob, first_batch: int, batches: list[messages.Batch], done: messages.Done | None
    ) -> Report:
        """What the batches say, with what is large in storage already."""
        for position, batch in enumerate(batches):
            if batch.index != first_batch + position:
                raise ChildProtocolError(f"batch {batch.index} came where {first_batch + position} was due")
        saved = [
            batch for batch in batches if batch.checkpoint is not None or batch.checkpoint_file is not None
        ]
        checkpoint_file = None
        if saved and saved[-1].checkpoint_file is not None:
            name = saved[-1].checkpoint_file
            checkpoint_file = await self._files.store(job, "jobs", name, name)
        stored = [
            Batch(
                batch.first_row,
                batch.row_count,
                batch.output,
                batch.step[:MAX_STEP_CHARACTERS],
                b"{}" if batch.data is None else msgspec.json.encode(batch.data),
                errors=batch.errors,
            )
            for batch in batches
        ]
        if any(len(batch.data) > MAX_EVENT_BYTES for batch in stored):
            raise Unstorable(f"the data of a batch has more than {MAX_EVENT_BYTES} bytes")
        if done is not None and len(done.result) > MAX_RESULT_BYTES:
            raise Unstorable(f"the result has more than {MAX_RESULT_BYTES} bytes")
        return Report(
            job_id=job.id,
            attempt=job.attempt,
            first_batch=first_batch,
            batches=await self._files.offload(job, first_batch, stored),
            checkpoint=saved[-1].checkpoint if saved else None,
            checkpoint_file=checkpoint_file,
            result=None if done is None else done.result,
            is_early=done is not None and done.is_early,
            owner_id=job.owner_id,
        )

    async def _completion(self, job: ClaimedJob, done: messages.Done | None) -> Completion | None:
        """What else is to be written when the job completes, in the same transaction."""
        complete = COMPLETIONS.get(job.kind)
        if done is None or complete is None:
            return None
        artifacts = {
            name: await self._files.store(job, "artifacts", name, local_name)
            for name, local_name in done.artifacts.items()
        }
        return partial(complete, job=job, artifacts=artifacts)

    async def _settle_death(self, job: ClaimedJob, death: ChildDied) -> Outcome | None:
        match death.reason:
            case KillReason.FENCED:
                return None
            case KillReason.CANCELLED:
                await self._report_writer.stop(job.id, job.attempt)
                return Outcome.CANCELLED
            case KillReason.RELEASED:
                await self._report_writer.release(job.id, job.attempt)
                return Outcome.RELEASED
            case KillReason.TIME_LIMIT:
                seconds = job.time_limit_seconds
                return await self._fail(
                    job, Failure("time_limit", f"The attempt ran longer than its limit of {seconds} s.", True)
                )
            case KillReason.MEMORY_LIMIT:
                limit = self._settings.child_memory_limit_bytes
                return await self._fail(
                    job, Failure("memory_limit", f"The attempt used more than {limit} bytes of memory.", True)
                )
            case KillReason.DISK_LIMIT:
                limit = self._settings.child_max_scratch_bytes
                message = f"The attempt wrote more than {limit} bytes, or {MAX_FILES} files, into its folder."
                return await self._fail(job, Failure("disk_limit", message, False))
            case KillReason.PROTOCOL | KillReason.CLOSING | None:
                return await self._fail(job, Failure("child_died", str(death), True))
            case never:
                assert_never(never)

    async def _fail(self, job: ClaimedJob, failure: Failure) -> Outcome:
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
        )
        return Outcome.FAILED


End = messages.Done | messages.Yielded | messages.Failed


async def _ready(child: Child) -> tuple[list[messages.Batch], End | None]:
    """What the child has to say: waits for something, then takes all that is there, up to an end.

    Batches that took less time than it takes to commit one are waited for a little, so that they go together.
    """
    batches: list[messages.Batch] = []
    end = await _take(child, await child.receive(), batches)
    if end is None and sum(batch.seconds for batch in batches) < GATHER_SECONDS:
        await asyncio.sleep(GATHER_SECONDS)
        end = await _take(child, child.receive_nowait(), batches)
    return batches, end


async def _take(
    child: Child, message: messages.FromChild | None, batches: list[messages.Batch]
) -> End | None:
    """Add this message and all that are there already to the batches, at least one, up to an end."""
    while message is not None:
        match message:
            case messages.Batch():
                batches.append(message)
            case messages.Log():
                log.info("handler_log", level=message.level, text=message.text)
            case messages.Done() | messages.Yielded() | messages.Failed():
                return message
            case messages.Ready():
                raise ChildProtocolError("the child said Ready in mid-job")
            case never:
                assert_never(never)
        message = child.receive_nowait() if batches else await child.receive()
    return None


def _local_files(wanted: Mapping[str, StoredFile], paths: Mapping[str, Path]) -> dict[str, LocalFile]:
    return {name: LocalFile(str(paths[name]), file.sha256) for name, file in wanted.items()}
