"""Reads of evaluations."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.models.evaluations.values import Evaluation, EvaluationFilter

# The next evaluations of a model by a user, the newest job first, as many as a page holds.
_PAGE: Final = Statement(
    paging.bounded(
        """
        SELECT e.*, d.name AS dataset
        FROM model_evaluations e LEFT JOIN datasets d ON d.id = e.dataset_id
        WHERE e.owner_id = :user_id AND e.model_id IS NOT DISTINCT FROM :model_id
            AND (:version::int IS NULL OR e.version = :version)
            AND (:dataset_id::uuid IS NULL OR e.dataset_id = :dataset_id)
            AND (:before::uuid IS NULL OR e.job_id < :before)
        ORDER BY e.job_id DESC LIMIT :limit""",
        size="octet_length(metrics::text)",
        order="job_id DESC",
    )
)


async def page(
    connection: asyncpg.Connection,
    user_id: UUID,
    model_id: UUID | None,
    wanted: EvaluationFilter,
    *,
    before: UUID | None,
    limit: int,
) -> Page[Evaluation]:
    """Return a user's evaluations of a model, newest first, starting after the job `before`.

    `model_id` is None for the built-in model.
    """
    rows = await _PAGE.fetch(
        connection,
        user_id=user_id,
        model_id=model_id,
        version=wanted.version,
        dataset_id=wanted.dataset_id,
        before=before,
        limit=limit + 1,
    )
    return to_page(rows, limit, Evaluation.from_row)
