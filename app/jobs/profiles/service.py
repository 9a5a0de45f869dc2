"""Reads the profile of an attempt."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import structlog

from app.core.errors import FileMissing
from app.core.resources import Resources
from app.jobs import service as jobs
from app.jobs.errors import ProfileNotFound
from app.jobs.profiles import queries
from app.jobs.profiles.profile import BadProfile, Profile
from app.jobs.profiles.queries import ProfiledAttempt

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FoundProfile:
    """A profile and its attempt."""

    attempt: ProfiledAttempt
    profile: Profile


async def get_own(
    resources: Resources,
    owner_id: UUID | None,
    job_id: UUID,
    attempt: int | None,
    *,
    shard: int | None = None,
) -> FoundProfile:
    """Return the profile of an attempt at a job of this owner, None: of any; by default of the last one.

    Of a job with shards, it is an attempt at this `shard`, by default at any.

    Raises JobNotFound, NotYourJob, ProfileNotFound.
    """
    async with resources.database.connection() as connection:
        job = await jobs.get_own(connection, owner_id, job_id)
        if job.shards is None:
            found = await queries.profiled_attempt(connection, job_id, attempt)
        else:
            found = await queries.profiled_attempt_of_shards(connection, job_id, shard, attempt)
    if found is None:
        raise ProfileNotFound(job_id=str(job_id))
    try:
        content = await resources.storage.get(found.key)
        return FoundProfile(found, await asyncio.to_thread(Profile.decode, content))
    except FileMissing:  # pruned between the two reads
        raise ProfileNotFound(job_id=str(job_id)) from None
    except BadProfile as error:
        log.warning("bad_profile", key=found.key, error=str(error))
        raise ProfileNotFound(job_id=str(job_id)) from None
