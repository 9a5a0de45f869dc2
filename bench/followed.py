"""Simulated running jobs: commits batches as a worker would, at a known rate."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from app.core import ids
from app.core.resources import Resources
from app.jobs import transitions
from app.jobs.kinds import batch_predict
from app.jobs.publishing import publish_transition
from app.jobs.states import HEAD_START, Priority
from app.jobs.transition_types import Batch, NewJob, Report
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from bench.stack import Stack, User

KIND: Final = batch_predict.KIND.name
ROWS: Final = 1_000_000
GROUPS_PER_SECOND: Final = 100
"""Group commits per second. Each commits a share of the jobs, as a worker does for its slots."""

_PARAMS: Final = msgspec.json.encode(
    {"model": {"name": "sentiment", "version": 1, "runtime": "vader"}, "batch_size": 1, "shape": {}}
)


@dataclass
class FollowedJob:
    """A running job, its owner and its next batch."""

    id: UUID
    owner: User
    attempt: int
    next_batch: int = 0


async def start_jobs(
    system: Stack, resources: Resources, owners: Sequence[User], count: int
) -> list[FollowedJob]:
    """Create `count` jobs, spread evenly over the owners, running on a worker whose lease lasts a day."""
    worker_id = ids.new_id()
    identity = WorkerIdentity(worker_id, "bench", "here", 1, ("default",), (KIND,), count)
    users = {owner.id: owner for owner in owners}
    async with resources.database.connection() as connection:
        await workers.renew(connection, identity)
        await connection.execute(
            "UPDATE workers SET seen_at = now() + $2 WHERE id = $1", worker_id, timedelta(days=1)
        )
        for number in range(count):
            await transitions.create(UnitOfWork(connection), _new(owners[number % len(owners)].id))
        claimed = await transitions.claim(
            UnitOfWork(connection), queue="default", kinds=[KIND], worker_id=worker_id, limit=count
        )
    return [FollowedJob(job.id, users[job.owner_id], job.attempt) for job in claimed]


class Committer:
    """Commits one batch per job and second, with the statement and the hints of a worker."""

    def __init__(self, resources: Resources, jobs: Sequence[FollowedJob]) -> None:
        self._resources = resources
        self._jobs = jobs
        self._worker_id = ids.new_id()
        self.committed: dict[tuple[int, int], float] = {}
        """Time at which Postgres confirmed each event's commit, by the job's index and `seq`."""
        self.late_seconds = 0.0

    async def run(self, seconds: float) -> None:
        """Commit at an even rate for `seconds`."""
        places: dict[UUID, int] = {job.id: place for place, job in enumerate(self._jobs)}
        groups = min(GROUPS_PER_SECOND, len(self._jobs))
        began = time.monotonic()
        for turn in range(round(seconds * groups)):
            due = began + turn / groups
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.late_seconds = max(self.late_seconds, time.monotonic() - due)
            await self._commit(self._jobs[turn % groups :: groups], places)

    async def _commit(self, jobs: Sequence[FollowedJob], places: dict[UUID, int]) -> None:
        reports = [
            Report(job.id, job.attempt, job.next_batch, (Batch(job.next_batch, 1, b"{}\n", "Batch"),))
            for job in jobs
        ]
        async with self._resources.database.connection() as connection:
            unit = UnitOfWork(connection)
            transition = await transitions.advance(unit, worker_id=self._worker_id, reports=reports)
        now = time.time()
        assert len(transition) == len(jobs)
        for job in jobs:
            job.next_batch += 1
            for event in transition[job.id].events:
                self.committed[places[job.id], event.seq] = now
            publish_transition(self._resources.hints, transition[job.id])


def _new(owner_id: UUID) -> NewJob:
    return NewJob(
        id=ids.new_id(),
        owner_id=owner_id,
        kind=KIND,
        queue="default",
        priority=Priority.NORMAL,
        head_start=HEAD_START[Priority.NORMAL],
        params=_PARAMS,
        rows=None,
        total=ROWS,
        metadata={},
        max_attempts=3,
        soft_limit_seconds=86_400,
        time_limit_seconds=86_400,
        retention_seconds=86_400,
    )
