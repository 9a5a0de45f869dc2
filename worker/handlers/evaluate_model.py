"""`evaluate_model`: predict rows whose true values are known, and measure the predictions."""

import math
from collections.abc import Sequence
from typing import Any

from app.jobs.params import EvaluateModelParams
from worker import predictions, rows
from worker.children.messages import Yielded
from worker.context import JobContext, Outcome, RowError
from worker.evaluation import Evaluation


def evaluate_model(job: JobContext) -> Outcome:
    """Compare every uncommitted row. The result has the metrics over all rows.

    The checkpoint of each batch holds the counts from which the metrics are computed, so that an attempt that
    resumes counts each row once.
    """
    params = predictions.parse_params(job, EvaluateModelParams)
    found = rows.open_rows(job, params.shape, params.target)
    model = predictions.load_model(job, params.model)
    evaluation = Evaluation.from_checkpoint(job.resume.checkpoint, params.classes)
    predictions.check_error_limit(job, params.max_row_errors)
    batches = job.resume.batch + math.ceil((len(found) - job.resume.done) / params.batch_size)
    with predictions.phase(job, batches - job.resume.batch):
        for first_row in range(job.resume.done, len(found), params.batch_size):
            if job.stop_requested:
                return Yielded()
            batch = found.read(first_row, params.batch_size)
            has_worked = job.done > job.errors
            given = rows.model_inputs(batch, params.shape)
            predicted = predictions.predict(model, given, has_worked=has_worked)
            outputs = _compare(evaluation, first_row, predicted, rows.column_as_written(batch, params.target))
            job.commit(
                outputs,
                ids=rows.row_ids(batch, params.shape),
                step=f"Batch {job.next_batch + 1}/{batches}",
                checkpoint=evaluation.checkpoint(),
                is_last=first_row + len(batch) == len(found),
            )
            predictions.check_error_limit(job, params.max_row_errors)
    predictions.log_errors(job, len(found))
    return {"total": len(found), "errors": job.errors, **evaluation.result()}


def _compare(
    evaluation: Evaluation, first_row: int, predicted: Sequence[Any], targets: Sequence[Any]
) -> list[Any]:
    """Add each prediction to the evaluation; return the comparisons, and errors as they are."""
    return [
        output if isinstance(output, RowError) else evaluation.compare(row, output, target)
        for row, (output, target) in enumerate(zip(predicted, targets, strict=True), first_row)
    ]
