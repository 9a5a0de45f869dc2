"""Registers a converted model, in the transaction that completes the job."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.core.version import VERSION
from app.jobs.params import ConvertModelParams
from app.jobs.transition_types import ClaimedJob
from app.models import commands as models
from app.models import formats
from app.models.versions import Signature

ARTIFACT: Final = "model"


async def complete(
    connection: asyncpg.Connection,
    result: dict[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],
) -> dict[str, Any]:
    """Register the model and return the result with its version."""
    params = msgspec.json.decode(job.params, type=ConvertModelParams)
    signature = msgspec.convert(result["signature"], Signature)
    source = params.model
    version = await models.register(
        connection,
        owner_id=job.owner_id,
        name=params.name,
        runtime=formats.ONNX,
        file=artifacts[ARTIFACT],
        task=signature.task,
        columns=signature.columns,
        classes=signature.classes,
        lineage={
            "source": "conversion",
            "job_id": str(job.id),
            "attempt": job.attempt,
            "converted_from": f"{source.name}@{source.version}",
            "converted_from_id": str(source.id),
            "rows_checked": result["rows_checked"],
            "code_version": VERSION,
            "library_versions": signature.library_versions,
        },
    )
    public = {name: value for name, value in result.items() if name != "signature"}
    return {"model": version.reference, "model_id": str(version.id), "runtime": version.runtime, **public}
