"""Runs one attempt in a child: sends Start, commits the batches that it sends, and returns how it ended."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Final, assert_never

from app.core import failpoints, metrics
from app.jobs.counting import count_rows
from app.jobs.transition_types import NOT_MEASURED, ClaimedJob
from worker.children import messages
from worker.children.inside import InsideChild
from worker.children.messages import LocalFile
from worker.children.pool import Child, ChildProtocolError
from worker.context import RUN_AHEAD_SECONDS
from worker.files import Files
from worker.handler_log import HandlerLog
from worker.lease import Lease
from worker.measuring import measure
from worker.report_writer import ReportWriter
from worker.reports import Reports
from worker.spans import Phases

GATHER_SECONDS: Final = 0.005
"""Batches that took less time to compute wait this long for further ones before they are committed."""

MAX_GATHERED_SECONDS: Final = 0.012
"""After the first commit they wait until so much was computed, if the child need not wait meanwhile."""

MAX_BYTES_LEFT_UNREAD: Final = 4096
"""While batches wait or are written, further ones stay in the socket if none of them is larger: it has room
for as many of those as a child may send."""

LINES_AT_ONCE: Final = 1000
FLOOD_PAUSE_SECONDS: Final = 0.01
"""A pause after so many lines of a handler's log, about as long as they take, so that others go on."""

End = messages.Done | messages.Yielded | messages.Failed


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
        handler_log: HandlerLog,
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
        self._handler_log = handler_log
        self._commit_seconds: float | None = None

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
                first_row=job.first_row,
            )
        )

    async def commit_until_end(self) -> End:
        """Commit batches and the result until the handler ends, and return how it ended.

        The lines of the handler's log are stored before its attempt ends in any way. Raises ChildDied,
        ChildProtocolError, FileFault, Fenced, Unstorable, and the AppError with which a quota or a completion
        rejects a report.
        """
        try:
            return await self._commit_until_end()
        except Exception:
            await self._handler_log.flush_at_end()
            raise

    async def _commit_until_end(self) -> End:
        while True:
            batches, end = await self._receive()
            if end is not None:
                await self._handler_log.flush_at_end()
                self._lease.mark_ending(self._job.id, self._job.attempt)
            if isinstance(end, messages.Done):
                await self._complete(batches, end)
            elif batches:
                with self._left_unread(batches):
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
        started = perf_counter()
        await self._report_writer.advance(report, completion)
        self._commit_seconds = perf_counter() - started
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
        if end is not None or (seconds := self._seconds_to_gather(batches)) <= 0:
            return batches, end
        if self._commit_seconds is None:
            return batches, await self._gather_until_end(batches, seconds)
        with self._left_unread(batches):
            await asyncio.sleep(seconds)
        await self._child.poll()
        return batches, await self._take(self._child.receive_nowait(), batches)

    async def _gather_until_end(self, batches: list[messages.Batch], seconds: float) -> End | None:
        """Add what comes in this time, up to an end: that of a job with one batch follows it at once."""
        until = perf_counter() + seconds
        while (left := until - perf_counter()) > 0 and await self._child.wait_at_most(left):
            if (end := await self._take(self._child.receive_nowait(), batches)) is not None:
                return end
        return None

    def _left_unread(self, batches: Sequence[messages.Batch]) -> AbstractContextManager[None]:
        """Leave what the child sends after these batches unread if it is likely to be many small ones."""
        are_small = all(_bytes(batch) <= MAX_BYTES_LEFT_UNREAD for batch in batches)
        are_many = _seconds(batches) < RUN_AHEAD_SECONDS
        return self._child.left_unread() if are_small and are_many else nullcontext()

    def _seconds_to_gather(self, batches: Iterable[messages.Batch]) -> float:
        """Return how long these batches wait for further ones."""
        computed = _seconds(batches)
        if self._commit_seconds is None:
            return GATHER_SECONDS if computed < GATHER_SECONDS else 0.0
        # The child runs ahead for the time of the commit, and for some of the next one.
        ahead = RUN_AHEAD_SECONDS - 2 * self._commit_seconds
        return min(MAX_GATHERED_SECONDS, ahead) - computed

    async def _take(self, message: messages.FromChild | None, batches: list[messages.Batch]) -> End | None:
        """Add this message and all that follow to the batches, at least one, up to an end."""
        while message is not None:
            match message:
                case messages.Batch():
                    batches.append(message)
                case messages.Log():
                    self._handler_log.write(message)
                    if self._handler_log.lines % LINES_AT_ONCE == 0:
                        await asyncio.sleep(FLOOD_PAUSE_SECONDS)
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


def _bytes(batch: messages.Batch) -> int:
    return len(batch.output) + len(batch.checkpoint or b"")


def _seconds(batches: Iterable[messages.Batch]) -> float:
    return sum(batch.seconds for batch in batches)
