"""Registers the new datasets, in the transaction that completes the job."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.core.version import VERSION
from app.datasets import commands as datasets
from app.datasets import storage_keys
from app.datasets.values import Column, Dataset, Format, Lineage, Origin
from app.jobs.params import PreprocessDatasetParams
from app.jobs.transition_types import ClaimedJob

PREFIX: Final = "datasets"


class _Output(msgspec.Struct, frozen=True):
    """One of the datasets that the handler has written."""

    output: str
    rows: int
    columns: tuple[Column, ...]


async def complete(
    connection: asyncpg.Connection,
    result: dict[str, Any],
    *,
    job: ClaimedJob,
    artifacts: Mapping[str, StoredFile],
) -> dict[str, Any]:
    """Register the datasets, and return the result with their ids."""
    params = msgspec.json.decode(job.params, type=PreprocessDatasetParams)
    outputs = msgspec.convert(result["outputs"], tuple[_Output, ...])
    made = [
        await _register(connection, params, job, output, artifacts, is_part=len(outputs) > 1)
        for output in outputs
    ]
    return {
        "rows": result["rows"],
        "datasets": [
            {
                "dataset_id": str(dataset.id),
                "name": dataset.name,
                "output": output.output,
                "rows": dataset.rows,
                "bytes": dataset.bytes,
            }
            for output, dataset in zip(outputs, made, strict=True)
        ],
    }


async def _register(
    connection: asyncpg.Connection,
    params: PreprocessDatasetParams,
    job: ClaimedJob,
    output: _Output,
    artifacts: Mapping[str, StoredFile],
    *,
    is_part: bool,
) -> Dataset:
    content = artifacts[f"{PREFIX}/{output.output}/{storage_keys.CONTENT}"]
    return await datasets.insert(
        connection,
        storage_keys.dataset_of(content.key),
        job.owner_id,
        name=f"{params.name}-{output.output}" if is_part else params.name,
        file_format=Format.PARQUET,
        content=content,
        rows=artifacts[f"{PREFIX}/{output.output}/{storage_keys.ROWS}"],
        row_count=output.rows,
        columns=output.columns,
        lineage=Lineage(
            job_id=job.id,
            dataset_id=params.source.id,
            sha256=params.source.sha256,
            joined=tuple(Origin(joined.id, joined.sha256) for joined in params.joined),
            steps=tuple(msgspec.to_builtins(params.steps)),
            output=output.output if is_part else None,
            code_version=VERSION,
        ),
    )
