"""Records an evaluation, in the transaction that completes its job."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.jobs.params import EvaluateModelParams
from app.jobs.transition_types import ClaimedJob
from app.models.evaluations import commands as evaluations


async def complete(
    connection: asyncpg.Connection,
    result: dict[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],  # an evaluation hands over no file
) -> dict[str, Any]:
    """Record the metrics with the version and the dataset, and return the result as it is."""
    params = msgspec.json.decode(job.params, type=EvaluateModelParams)
    await evaluations.record(
        connection,
        job_id=job.id,
        owner_id=job.owner_id,
        version_id=params.model.id,
        version=params.model.version,
        dataset_id=job.dataset_id,
        target=params.target,
        rows=result["total"],
        errors=result["errors"],
        metrics=result["metrics"],
    )
    return result
