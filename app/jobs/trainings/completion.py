"""Registers a trained model, in the transaction that completes the job. A fold registers nothing."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.core.version import VERSION
from app.datasets import queries as datasets
from app.jobs.groups.queries import CompletedPart
from app.jobs.params import TrainModelParams
from app.jobs.searches import leader
from app.jobs.trainings import held_out, promotion
from app.jobs.transition_types import ClaimedJob
from app.models import commands as models
from app.models.reports import commands as reports
from app.models.versions import Signature

RUNTIME: Final = "sklearn"
ARTIFACT: Final = "model"
NOT_SHOWN: Final = frozenset({"signature", "report"})
"""Members of the handler's result that are stored with the version instead."""


async def complete(
    connection: asyncpg.Connection,
    result: dict[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],
) -> dict[str, Any]:
    """Register the model and return the result with its version.

    The version may become the best of its search, and take the alias that the request promotes to. The job of
    a fold has measured only; it may be the last one of its trial.
    """
    params = msgspec.json.decode(job.params, type=TrainModelParams)
    name = params.model or f"model_{job.id.hex[-8:]}"  # the first digits of an id are the time
    part = params.part
    if part is not None:
        await leader.lock(connection, job)
    if part is not None and part.fold is not None:
        measured = CompletedPart(job.id, part.fold, result["metrics"], model=None, version_id=None)
        await leader.challenge(connection, job, name, part, measured)
        return result
    signature = msgspec.convert(result["signature"], Signature)
    version = await models.register(
        connection,
        owner_id=job.owner_id,
        name=name,
        runtime=RUNTIME,
        file=artifacts[ARTIFACT],
        task=signature.task,
        columns=signature.columns,
        classes=signature.classes,
        metrics=result["metrics"],
        params={"algorithm": result["algorithm"], **result["params"]},
        lineage={
            "source": "training",
            "job_id": str(job.id),
            "attempt": job.attempt,
            "seed": params.seed,
            "target": params.target,
            "code_version": VERSION,
            "library_versions": result["library_versions"],
            **await _dataset(connection, job),
        },
    )
    assert version.id is not None  # noqa: S101  # only built-in models have no id
    if part is not None:
        trained = CompletedPart(job.id, None, result["metrics"], version.reference, version.id)
        await leader.challenge(connection, job, name, part, trained)
    elif job.group_id is not None:
        await leader.promote_if_best(connection, job.group_id, job.id, version, version.id, result["metrics"])
    await reports.store(connection, version.id, result["report"])
    public = {name: value for name, value in result.items() if name not in NOT_SHOWN}
    if params.held_out_dataset is not None:
        public["held_out"] = await held_out.register(
            connection, params.held_out_dataset, result["held_out"], job=job, artifacts=artifacts
        )
    if params.promote is not None:
        public["promotion"] = await promotion.promote_if_better(
            connection, version, version.id, params.promote, result["metrics"]
        )
    return {"model": version.reference, "model_id": str(version.id), **public}


async def _dataset(connection: asyncpg.Connection, job: ClaimedJob) -> dict[str, Any]:
    if job.dataset_id is None:
        return {}
    sha256 = await datasets.sha256(connection, job.dataset_id)
    return {"dataset_id": str(job.dataset_id), "dataset_sha256": sha256}
