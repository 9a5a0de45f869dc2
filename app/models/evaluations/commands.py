"""Records evaluations."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Record what a job has measured. The built-in model has no row in `model_versions`.
_RECORD: Final = Statement("""
INSERT INTO model_evaluations (
    job_id, owner_id, model_id, version_id, version, dataset_id, target, rows, errors, metrics)
SELECT :job_id, :owner_id, v.model_id, v.id, :version, :dataset_id, :target, :rows, :errors, :metrics
FROM (VALUES (1)) always LEFT JOIN model_versions v ON v.id = :version_id""")


async def record(
    connection: asyncpg.Connection,
    *,
    job_id: UUID,
    owner_id: UUID,
    version_id: UUID | None,
    version: int,
    dataset_id: UUID | None,
    target: str,
    rows: int,
    errors: int,
    metrics: Mapping[str, Any],
) -> None:
    """Record the evaluation of a version by its job; `version_id` is None for the built-in model."""
    await _RECORD.execute(
        connection,
        job_id=job_id,
        owner_id=owner_id,
        version_id=version_id,
        version=version,
        dataset_id=dataset_id,
        target=target,
        rows=rows,
        errors=errors,
        metrics=dict(metrics),
    )
