"""What a gated job is told."""

from typing import Final

import msgspec
from pydantic import Field

from app.http.body import CleanStr
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences, RestoredRequest, StoredRequest
from app.jobs.requests import JobOptions


class GatedRequest(JobOptions):
    """So many batches of one row, each only when the file at `gate_path` has so many bytes.

    A deaf job does not stop when it is asked to.
    Before each, so many lines are written to the log, of all levels in turn, that end with `text`.
    """

    batches: int = Field(ge=1, le=1000)
    gate_path: CleanStr
    is_deaf: bool = False
    lines: int = Field(0, ge=0, le=100_000)
    text: CleanStr = ""


class GatedParams(msgspec.Struct, frozen=True):
    """The same, for the handler."""

    batches: int
    gate_path: str
    is_deaf: bool = False
    lines: int = 0
    text: str = ""


def plan(request: GatedRequest, _found: ResolvedReferences) -> JobPlan:
    """Nothing can be wrong with it."""
    params = GatedParams(request.batches, request.gate_path, request.is_deaf, request.lines, request.text)
    return JobPlan(msgspec.json.encode(params), total=request.batches)


def restore(stored: StoredRequest) -> RestoredRequest:
    """All of it is in the params."""
    return RestoredRequest(dict(stored.params))


KINDS: Final[dict[str, Kind]] = {
    "gated": Kind(
        name="gated",
        summary="Go as far as the gate is open",
        request=GatedRequest,
        plan=plan,
        restore=restore,
    ),
}
