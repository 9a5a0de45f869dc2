"""Registers the predictions for the test rows as a dataset."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.core.version import VERSION
from app.datasets import commands as datasets
from app.datasets import queries, storage_keys
from app.datasets.values import Column, Format, Lineage
from app.jobs.transition_types import ClaimedJob

_FILES: Final = "datasets/held_out"


class _HeldOut(msgspec.Struct, frozen=True):
    """The dataset that the handler has written."""

    rows: int
    columns: tuple[Column, ...]


async def register(
    connection: asyncpg.Connection,
    name: str,
    result: Mapping[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],
) -> dict[str, Any]:
    """Register the dataset, and return the member of the result that names it."""
    written = msgspec.convert(result, _HeldOut)
    content = artifacts[f"{_FILES}/{storage_keys.CONTENT}"]
    dataset = await datasets.insert(
        connection,
        storage_keys.dataset_of(content.key),
        job.owner_id,
        name=name,
        file_format=Format.PARQUET,
        content=content,
        rows=artifacts[f"{_FILES}/{storage_keys.ROWS}"],
        row_count=written.rows,
        columns=written.columns,
        lineage=await _lineage(connection, job),
    )
    return {"dataset_id": str(dataset.id), "name": dataset.name, "rows": dataset.rows}


async def _lineage(connection: asyncpg.Connection, job: ClaimedJob) -> Lineage | None:
    """Return where the rows come from; None if they came with the request, or their dataset is deleted."""
    if job.dataset_id is None or (sha256 := await queries.sha256(connection, job.dataset_id)) is None:
        return None
    return Lineage(
        job_id=job.id,
        dataset_id=job.dataset_id,
        sha256=sha256,
        joined=(),
        steps=({"op": "held_out"},),
        output=None,
        code_version=VERSION,
    )
