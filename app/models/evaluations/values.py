"""The type of evaluations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from app.core.rows import Row


@dataclass(frozen=True)
class EvaluationFilter:
    """Which evaluations of a model to list; None means any."""

    version: int | None = None
    dataset_id: UUID | None = None


@dataclass(frozen=True)
class Evaluation:
    """The metrics that one job has measured. `dataset` is the name of a dataset that still exists.

    `errors` of the `rows` had no prediction or no true value, and do not count.
    """

    job_id: UUID
    version: int
    dataset_id: UUID | None
    dataset: str | None
    target: str
    rows: int
    errors: int
    metrics: Mapping[str, Any]
    evaluated_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `model_evaluations` with the name of its dataset."""
        return cls(
            job_id=row["job_id"],
            version=row["version"],
            dataset_id=row["dataset_id"],
            dataset=row["dataset"],
            target=row["target"],
            rows=row["rows"],
            errors=row["errors"],
            metrics=row["metrics"],
            evaluated_at=row["evaluated_at"],
        )
