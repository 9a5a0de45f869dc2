"""`train_model`: train a model, epoch by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets import storage_keys
from app.datasets.conversion import columns
from app.datasets.reading import RowReader
from app.jobs.params import TrainModelParams
from worker import predictions
from worker.children.messages import Phase
from worker.context import JobContext, Outcome, Yielded
from worker.training import held_out, memory, table, threads
from worker.training.checkpoint import EpochRecord
from worker.training.trainer import Training

DATASET: Final = "dataset"
TEST_DATASET: Final = "test_dataset"
ARTIFACT: Final = "model"
HELD_OUT: Final = "held_out"

READING_FACTOR: Final = 3
"""Memory for reading, as a multiple of the size of the values: the table, and its cells as objects."""


def train_model(job: JobContext) -> Outcome:
    """Train until the last step. The result has the metrics and the history.

    Each step (a candidate, an epoch, a fold, the last fit) is a batch with one output, its record. The
    model's file is the artifact `model`; the job that holds out a fold of a trial has none.
    """
    params = predictions.parse_params(job, TrainModelParams)
    threads.limit_to_one()
    rows = _table(job, params)
    row_count = rows.num_rows
    test = _read(job.file(TEST_DATASET), params) if job.has_file(TEST_DATASET) else None
    training = Training(rows, params, job.resume.checkpoint, test)
    del rows, test  # the trainer keeps what it needs
    committed = job.resume.batch
    warned = _log_plan(job, training)
    is_saved = True
    with job.phase(Phase.TRAIN, rows=row_count):
        while not training.is_finished:
            if job.stop_requested and is_saved:
                return Yielded()
            step = training.advance()
            if training.steps <= committed:
                continue  # computed again, because the last checkpoint was before
            # Saved before the worker stops, so that the next attempt repeats nothing.
            is_saved = training.is_checkpoint_due() or job.stop_requested
            # A training that an older version planned counts its epochs only.
            outputs = [step.record] if job.done < (job.total or 0) else []
            job.commit(
                outputs,
                step=step.label,
                checkpoint=training.checkpoint() if is_saved else None,
                data={"metrics": step.record} if isinstance(step.record, EpochRecord) else None,
            )
    if job.done < (job.total or 0):
        job.finish_early()
    if params.held_out_fold is not None:
        result = training.finish_fold()
        _log_result(job, result, warned)
        return result
    path = job.scratch / "model.skops"
    result = training.finish(path)
    job.artifact(ARTIFACT, path)
    _log_result(job, result, warned)
    if "held_out" in result:
        result["held_out"] = _publish_held_out(job, result["held_out"])
    return result


def _log_plan(job: JobContext, training: Training) -> list[str]:
    """Write down what the first attempt will do. Returns the warnings that the log has."""
    plan = training.plan
    if job.resume.batch == 0:
        job.log(f"Training on {len(plan.train)} rows and {len(plan.inputs)} columns; {_tested(training)}.")
        for warning in plan.warnings:
            job.log(warning, level="warning")
    return plan.warnings


def _tested(training: Training) -> str:
    split = training.plan.split
    if split.folds:
        return f"tested by cross-validation with {len(split.folds)} folds"
    return f"validated on {len(training.plan.validation)} rows, tested on {len(split.test)}"


def _log_result(job: JobContext, result: Mapping[str, Any], warned: Sequence[str]) -> None:
    if result["why"]:
        job.log(f"Chose {result['algorithm']}: {result['why']}")
    if result["stopped_because"]:
        job.log(f"Stopped early: {result['stopped_because']}")
    for warning in result["warnings"]:
        if warning not in warned:
            job.log(warning, level="warning")


def _publish_held_out(job: JobContext, found: pa.Table) -> dict[str, Any]:
    """Hand over the predictions for the test rows, as the files of a dataset. Returns its description."""
    for name in storage_keys.FILES:
        path = job.scratch / f"held-out-{name}"
        held_out.write(found, path)
        job.artifact(f"datasets/{HELD_OUT}/{name}", path)
    described = columns.describe(found.schema)
    return {"rows": found.num_rows, "columns": msgspec.to_builtins(described)}


def _table(job: JobContext, params: TrainModelParams) -> pa.Table:
    if not job.has_file(DATASET):
        return table.to_arrow(job.rows())
    return table.to_arrow(_read(job.file(DATASET), params))


def _read(path: Path, params: TrainModelParams) -> pa.Table:
    """Read the requested columns; all columns if one is missing, so that the error can list them."""
    memory.ensure_available("reading the dataset", READING_FACTOR * _value_bytes(pq.read_metadata(path)))
    with RowReader(path) as reader:
        wanted = None
        if params.features is not None:
            split_columns = [] if params.split.column is None else [params.split.column]
            names = [params.target, *params.features, *split_columns]
            existing = {column.name for column in reader.columns}
            wanted = list(dict.fromkeys(names)) if existing.issuperset(names) else None
        return reader.table(0, len(reader), wanted)


def _value_bytes(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return sum(group.total_byte_size for group in groups)
