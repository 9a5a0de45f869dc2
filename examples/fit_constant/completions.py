"""The completion: the model becomes a version in the transaction that completes the job."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.jobs.transition_types import ClaimedJob
from app.models import commands
from app.models.versions import InputColumn, Task
from examples.fit_constant.kinds import Params

ARTIFACT: Final = "model"
RUNTIME: Final = "constant"


async def complete(
    connection: asyncpg.Connection,
    result: dict[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],
) -> dict[str, Any]:
    """Register the model; the stored result names its version."""
    params = msgspec.json.decode(job.params, type=Params)
    version = await commands.register(
        connection,
        owner_id=job.owner_id,
        name=params.model,
        runtime=RUNTIME,
        file=artifacts[ARTIFACT],
        task=Task.CLASSIFICATION,
        columns=[InputColumn(name, "any") for name in params.columns],
        classes=result["classes"],
        lineage={"source": "fit_constant", "job_id": str(job.id)},
    )
    return {**result, "model": version.reference}


COMPLETIONS: Final = {"fit_constant": complete}
