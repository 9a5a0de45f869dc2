"""Registers an inspected model, in the transaction that completes the job."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.core.version import VERSION
from app.jobs.kinds.inspect_model import FILE
from app.jobs.params import InspectModelParams
from app.jobs.transition_types import ClaimedJob
from app.models import commands as models
from app.models.versions import Signature


async def complete(
    connection: asyncpg.Connection,
    result: dict[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],
) -> dict[str, Any]:
    """Register the model if it was not refused. The returned result names its version."""
    if "signature" not in result:
        return result
    params = msgspec.json.decode(job.params, type=InspectModelParams)
    signature = msgspec.convert(result["signature"], Signature)
    version = await models.register(
        connection,
        owner_id=job.owner_id,
        name=params.name,
        runtime=params.runtime,
        file=job.files[FILE],
        task=signature.task,
        columns=signature.columns,
        classes=signature.classes,
        lineage={
            "source": "upload",
            "job_id": str(job.id),
            "code_version": VERSION,
            "library_versions": signature.library_versions,
        },
    )
    assert version.id is not None  # noqa: S101  # only built-in models have no id
    if params.alias is not None:
        await models.set_alias(connection, version.id, params.alias)
    return {"model": version.reference, "model_id": str(version.id), "runtime": version.runtime}
