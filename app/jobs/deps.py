"""Dependencies of the routes of jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.core.errors import ShuttingDown
from app.datasets.deps import DatasetsState
from app.http import filters
from app.http.body import CleanStr
from app.http.instants import Instant
from app.http.middleware import exclude_from_timing
from app.http.state import state_of
from app.jobs.creator import JobCreator
from app.jobs.filters import MAX_PREFIX_LENGTH, JobFilter, ModelFilter, split_model
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.reader import JobReader
from app.jobs.states import Priority
from app.jobs.times import JobTimes
from app.models.deps import ModelsState


class Watcher(Protocol):
    """Waits for jobs to end. The hub of the streams implements it."""

    @property
    def is_closed(self) -> bool:
        """Whether the process is shutting down."""

    async def wait_for_end(self, owner_id: UUID, job_id: UUID, *, after: int, timeout_seconds: float) -> None:
        """Return when the job has ended, or at the timeout."""


@dataclass(frozen=True, kw_only=True)
class JobsState(DatasetsState, ModelsState):
    """The state of the process, with what jobs need."""

    kinds: Mapping[str, Kind]
    quota: Quota
    creator: JobCreator
    reader: JobReader
    job_times: JobTimes
    watcher: Watcher


@dataclass(frozen=True)
class _RequestWatcher:
    """The watcher of this process, for one request: excludes it from the timing of requests if it waits."""

    watcher: Watcher
    scope: Scope

    @property
    def is_closed(self) -> bool:
        """Whether the process is shutting down."""
        return self.watcher.is_closed

    async def wait_for_end(self, owner_id: UUID, job_id: UUID, *, after: int, timeout_seconds: float) -> None:
        """Return when the job has ended, or at the timeout."""
        exclude_from_timing(self.scope)
        await self.watcher.wait_for_end(owner_id, job_id, after=after, timeout_seconds=timeout_seconds)


async def get_watcher(connection: HTTPConnection) -> Watcher:
    """The watcher of this process."""
    return _RequestWatcher(state_of(connection, JobsState).watcher, connection.scope)


async def get_filter(
    request: Request,
    priorities: Annotated[
        list[Priority] | None,
        Query(alias="priority", max_length=len(Priority), description="Repeat it for several."),
    ] = None,
    kind: CleanStr | None = None,
    queue: CleanStr | None = None,
    model: Annotated[
        ModelFilter | None,
        Query(description="The model's name, or `name@version` for jobs that use that version."),
    ] = None,
    dataset_id: Annotated[UUID | None, Query(description="Only jobs whose rows are this dataset.")] = None,
    prefix: Annotated[
        CleanStr | None,
        Query(
            alias="q",
            min_length=1,
            max_length=MAX_PREFIX_LENGTH,
            description="The beginning of the id (at least four hexadecimal digits), or of the model's name.",
        ),
    ] = None,
    created_after: Instant | None = None,
    created_before: Instant | None = None,
    schedule_id: Annotated[UUID | None, Query(description="Only jobs that this schedule created.")] = None,
    group_id: Annotated[UUID | None, Query(description="Only jobs of this group.")] = None,
) -> JobFilter:
    """The filters that the query names, apart from the status. Raises Unprocessable."""
    name, version = split_model(model)
    return JobFilter(
        priorities=tuple(dict.fromkeys(priorities or ())),
        kind=kind,
        queue=queue,
        model=name,
        model_version=version,
        dataset_id=dataset_id,
        prefix=prefix,
        metadata=filters.pairs(request, "metadata"),
        created_after=created_after,
        created_before=created_before,
        schedule_id=schedule_id,
        group_id=group_id,
    )


JobFilterDep = Annotated[JobFilter, Depends(get_filter)]
WatcherDep = Annotated[Watcher, Depends(get_watcher)]


async def refuse_while_stopping(connection: HTTPConnection) -> None:
    """Refuse new work while the process shuts down. Raises ShuttingDown."""
    if state_of(connection, JobsState).watcher.is_closed:
        raise ShuttingDown


async def get_quota(connection: HTTPConnection) -> Quota:
    """The limits on new jobs."""
    return state_of(connection, JobsState).quota


async def get_creator(connection: HTTPConnection) -> JobCreator:
    """What creates the jobs of this process."""
    return state_of(connection, JobsState).creator


async def get_reader(connection: HTTPConnection) -> JobReader:
    """What reads jobs for the requests of this process."""
    return state_of(connection, JobsState).reader


async def get_kinds(connection: HTTPConnection) -> Mapping[str, Kind]:
    """The kinds of jobs that this process knows."""
    return state_of(connection, JobsState).kinds


async def get_times(connection: HTTPConnection) -> JobTimes:
    """How long requests wait for jobs."""
    return state_of(connection, JobsState).job_times


JobTimesDep = Annotated[JobTimes, Depends(get_times)]
QuotaDep = Annotated[Quota, Depends(get_quota)]
CreatorDep = Annotated[JobCreator, Depends(get_creator)]
ReaderDep = Annotated[JobReader, Depends(get_reader)]
KindsDep = Annotated[Mapping[str, Kind], Depends(get_kinds)]


def replay_responses(model: Any) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a create route that replays its response to a repeated idempotency key."""
    return {
        200: {
            "model": model,
            "description": "Created by an earlier request with the same `Idempotency-Key`",
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
        description="A request with the same key and body returns the same job again, for 24 hours.",
    ),
]
