"""What the routes of jobs ask for beside what every route may ask for."""

from collections.abc import Mapping
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Header
from starlette.requests import HTTPConnection

from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota


class Watcher(Protocol):
    """Whoever knows when a job ends; the hub does."""

    async def wait_for_end(self, owner_id: UUID, job_id: UUID, *, after: int, timeout_seconds: float) -> None:
        """Return when the job has ended or the time is over."""


async def get_watcher(connection: HTTPConnection) -> Watcher:
    """The hub of this process, as far as jobs need it."""
    watcher: Watcher = connection.app.state.hub
    return watcher


async def get_quota(connection: HTTPConnection) -> Quota:
    """What lets new jobs in."""
    quota: Quota = connection.app.state.quota
    return quota


async def get_kinds(connection: HTTPConnection) -> Mapping[str, Kind]:
    """The kinds of jobs that this process knows."""
    kinds: Mapping[str, Kind] = connection.app.state.kinds
    return kinds


WatcherDep = Annotated[Watcher, Depends(get_watcher)]
QuotaDep = Annotated[Quota, Depends(get_quota)]
KindsDep = Annotated[Mapping[str, Kind], Depends(get_kinds)]

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
