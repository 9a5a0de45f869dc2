"""Read the column that rows are split by: their times or their groups, as numbers."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.datasets import reading
from app.jobs.params import SplitMethod, TrainModelParams
from app.models.versions import Task
from worker.cells import Content
from worker.context import BadInput
from worker.training import columns
from worker.training.columns import Column
from worker.training.split import Splitter
from worker.training.target import Target

Keys = npt.NDArray[np.int64]


def splitter(params: TrainModelParams, table: pa.Table, target: Target) -> Splitter:
    """Return what splits the rows of the target as the request wants it. Raises BadInput."""
    is_classification = target.task is Task.CLASSIFICATION
    usual = SplitMethod.STRATIFIED if is_classification else SplitMethod.RANDOM
    wanted = params.split.method
    method = usual if wanted in (None, SplitMethod.DATASET) else wanted
    if method is SplitMethod.STRATIFIED and not is_classification:
        raise BadInput(
            f"split: a stratified split needs classes, but the target {params.target!r} is a number;"
            " use random"
        )
    keys = None
    if params.split.column is not None:
        name = params.split.column
        columns.check_names(table, params.target, ())
        if name not in table.column_names:
            raise BadInput(f"split: the rows have no column {name!r}")
        values = table.column(name).take(pa.array(target.rows))
        read = times if method is SplitMethod.TIME else groups
        keys = read(table.schema.field(name), values)
    return Splitter(method, params.seed, target.values if is_classification else None, keys)


def times(field: pa.Field, values: pa.ChunkedArray) -> Keys:
    """Return numbers in the order of the times; rows without one come first. Raises BadInput.

    The column has dates, timestamps, numbers, or texts that are ISO 8601.
    """
    shown = columns.decode(reading.typed(field, values))
    is_number = pa.types.is_integer(shown.type) or pa.types.is_floating(shown.type)
    column = Column(field.name, Content.NUMBER if is_number else Content.DATE, "the times of the split")
    moments = columns.read(column, values, field)
    if np.isnan(moments).all():
        raise BadInput(f"split: the column {field.name!r} has no times")
    codes: Keys = np.unique(np.nan_to_num(moments, nan=-np.inf), return_inverse=True)[1]
    return codes


def groups(field: pa.Field, values: pa.ChunkedArray) -> Keys:
    """Return a number for each group. A row without one is a group of its own."""
    texts = pa.array(reading.values_as_written(field, columns.decode(values)))
    codes = texts.dictionary_encode().indices
    without_group = -1 - np.arange(len(codes), dtype=np.int64)
    numbers: Keys = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(numbers < 0, without_group, numbers)
