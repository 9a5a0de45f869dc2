"""The spans of an attempt. A child reports its phases, and this process makes the spans of them."""

from contextlib import AbstractContextManager
from time import time_ns
from types import TracebackType
from typing import Final, Self

import msgspec

from app.core import tracing
from app.jobs.transition_types import ClaimedJob
from worker.children.messages import Phase, PhaseEnded, PhaseStarted

MAX_PHASES: Final = 8
"""A child may run code of a user, who could send phases without end."""


class _Model(msgspec.Struct):
    """What a span says about the model of a job."""

    version: int
    runtime: str


class _Params(msgspec.Struct):
    """The params of a job that uses a model."""

    model: _Model


def of_attempt(job: ClaimedJob) -> AbstractContextManager[None]:
    """Return a context manager that records the attempt, if the submission of its job was traced."""
    return tracing.processing(
        job.trace_context,
        queue=job.queue,
        kind=job.kind,
        job_id=job.id,
        attempt=job.attempt,
        waited_seconds=job.waited_seconds,
    )


class Phases:
    """Records the phases of one attempt. At the end of the body, ends the phase that a dead child was in."""

    def __init__(self, job: ClaimedJob) -> None:
        self.are_traced = tracing.current() is not None
        self._job = job
        self._count = 0
        self._started: PhaseStarted | None = None
        self._since_ns = time_ns()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.end(PhaseEnded(time_ns()))

    def start(self, started: PhaseStarted) -> None:
        """A phase has begun. It ends the one before, if that has not ended."""
        self.end(PhaseEnded(started.at_ns))
        self._started = started

    def end(self, ended: PhaseEnded) -> None:
        """The phase is over; nothing happens if there is none."""
        started, self._started = self._started, None
        if started is None or not self.are_traced or self._count >= MAX_PHASES:
            return
        self._count += 1
        start_ns = self._within(started.at_ns)
        attributes = self._attributes(started.phase, ended.rows)
        tracing.record(started.phase, start_ns, max(start_ns, self._within(ended.at_ns)), attributes)

    def _within(self, at_ns: int) -> int:
        """Return a child's time, or the nearest one within the attempt."""
        return min(max(at_ns, self._since_ns), time_ns())

    def _attributes(self, phase: Phase, rows: int | None) -> dict[str, str | int | float]:
        found: dict[str, str | int | float] = {}
        if rows is not None and phase is not Phase.LOAD_MODEL:
            found["headrace.rows"] = rows
        if phase is not Phase.TRAIN:
            # From the job and not from the child, whose word this is not.
            try:
                model = msgspec.json.decode(self._job.params, type=_Params).model
            except msgspec.MsgspecError:  # of a plugin's kind, with params of its own
                return found
            found["headrace.model.version"] = model.version
            found["headrace.model.runtime"] = model.runtime
        return found
