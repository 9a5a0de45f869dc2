"""`inspect_model`: look at a file that somebody has brought, and register what is in it.

The file is opened in a worker's child, which has no credentials and whose death nobody minds. That a file is
refused is what the job was to find out, so it completes all the same, with the reason in its result; it does
not fail, is not tried again, and is no dead letter.
"""

from typing import Final

import msgspec
from pydantic import Field

from app.core.files import StoredFile
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences
from app.jobs.params import InspectModelParams
from app.jobs.requests import JobOptions

FILE: Final = "model"


class InspectModelRequest(JobOptions):
    """What is to become of a file, which is in storage already."""

    name: str
    runtime: str
    alias: str | None
    bytes: int
    sha256: str
    # Another one each time, also where the same file is brought again with the same idempotency key.
    key: str = Field(exclude=True)


def plan(request: InspectModelRequest, _found: ResolvedReferences) -> JobPlan:
    """What the handler is told."""
    return JobPlan(
        params=msgspec.json.encode(InspectModelParams(request.name, request.runtime, request.alias)),
        files={FILE: StoredFile(request.key, request.bytes, request.sha256)},
        upload_bytes=request.bytes,
    )


KIND: Final = Kind(
    name="inspect_model",
    summary="Look at a model that was brought",
    request=InspectModelRequest,
    plan=plan,
    max_attempts=2,
    soft_limit_seconds=300,
    time_limit_seconds=300,
    is_internal=True,
    writes_files=False,
)
