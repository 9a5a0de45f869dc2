"""What the routes of jobs ask for beside what every route may ask for."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Header
from starlette.requests import HTTPConnection

from app.core.errors import ShuttingDown
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.times import JobTimes


class Watcher(Protocol):
    """Whoever knows when a job ends; the hub does."""

    @property
    def is_closed(self) -> bool:
        """Whether the process is going away."""

    async def wait_for_end(self, owner_id: UUID, job_id: UUID, *, after: int, timeout_seconds: float) -> None:
        """Return when the job has ended or the time is over."""


async def get_watcher(connection: HTTPConnection) -> Watcher:
    """The hub of this process, as far as jobs need it."""
    watcher: Watcher = connection.app.state.hub
    return watcher


WatcherDep = Annotated[Watcher, Depends(get_watcher)]


async def refuse_while_stopping(connection: HTTPConnection) -> None:
    """Take no new work when the process is about to stop; raises ShuttingDown."""
    watcher: Watcher = connection.app.state.hub
    if watcher.is_closed:
        raise ShuttingDown


async def get_quota(connection: HTTPConnection) -> Quota:
    """What lets new jobs in."""
    quota: Quota = connection.app.state.quota
    return quota


async def get_kinds(connection: HTTPConnection) -> Mapping[str, Kind]:
    """The kinds of jobs that this process knows."""
    kinds: Mapping[str, Kind] = connection.app.state.kinds
    return kinds


async def get_times(connection: HTTPConnection) -> JobTimes:
    """How long requests of this process wait for jobs."""
    times: JobTimes = connection.app.state.job_times
    return times


JobTimesDep = Annotated[JobTimes, Depends(get_times)]
QuotaDep = Annotated[Quota, Depends(get_quota)]
KindsDep = Annotated[Mapping[str, Kind], Depends(get_kinds)]


def replayed(model: Any) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a create that gives what an earlier request with the same key has created."""
    return {
        200: {
            "model": model,
            "description": "What an earlier request with the same `Idempotency-Key` created",
            "headers": {
                "Idempotent-Replayed": {"description": "`true`", "schema": {"type": "string"}},
                "Location": {"description": "Path to it", "schema": {"type": "string"}},
            },
        }
    }


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key and body give the same job again, for 24 hours.",
    ),
]
