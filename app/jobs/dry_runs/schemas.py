"""The response of a dry run."""

from datetime import datetime
from typing import Any

from typing_extensions import TypedDict


class DryRun(TypedDict):
    """What the job of a valid request would wait for. Nothing is stored.

    `code`, `sentence` and `facts` are those that `GET /jobs/{job_id}/explain` would give. `jobs` is how many
    jobs the request makes, `shards` into how many shards those are divided that are, `total` their rows or
    steps together, null if unknown. `position` is the place of
    the first of them. `estimated_seconds` is how long the work takes at the pace of recent jobs of this kind
    in the queue, null if there were none.
    """

    kind: str
    queue: str
    jobs: int
    shards: int
    total: int | None
    position: int
    estimated_start_at: datetime | None
    estimated_seconds: float | None
    code: str
    sentence: str
    facts: dict[str, Any]
