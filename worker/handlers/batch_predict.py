"""`batch_predict`: predict many rows, batch by batch."""

import math
from functools import partial
from typing import Final

from app.jobs.params import BatchPredictParams
from worker import predictions, rows
from worker.children.messages import Yielded
from worker.columnar import TableRows
from worker.context import JobContext, Outcome
from worker.drift import profile
from worker.drift.comparison import Comparison

PROFILED_RUNTIME: Final = "sklearn"
"""The runtime whose files may have a profile: those of trained models."""


def batch_predict(job: JobContext) -> Outcome:
    """Predict every uncommitted row. The result counts all rows, and the failed ones.

    If the rows are a dataset and the model's file has a profile, the result also says where they differ from
    the rows of the training. The counts for it are the checkpoint of each batch.
    """
    params = predictions.parse_params(job, BatchPredictParams)
    found = rows.open_rows(job, params.shape)
    model = predictions.load_model(job, params.model)
    compared = _comparison(job, params)
    predictions.check_error_limit(job, params.max_row_errors)
    batches = job.resume.batch + math.ceil((len(found) - job.resume.done) / params.batch_size)
    with predictions.phase(job, batches - job.resume.batch):
        for first_row in range(job.resume.done, len(found), params.batch_size):
            if job.stop_requested:
                return Yielded()
            batch = found.read(first_row, params.batch_size)
            has_worked = job.done > job.errors
            given = rows.model_inputs(batch, params.shape)
            outputs = predictions.predict(model, given, has_worked=has_worked, may_be_structs=True)
            if compared is not None and isinstance(batch, TableRows):
                compared.add(batch)
            send = partial(
                job.commit,
                ids=rows.row_ids(batch, params.shape),
                step=f"Batch {job.next_batch + 1}/{batches}",
                checkpoint=None if compared is None else compared.checkpoint(),
                is_last=first_row + len(batch) == len(found),
            )
            predictions.commit_outputs(send, outputs, has_worked=has_worked)
            predictions.check_error_limit(job, params.max_row_errors)
    differences = {} if compared is None else compared.result()
    predictions.log_errors(job, len(found))
    for warning in differences.get("warnings", ()):
        job.log(warning, level="warning")
    return {"total": len(found), "errors": job.errors, **differences}


def _comparison(job: JobContext, params: BatchPredictParams) -> Comparison | None:
    """Return the comparison with the profile of the model; None if there is nothing to compare."""
    if params.model.runtime != PROFILED_RUNTIME or not job.has_file(rows.DATASET):
        return None
    found = profile.read(job.file("model"))
    if found is None:
        return None
    # A model of one column takes the column that the request names.
    names = {}
    if params.shape.column is not None and len(found.columns) == 1:
        names[found.columns[0].name] = params.shape.column
    return Comparison.from_checkpoint(found, names, job.resume.checkpoint)
