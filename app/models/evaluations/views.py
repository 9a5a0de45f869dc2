"""Evaluations as the API shows them."""

from app.core import paging
from app.core.paging import Page
from app.models.evaluations.schemas import EvaluationPage, EvaluationView
from app.models.evaluations.values import Evaluation


def evaluation_page(reference: str, page: Page[Evaluation]) -> EvaluationPage:
    """Return a page of evaluations of the model that a user refers to by `reference`."""
    return EvaluationPage(
        items=[_evaluation(reference, found) for found in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.job_id)),
    )


def _evaluation(reference: str, evaluation: Evaluation) -> EvaluationView:
    return EvaluationView(
        job_id=evaluation.job_id,
        model=f"{reference}@{evaluation.version}",
        version=evaluation.version,
        dataset_id=evaluation.dataset_id,
        dataset=evaluation.dataset,
        target=evaluation.target,
        rows=evaluation.rows,
        errors=evaluation.errors,
        metrics=dict(evaluation.metrics),
        evaluated_at=evaluation.evaluated_at,
    )
