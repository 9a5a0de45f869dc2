"""A kind that counts, enough for most tests, and one kind for each fault."""

from typing import Any, Final

import msgspec
from pydantic import Field

from app.core.sandbox.permissions import Permission
from app.http.body import CleanStr
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences, RetryPolicy
from app.jobs.requests import JobOptions

SHORT_RETRIES: Final = RetryPolicy(base_seconds=0.05, maximum_seconds=0.2, never=frozenset({"refused"}))


class CountRequest(JobOptions):
    """Count in batches, with CPU time spent in each."""

    batches: int = Field(10, ge=1, le=100_000)
    rows_per_batch: int = Field(1, ge=1, le=1000)
    work_ms: float = Field(0.0, ge=0, le=60_000, description="CPU time that each batch really takes.")
    heeds_stop: bool = Field(True, description="Whether it stops when it is asked to.")
    lines_per_batch: int = Field(
        0, ge=0, le=1_000_000, description="Lines that each batch writes to the log."
    )
    counter_path: CleanStr | None = Field(
        None, description="A file that gets a line `job_id index pid` for each batch that was computed."
    )


class CountParams(msgspec.Struct, frozen=True):
    """Params of `count`."""

    batches: int
    rows_per_batch: int
    work_ms: float
    heeds_stop: bool
    counter_path: str | None
    lines_per_batch: int = 0


def plan_count(request: CountRequest, _found: ResolvedReferences) -> JobPlan:
    """Return the plan of a `count` job."""
    params = CountParams(
        request.batches,
        request.rows_per_batch,
        request.work_ms,
        request.heeds_stop,
        request.counter_path,
        request.lines_per_batch,
    )
    return JobPlan(msgspec.json.encode(params), total=request.batches * request.rows_per_batch)


def prediction(row: int) -> dict[str, int]:
    """The output of `count` for one row. The sum needs the checkpoint, so a lost one shows."""
    return {"row": row, "square": row * row, "sum": row * (row + 1) // 2}


class FaultRequest(JobOptions):
    """Fail after `batches` good batches in the first `bad_attempts` attempts; later ones complete."""

    batches: int = Field(0, ge=0, le=1000)
    bad_attempts: int = Field(1000, ge=0, le=1000)


class FaultParams(msgspec.Struct, frozen=True):
    """Params of all faults."""

    batches: int
    bad_attempts: int


def plan_fault(request: FaultRequest, _found: ResolvedReferences) -> JobPlan:
    """Return the plan of a faulty job."""
    return JobPlan(msgspec.json.encode(FaultParams(request.batches, request.bad_attempts)))


FAULTS: Final = {
    "loop": "Loop for ever",
    "sleep_in_c": "Sleep in a C call that keeps the interpreter to itself",
    "crash": "Raise an exception that nobody foresaw",
    "refuse": "Raise an error that is never retried",
    "sys_exit": "Ask the interpreter to exit",
    "exit": "End the process",
    "segfault": "Read memory that is not there",
    "kill_itself": "Die as if the kernel had run out of memory",
    "grow": "Take more and more memory",
    "grow_at_once": "Ask for far too much memory in one piece",
    "fill": "Write one file after the other",
    "print_garbage": "Print what is no text",
    "scribble": "Write garbage to every open descriptor",
    "return_nonsense": "Return what is no JSON",
    "commit_nonsense": "Commit what is no JSON",
    "leave_helper": "Start a program that outlives the process, and die",
}
"""The faults by the name of their kind."""

PERMISSIONS: Final = {"leave_helper": frozenset({Permission.PROCESSES})}

KINDS: Final[dict[str, Kind]] = {
    "count": Kind(
        name="count",
        summary="Count",
        request=CountRequest,
        plan=plan_count,
        retry=SHORT_RETRIES,
        permissions=frozenset({Permission.FILES}),  # for `counter_path`
    ),
    **{
        name: Kind(
            name=name,
            summary=summary,
            request=FaultRequest,
            plan=plan_fault,
            retry=SHORT_RETRIES,
            permissions=PERMISSIONS.get(name, frozenset()),
        )
        for name, summary in FAULTS.items()
    },
}


def counted(batch: int, rows_per_batch: int = 1) -> list[dict[str, Any]]:
    """The outputs of one whole batch of `count`."""
    return [prediction(row) for row in range(batch * rows_per_batch, (batch + 1) * rows_per_batch)]
