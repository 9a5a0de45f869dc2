"""What a gated job is told."""

from typing import Final

import msgspec
from pydantic import Field

from app.http.body import CleanStr
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences
from app.jobs.requests import JobOptions


class GatedRequest(JobOptions):
    """So many batches of one row, each only when the file at `gate_path` has so many bytes."""

    batches: int = Field(ge=1, le=1000)
    gate_path: CleanStr


class GatedParams(msgspec.Struct, frozen=True):
    """The same, for the handler."""

    batches: int
    gate_path: str


def plan(request: GatedRequest, _found: ResolvedReferences) -> JobPlan:
    """Nothing can be wrong with it."""
    return JobPlan(
        msgspec.json.encode(GatedParams(request.batches, request.gate_path)), total=request.batches
    )


KINDS: Final[dict[str, Kind]] = {
    "gated": Kind(name="gated", summary="Go as far as the gate is open", request=GatedRequest, plan=plan),
}
