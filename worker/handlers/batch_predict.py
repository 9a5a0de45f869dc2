"""`batch_predict`: predict many rows, batch by batch."""

import math
from functools import partial

from app.jobs.params import BatchPredictParams
from worker import predictions, rows
from worker.children.messages import Yielded
from worker.context import JobContext, Outcome


def batch_predict(job: JobContext) -> Outcome:
    """Predict every uncommitted row. The result counts all rows, and the failed ones."""
    params = predictions.parse_params(job, BatchPredictParams)
    found = rows.open_rows(job, params.shape)
    model = predictions.load_model(job, params.model)
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
            send = partial(
                job.commit,
                ids=rows.row_ids(batch, params.shape),
                step=f"Batch {job.next_batch + 1}/{batches}",
                is_last=first_row + len(batch) == len(found),
            )
            predictions.commit_outputs(send, outputs, has_worked=has_worked)
            predictions.check_error_limit(job, params.max_row_errors)
    return {"total": len(found), "errors": job.errors}
