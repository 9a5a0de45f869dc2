"""`train_model`: train a model, epoch by epoch."""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets.reading import RowReader
from app.jobs.params import TrainModelParams
from worker import predictions
from worker.children.messages import Phase
from worker.context import JobContext, Outcome, Yielded
from worker.training import memory, table, threads
from worker.training.trainer import Training

DATASET: Final = "dataset"
ARTIFACT: Final = "model"

READING_FACTOR: Final = 3
"""Memory for reading, as a multiple of the size of the values: the table, and its cells as objects."""


def train_model(job: JobContext) -> Outcome:
    """Train until the last epoch or an early stop. The result has the metrics and the history.

    Each epoch is a batch with one output, its record. The model's file is the artifact `model`.
    """
    params = predictions.parse_params(job, TrainModelParams)
    threads.limit_to_one()
    rows = _table(job, params)
    row_count = rows.num_rows
    training = Training(rows, params, job.resume.checkpoint)
    del rows  # the trainer keeps what it needs
    with job.phase(Phase.TRAIN, rows=row_count):
        while not training.is_finished:
            if job.stop_requested:
                return Yielded()
            record = training.train_epoch()
            job.commit(
                [record],
                step=f"Epoch {record.epoch}/{params.epochs}",
                checkpoint=training.checkpoint(),
                data={"metrics": record},
            )
    if training.epoch < params.epochs:
        job.finish_early()
    path = job.scratch / "model.skops"
    result = training.finish(path)
    job.artifact(ARTIFACT, path)
    return result


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
            names = [params.target, *params.features]
            existing = {column.name for column in reader.columns}
            wanted = list(dict.fromkeys(names)) if existing.issuperset(names) else None
        return reader.table(0, len(reader), wanted)


def _value_bytes(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return sum(group.total_byte_size for group in groups)
