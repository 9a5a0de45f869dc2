"""The response of the route of requests."""

from typing import Any
from uuid import UUID

from typing_extensions import TypedDict


class JobRequest(TypedDict):
    """The request of a job: `request` is the body of `POST {path}` that creates another one like it.

    Members with their default are left out, and so are the rows, which `rows_member` of the body had:
    `GET /jobs/{job_id}/input` returns them. It is null if the request had no rows.
    """

    job_id: UUID
    kind: str
    path: str
    request: dict[str, Any]
    rows_member: str | None
