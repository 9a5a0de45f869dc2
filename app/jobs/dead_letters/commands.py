"""Changes to dead letters, apart from their retry, which is a transition."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Dismisses those of these jobs that are dead letters.
_DISMISS: Final = Statement("""
UPDATE jobs SET dismissed_at = now(), dismiss_reason = :reason
WHERE id = ANY (:job_ids) AND status = 'failed' AND dismissed_at IS NULL AND parent_id IS NULL
RETURNING id""")


async def dismiss(
    connection: asyncpg.Connection, job_ids: Sequence[UUID], *, reason: str | None = None
) -> list[UUID]:
    """Dismiss dead letters, and return those that still were."""
    rows = await _DISMISS.fetch(connection, job_ids=list(job_ids), reason=reason)
    return [row["id"] for row in rows]
