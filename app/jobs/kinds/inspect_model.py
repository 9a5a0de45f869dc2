"""`inspect_model`: inspect an uploaded model file, and register the model in it.

The file is opened in a worker's child, which has no credentials and may crash without harm. A refused file is
a regular result: the job completes, with the reason in its result. It does not fail, is not retried, and does
not become a dead letter.
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
    """A file in storage, and the name, runtime and alias under which to register it."""

    name: str
    runtime: str
    alias: str | None
    bytes: int
    sha256: str
    # Excluded from the digest: each upload has its own key, also with the same idempotency key.
    key: str = Field(exclude=True)


def plan(request: InspectModelRequest, _found: ResolvedReferences) -> JobPlan:
    """Return the params and the file of the handler."""
    return JobPlan(
        params=msgspec.json.encode(InspectModelParams(request.name, request.runtime, request.alias)),
        files={FILE: StoredFile(request.key, request.bytes, request.sha256)},
        upload_bytes=request.bytes,
    )


KIND: Final = Kind(
    name="inspect_model",
    summary="Inspect an uploaded model",
    request=InspectModelRequest,
    plan=plan,
    max_attempts=2,
    soft_limit_seconds=300,
    time_limit_seconds=300,
    is_internal=True,
    writes_files=False,
)
