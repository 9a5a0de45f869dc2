"""Runs one attempt in a child: sends Start, commits the batches that it sends, and returns how it ended."""

import asyncio
from typing import Final, assert_never

import structlog

from app.core import failpoints, metrics
from app.jobs.counting import count_rows
from app.jobs.transition_types import NOT_MEASURED, ClaimedJob
from worker.children import messages
from worker.children.encoding import MAX_TEXT_CHARACTERS
from worker.children.inside import InsideChild
from worker.children.messages import LocalFile
from worker.children.pool import Child, ChildProtocolError
from worker.files import Files
from worker.lease import Lease
from worker.measuring import measure
from worker.report_writer import ReportWriter
from worker.reports import Reports
from worker.spans import Phases

GATHER_SECONDS: Final = 0.005
"""Wait for further batches; much shorter than a child may run ahead, so that it does not idle meanwhile."""

MAX_LEVEL_CHARACTERS: Final = 16
MAX_HANDLER_LINES: Final = 1000
"""Lines of a handler that one attempt may write to the worker's log."""

End = messages.Done | messages.Yielded | messages.Failed

log = structlog.get_logger(__name__)


class Conversation:
    """Starts the handler in a child, and commits what it computes."""

    def __init__(
        self,
        job: ClaimedJob,
        child: Child | InsideChild,
        files: Files,
        reports: Reports,
        report_writer: ReportWriter,
        lease: Lease,
        phases: Phases,
    ) -> None:
        self._job = job
        self._child = child
        self._files = files
        self._reports = reports
        self._report_writer = report_writer
        self._lease = lease
        self._phases = phases
        self._next_batch = job.next_batch
        self._checkpoint_file = job.checkpoint_file
        self._handler_log = _HandlerLog()

    def start(self, files: dict[str, LocalFile]) -> None:
        """Start the handler with these files."""
        job = self._job
        self._child.send(
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
                scratch=None if self._child.folder is None else str(self._files.scratch(job)),
                is_traced=self._phases.are_traced,
                failures=job.failures,
                is_profiled=job.is_profiled,
            )
        )

    async def commit_until_end(self) -> End:
        """Commit batches and the result until the handler ends, and return how it ended.

        Raises ChildDied, ChildProtocolError, FileFault, Fenced, Unstorable, and the AppError with which a
        quota or a completion rejects a report.
        """
        while True:
            batches, end = await self._receive()
            if end is not None:
                self._lease.mark_ending(self._job.id, self._job.attempt)
            if isinstance(end, messages.Done):
                await self._complete(batches, end)
            elif batches:
                await self._commit(batches)
            if end is not None:
                return end
            self._child.send(messages.Committed(self._next_batch - 1))

    async def _complete(self, batches: list[messages.Batch], done: messages.Done) -> None:
        failpoints.reach("complete:before")
        await self._commit(batches, done)
        failpoints.reach("complete:after")

    async def _commit(self, batches: list[messages.Batch], done: messages.Done | None = None) -> None:
        measurements = NOT_MEASURED
        if done is not None:
            measurements = await measure(self._job, self._child, self._files, done)
        report = await self._reports.report(self._job, self._next_batch, batches, done, measurements)
        completion = None if done is None else await self._reports.completion(self._job, done)
        await self._report_writer.advance(report, completion)
        self._next_batch += len(batches)
        if report.checkpoint_file is not None:
            if self._checkpoint_file is not None:
                await self._files.delete([self._checkpoint_file.key])
            self._checkpoint_file = report.checkpoint_file
        count_rows(self._job.kind, sum(batch.row_count for batch in batches))
        for batch in batches:
            metrics.BATCH_SECONDS.labels(self._job.kind).observe(batch.seconds)

    async def _receive(self) -> tuple[list[messages.Batch], End | None]:
        """Wait for a message, and return all batches received so far, up to an end.

        Batches that took less time than a commit takes are delayed a little, so that they are committed
        together.
        """
        batches: list[messages.Batch] = []
        end = await self._take(await self._child.receive(), batches)
        if end is None and sum(batch.seconds for batch in batches) < GATHER_SECONDS:
            await asyncio.sleep(GATHER_SECONDS)
            end = await self._take(self._child.receive_nowait(), batches)
        return batches, end

    async def _take(self, message: messages.FromChild | None, batches: list[messages.Batch]) -> End | None:
        """Add this message and all that follow to the batches, at least one, up to an end."""
        while message is not None:
            match message:
                case messages.Batch():
                    batches.append(message)
                case messages.Log():
                    self._handler_log.write(message)
                case messages.PhaseStarted():
                    self._phases.start(message)
                case messages.PhaseEnded():
                    self._phases.end(message)
                case messages.Done() | messages.Yielded() | messages.Failed():
                    return message
                case messages.Ready():
                    raise ChildProtocolError("the child sent Ready during a job")
                case never:
                    assert_never(never)
            message = self._child.receive_nowait() if batches else await self._child.receive()
        return None


class _HandlerLog:
    """Writes the lines of one attempt's handler to the worker's log, up to a limit."""

    def __init__(self) -> None:
        self._lines = 0

    def write(self, line: messages.Log) -> None:
        self._lines += 1
        if self._lines <= MAX_HANDLER_LINES:
            # The level is the handler's word for it. That of the record is ours: an ERROR needs an operator.
            log.info(
                "handler_log",
                handler_level=line.level[:MAX_LEVEL_CHARACTERS],
                text=line.text[:MAX_TEXT_CHARACTERS],
            )
        elif self._lines == MAX_HANDLER_LINES + 1:
            log.info("handler_log_stopped", limit=MAX_HANDLER_LINES)
