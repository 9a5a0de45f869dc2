"""Response bodies of evaluations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from typing_extensions import TypedDict


class EvaluationView(TypedDict):
    """The metrics of one version on one set of rows. It stays when its job is deleted.

    `dataset_id` is null if the rows were in the request, and `dataset` if the dataset was deleted since.
    `errors` of the `rows` had no prediction or no true value, and do not count.
    """

    job_id: UUID
    model: str
    version: int
    dataset_id: UUID | None
    dataset: str | None
    target: str
    rows: int
    errors: int
    metrics: dict[str, Any]
    evaluated_at: datetime


class EvaluationPage(TypedDict):
    """A page of evaluations, newest first."""

    items: list[EvaluationView]
    next_cursor: str | None
