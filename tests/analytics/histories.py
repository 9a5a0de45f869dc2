"""Random histories of jobs, and the figures about them from a slow look at every row."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.database import Database
from app.jobs import faults
from tests.support import jobs, rows
from tests.support.jobs import LEASE

KINDS = ("batch_predict", "train_model", "of_a_plugin")
QUEUES = ("default", "gpu", "reports")
CODES = ("boom", "time_limit", "worker_lost")
AGES = ("0 s", "0 s", "3 minutes", "50 minutes", "2 hours", "26 hours", "3 days")


class History:
    """Jobs of several users to which anything happens that may happen to a job."""

    def __init__(self, database: Database, owners: Sequence[UUID], seed: int) -> None:
        self._database = database
        self._owners = owners
        self._random = random.Random(seed)
        self._jobs: list[UUID] = []

    async def go_on(self, steps: int) -> None:
        """Let so many things happen."""
        ways = (self._create, self._create, self._work, self._work, self._cancel, self._retry, self._lose)
        for _ in range(steps):
            await self._random.choice(ways)()

    async def age(self) -> None:
        """Move what happened to each job into the past, a different time for each job."""
        for job_id in self._jobs:
            age = self._random.choice(AGES)
            for statement in (
                "UPDATE job_attempts SET due_at = due_at - $2::text::interval,"
                " started_at = started_at - $2::text::interval, ended_at = ended_at - $2::text::interval",
                "UPDATE job_ends SET ended_at = ended_at - $2::text::interval",
                "UPDATE job_events SET at = at - $2::text::interval",
            ):
                await rows.execute(self._database, f"{statement} WHERE job_id = $1", job_id, age)

    async def _create(self) -> None:
        self._jobs.append(
            await jobs.create(
                self._database,
                self._random.choice(self._owners),
                kind=self._random.choice(KINDS),
                queue=self._random.choice(QUEUES),
                max_attempts=2,
            )
        )
        model = self._random.choice(["churn", "sentiment", None])
        await rows.execute(
            self._database,
            "UPDATE jobs SET params = CASE WHEN $2::text IS NULL THEN '{}'"
            " ELSE jsonb_build_object('model', jsonb_build_object('name', $2::text)) END WHERE id = $1",
            self._jobs[-1],
            model,
        )

    async def _work(self) -> None:
        worker_id = await jobs.worker(self._database)
        queue = self._random.choice(QUEUES)
        for job in await jobs.claim_all(self._database, worker_id, queue=queue, kinds=KINDS, limit=2):
            match self._random.randrange(6):
                case 0 | 1:
                    await jobs.complete(self._database, job)
                case 2:
                    await jobs.fail(self._database, job, is_retryable=self._random.random() < 0.5)
                case 3:
                    await jobs.commit(self._database, job)
                    await jobs.release(self._database, job)
                case 4:
                    await jobs.cancel(self._database, job.id)
                    await jobs.stop(self._database, job)
                case _:
                    await jobs.commit(self._database, job)  # and goes on running

    async def _cancel(self) -> None:
        if self._jobs:
            await jobs.cancel(self._database, self._random.choice(self._jobs))

    async def _retry(self) -> None:
        if self._jobs:
            await jobs.retry(
                self._database, self._random.choice(self._jobs), from_start=self._random.random() < 0.5
            )

    async def _lose(self) -> None:
        await rows.execute(
            self._database,
            "UPDATE workers SET seen_at = now() - interval '1 hour' WHERE id IN"
            " (SELECT worker_id FROM jobs WHERE status = 'running' ORDER BY id LIMIT 1)",
        )
        await jobs.rescue(self._database, lease=LEASE)


@dataclass(frozen=True)
class End:
    """One attempt that ended, or one job that was cancelled while it waited; then `outcome` is empty."""

    job_id: UUID
    owner_id: UUID
    kind: str
    queue: str
    model: str
    outcome: str
    status: str  # of the job afterwards
    code: str
    started_at: datetime
    ended_at: datetime
    run: float
    wait: float
    rows: int

    @property
    def is_end(self) -> bool:
        return self.status != "pending"


async def ends(database: Database) -> list[End]:
    """Everything that ended, from the rows of jobs, attempts and events."""
    found = {row["id"]: row for row in await rows.fetch(database, "SELECT * FROM jobs")}
    events = await rows.fetch(database, "SELECT job_id, type, at, data FROM job_events")
    attempts = await rows.fetch(database, "SELECT * FROM job_attempts")
    finals = {(e["job_id"], e["data"]["attempt"], e["type"]) for e in events}
    result = [_of_attempt(attempt, found[attempt["job_id"]], finals) for attempt in attempts]
    cancelled = {(end.job_id, end.ended_at) for end in result if end.status == "cancelled"}
    for event in events:
        if event["type"] == "cancelled" and (event["job_id"], event["at"]) not in cancelled:
            job, at = found[event["job_id"]], event["at"]
            result.append(_end(job, "", "cancelled", "", at, at, 0.0, 0.0, 0))
    return result


def _of_attempt(attempt: Any, job: Any, finals: set[tuple[UUID, int, str]]) -> End:
    status = "pending"
    for final in ("completed", "failed"):
        if (job["id"], attempt["attempt"], final) in finals:
            status = final
    if attempt["outcome"] == "cancelled":
        status = "cancelled"
    return _end(
        job,
        attempt["outcome"],
        status,
        (attempt["error"] or {}).get("code", ""),
        attempt["started_at"],
        attempt["ended_at"],
        (attempt["ended_at"] - attempt["started_at"]).total_seconds(),
        max((attempt["started_at"] - attempt["due_at"]).total_seconds(), 0),
        attempt["rows"] or 0,
    )


def _end(
    job: Any,
    outcome: str,
    status: str,
    code: str,
    started_at: datetime,
    ended_at: datetime,
    run: float,
    wait: float,
    row_count: int,
) -> End:
    model = job["params"].get("model")
    name = model["name"] if isinstance(model, dict) else ""
    return End(
        *(job["id"], job["owner_id"], job["kind"], job["queue"], name, outcome, status, code),
        *(started_at, ended_at, run, wait, row_count),
    )


def figures(found: Iterable[End]) -> dict[str, Any]:
    """The figures about these, one by one."""
    found = list(found)
    ended = [end for end in found if end.is_end]
    attempts = [end for end in found if end.outcome]
    settled = [end for end in ended if end.outcome and end.status != "cancelled"]
    return {
        "jobs": len(ended),
        "completed": sum(end.status == "completed" for end in ended),
        "failed": sum(end.status == "failed" for end in ended),
        "cancelled": sum(end.status == "cancelled" for end in ended),
        "executed": sum(end.outcome != "" for end in ended),
        "settled": len(settled),
        "settled_seconds": sum(end.run for end in settled),
        "attempts": len(attempts),
        "retried": sum(end.outcome == "failed" and end.status == "pending" for end in attempts),
        "rescued": sum(end.outcome == "rescued" for end in attempts),
        "released": sum(end.outcome == "released" for end in attempts),
        "rows": sum(end.rows for end in attempts),
        "run_seconds": sum(end.run for end in attempts),
        "run_longest": max((end.run for end in attempts), default=None),
        "wait_seconds": sum(end.wait for end in attempts),
        "wait_longest": max((end.wait for end in attempts), default=None),
        "runs": sorted(end.run for end in attempts),
        "waits": sorted(end.wait for end in attempts),
    }


async def peak(database: Database, owner_id: UUID | None, since: datetime) -> int:
    """The highest number of attempts that ran at once, from the moments at which one started."""
    spans = [
        (row["owner_id"], max(row["started_at"], since), row["ended_at"])
        for row in await rows.fetch(
            database,
            """SELECT j.owner_id, a.started_at, a.ended_at FROM job_attempts a JOIN jobs j ON j.id = a.job_id
            UNION ALL SELECT owner_id, attempt_started_at, NULL FROM jobs WHERE status = 'running'""",
        )
        if owner_id in (None, row["owner_id"]) and (row["ended_at"] is None or row["ended_at"] > since)
    ]
    return max(
        (sum(start <= at and (end is None or end > at) for _, start, end in spans) for _, at, _ in spans),
        default=0,
    )


def fault_codes(found: Iterable[End]) -> set[str]:
    """The codes of failures by the system."""
    return {end.code for end in found if faults.fault_of(end.code) is faults.Fault.SYSTEM}
