"""The shards of jobs as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from app.client.data import instant
from app.client.exchange import Exchange
from app.client.steps import Flow
from app.client.values import JobError, error_of

Status = Literal["pending", "running", "completed", "failed", "cancelled"]

PAGE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a job that one worker computes: `rows` rows from `first_row` on, of which `done` are done.

    >>> for shard in client.shards(job, status="running"):
    ...     print(shard.number, shard.worker, shard.done, shard.rows)
    12 worker-2 31000 50000
    """

    number: int
    job_id: str
    first_row: int
    rows: int
    status: str
    done: int
    errors: int
    attempt: int
    failures: int
    worker: str | None
    started_at: datetime | None
    error: JobError | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Shard":
        """Parse the JSON document."""
        return cls(
            number=document["shard"],
            job_id=document["job_id"],
            first_row=document["first_row"],
            rows=document["rows"],
            status=document["status"],
            done=document["done"],
            errors=document.get("errors", 0),
            attempt=document.get("attempt", 0),
            failures=document.get("failures", 0),
            worker=document.get("worker"),
            started_at=instant(document, "started_at"),
            error=error_of(document),
            raw=document,
        )


def shards(exchange: Exchange, path: str, status: Status | None) -> Flow[None]:
    """Emit the shards of the job at a path, in the order of their rows."""
    filters = {} if status is None else {"status": status}
    return exchange.pages(f"{path}/shards", Shard.parse, PAGE_SIZE, filters)
