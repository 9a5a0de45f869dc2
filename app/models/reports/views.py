"""Histories as the API shows them."""

from app.models.reports.report import EpochScores, Report
from app.models.reports.schemas import EpochView, History
from app.models.versions import Task


def history(report: Report) -> History:
    """Return the epochs of a report."""
    items = [_epoch_view(scores, report.task) for scores in report.learning_curve]
    return History(best_epoch=report.best_epoch, items=items)


def _epoch_view(scores: EpochScores, task: Task) -> EpochView:
    view = EpochView(
        epoch=scores.epoch,
        train_loss=scores.train_loss,
        valid_loss=scores.valid_loss,
        seconds=scores.seconds,
    )
    if task is Task.CLASSIFICATION:
        view["valid_accuracy"] = scores.valid_score
    else:
        view["valid_r2"] = scores.valid_score
    return view
