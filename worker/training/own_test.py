"""Use a dataset of the user as the test rows of a training."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.datasets import reading
from app.datasets.options import Declared
from app.jobs.params import SplitMethod, TrainModelParams
from app.models.versions import Task
from worker import cells
from worker.cells import BadCell
from worker.context import BadInput
from worker.training import columns
from worker.training.plan import Plan
from worker.training.split import Fold, Rows
from worker.training.target import Target


def extend(plan: Plan, params: TrainModelParams, table: pa.Table) -> Plan:
    """Return the plan with the rows of a test dataset after its own ones, and these as the test rows.

    The columns are read as those of the training rows. Rows without a target are left out. Raises BadInput if
    the dataset lacks a column, has no row with a target, or has a class that no training row has.
    """
    for name in (params.target, *(column.name for column in plan.inputs)):
        if name not in table.column_names:
            raise BadInput(f"the test dataset has no column {name!r}; the training uses it")
    values = _targets(plan.target, params, table)
    is_present = values != "" if plan.target.task is Task.CLASSIFICATION else np.isfinite(values)
    rows = np.flatnonzero(is_present)
    if not len(rows):
        raise BadInput(f"the test dataset has no row with a value for {params.target!r}")
    unknown = np.setdiff1d(values[rows], plan.target.classes).tolist() if plan.target.classes else []
    if unknown:
        raise BadInput(
            f"the test dataset has the class {unknown[0]!r}, which no training row has; correct it, or"
            " leave its rows out"
        )
    first = len(plan.target.values)
    main = plan.split.main
    return replace(
        plan,
        target=replace(
            plan.target,
            rows=np.concatenate((plan.target.rows, rows)),
            values=np.concatenate((plan.target.values, values[rows])),
        ),
        cells={
            column.name: np.concatenate(
                (plan.cells[column.name], _cells_of(column, table, rows)),
            )
            for column in plan.inputs
        },
        split=replace(
            plan.split,
            method=SplitMethod.DATASET,
            main=Fold(main.train, main.validation, np.arange(first, first + len(rows))),
        ),
    )


def _cells_of(column: columns.Column, table: pa.Table, rows: Rows) -> npt.NDArray[Any]:
    try:
        return columns.read(
            column, table.column(column.name).take(pa.array(rows)), table.schema.field(column.name)
        )
    except BadInput as error:
        raise BadInput(f"the test dataset: {error.message}") from None


def _targets(target: Target, params: TrainModelParams, table: pa.Table) -> npt.NDArray[Any]:
    """Return the target of each row in the form of the training rows: empty or NaN if it is missing."""
    field, stored = table.schema.field(params.target), table.column(params.target)
    if params.columns.get(params.target) in (Declared.CATEGORY, Declared.TEXT):
        found = reading.values_as_written(field, stored)
    else:
        found = columns.decode(reading.typed(field, stored)).to_pylist()
    if target.task is Task.CLASSIFICATION:
        labels = [cells.to_label(value) or "" for value in found]
        return np.array(["" if label in target.missing_markers else label for label in labels])
    parse = cells.number_parser(target.missing_markers)
    try:
        return np.fromiter((parse(value) for value in found), np.float64, len(found))
    except BadCell as error:
        raise BadInput(f"the target {params.target!r} of the test dataset: {error}") from None
