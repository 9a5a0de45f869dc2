"""Bulk actions on jobs. Each job is changed by the transition of the single action, or not at all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from app.audit.actions import Action
from app.audit.values import Actor
from app.core.errors import AppError
from app.core.resources import Resources
from app.jobs import service
from app.jobs.bulk_actions.queries import Candidate
from app.jobs.bulk_actions.schemas import BulkActionName, FailedAction
from app.jobs.errors import IsAShard, JobNotFound, JobNotRetryable, NotYourJob
from app.jobs.filters import JobFilter
from app.jobs.quota import Quota
from app.jobs.states import Status
from app.jobs.unit_of_work import unit_of_work

ELIGIBLE: Final = {
    BulkActionName.CANCEL: (Status.PENDING, Status.RUNNING),
    BulkActionName.RETRY: (Status.FAILED, Status.CANCELLED),
    BulkActionName.RETRY_FROM_START: (Status.FAILED, Status.CANCELLED),
}
"""The statuses of jobs that each action changes."""


CANCELLED_AT_ONCE: Final = 1000
"""Jobs, with their shards, that one transaction cancels."""


@dataclass
class Outcome:
    """What became of the jobs of an action."""

    changed: int = 0
    skipped: int = 0
    failed: list[FailedAction] = field(default_factory=list)


def eligible(action: BulkActionName, wanted: JobFilter) -> JobFilter | None:
    """Return the filter for those of its jobs that the action may change; None if there are none."""
    statuses = tuple(status for status in wanted.statuses or Status if status in ELIGIBLE[action])
    return replace(wanted, statuses=statuses) if statuses else None


def split_by_reach(
    job_ids: Iterable[UUID], found: dict[UUID, Candidate], owner_id: UUID | None
) -> tuple[list[Candidate], list[FailedAction]]:
    """Return those of the jobs that belong to this owner, None: to any, and why the others are refused."""
    candidates: list[Candidate] = []
    refused: list[FailedAction] = []
    for job_id in dict.fromkeys(job_ids):
        candidate = found.get(job_id)
        if candidate is None:
            refused.append(FailedAction(job_id=job_id, code=JobNotFound.code))
        elif owner_id not in (None, candidate.owner_id):
            refused.append(FailedAction(job_id=job_id, code=NotYourJob.code))
        elif candidate.is_shard:
            refused.append(FailedAction(job_id=job_id, code=IsAShard.code))
        else:
            candidates.append(candidate)
    return candidates, refused


async def cancel(resources: Resources, candidates: Sequence[Candidate], *, by: Actor) -> Outcome:
    """Cancel jobs, or request it of those that run. Each is committed by itself, as single cancels are.

    Those of other users than the actor are committed in portions, with their entries in the audit log.
    """
    outcome = Outcome()
    for portion in portions(candidates, CANCELLED_AT_ONCE):
        owners = {candidate.job_id: candidate.owner_id for candidate in portion}
        async with (
            unit_of_work(resources.hints, resources.database.connection()) as unit,
            service.recording(unit, by, Action.JOB_CANCELLED, owners),
        ):
            for candidate in portion:
                if await service.cancel_with_shards(unit, candidate.job_id) is None:
                    outcome.skipped += 1
                else:
                    outcome.changed += 1
    return outcome


def portions(candidates: Iterable[Candidate], limit: int) -> Iterator[list[Candidate]]:
    """Yield the jobs in their order: at a time at most `limit` with their shards, or one job."""
    portion: list[Candidate] = []
    size = 0
    for candidate in candidates:
        if portion and size + 1 + candidate.shards > limit:
            yield portion
            portion, size = [], 0
        portion.append(candidate)
        size += 1 + candidate.shards
    if portion:
        yield portion


async def retry(
    resources: Resources, quota: Quota, candidates: Sequence[Candidate], *, from_start: bool, by: Actor
) -> Outcome:
    """Retry jobs, those of each owner in one transaction. Raises TooManyActiveJobs, QuotaExceeded."""
    outcome = Outcome()
    of_owner: dict[UUID, list[UUID]] = {}
    for candidate in candidates:
        of_owner.setdefault(candidate.owner_id, []).append(candidate.job_id)
    for owner_id, job_ids in of_owner.items():
        admitted = quota.admit_retries(owner_id, job_ids, from_start=from_start)
        async with unit_of_work(resources.hints, admitted) as unit:
            for job_id in job_ids:
                try:
                    await service.retry(unit, owner_id, job_id, from_start=from_start, by=by)
                except JobNotRetryable:
                    outcome.skipped += 1
                except AppError as error:
                    outcome.failed.append(FailedAction(job_id=job_id, code=error.code))
                else:
                    outcome.changed += 1
    return outcome
