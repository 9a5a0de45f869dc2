"""Plan a training before its first epoch: choose columns, split, algorithm and hyperparameters.

All decisions follow from the rows, the params and the seed, so an attempt that resumes from a checkpoint
makes the same decisions again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from app.datasets import reading
from app.datasets.conversion.columns import declared as was_declared
from app.datasets.options import Declared
from app.jobs.algorithms.catalogue import Name
from app.jobs.algorithms.choice import choose
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.jobs.params import TrainModelParams
from app.models.versions import Task
from worker import cells
from worker.context import BadInput
from worker.training import columns, data_warnings, learners, split, target
from worker.training.columns import Column
from worker.training.features import Cells
from worker.training.target import Target


@dataclass(frozen=True)
class Plan:
    """The decisions. `train` and `validation` are indices into `target.values` and the arrays of `cells`.

    `why` is the reason for an algorithm that was chosen automatically, None for one that was requested.
    """

    target: Target
    columns: list[Column]
    train: npt.NDArray[np.intp]
    validation: npt.NDArray[np.intp]
    cells: Cells
    algorithm: str
    why: str | None
    params: Hyperparameters
    warnings: list[str]

    @property
    def inputs(self) -> list[Column]:
        """The columns that the model takes."""
        return [column for column in self.columns if column.content is not None]


def make_plan(table: pa.Table, params: TrainModelParams) -> Plan:
    """Plan a training on these rows. Raises BadInput and BadTarget for data or params that cannot be used."""
    columns.check_names(table, params.target, params.features or ())
    shown = reading.in_shown_types(table)
    training_target = _read_target(params, table, shown)
    inferred = columns.infer_columns(shown, params.target, params.features, params.columns)
    is_classification = training_target.task is Task.CLASSIFICATION
    split_rows = split.stratified_split if is_classification else split.random_split
    train, validation = split_rows(training_target.values, params.validation_fraction, params.seed)
    rows = pa.array(training_target.rows)
    used = [column for column in inferred if column.content is not None]
    name, why = _choose_algorithm(params, training_target.task, rows=len(train), used=used)
    return Plan(
        target=training_target,
        columns=inferred,
        train=train,
        validation=validation,
        cells={
            column.name: columns.read(
                column, table.column(column.name).take(rows), table.schema.field(column.name)
            )
            for column in used
        },
        algorithm=name,
        why=why,
        params=_parse_hyperparameters(name, params),
        warnings=data_warnings.find(shown, inferred, params.target, training_target),
    )


def _read_target(params: TrainModelParams, table: pa.Table, shown: pa.Table) -> Target:
    """Read the target: by its typed values, or exactly as written if it is declared a category or a text."""
    name = params.target
    field = table.schema.field(name)
    declared = params.columns.get(name) or was_declared(field)
    values = shown.column(name)
    if declared in (Declared.CATEGORY, Declared.TEXT):
        labels = [cells.to_label(value) for value in reading.values_as_written(field, table.column(name))]
        values = pa.chunked_array([labels], pa.string())
    return target.read(name, values, params.task, declared)


def _choose_algorithm(
    params: TrainModelParams, task: Task, *, rows: int, used: Sequence[Column]
) -> tuple[str, str | None]:
    if params.algorithm == Name.AUTO:
        texts = sum(column.used_as == "text" for column in used)
        choice = choose(task, rows=rows, columns=len(used), text_columns=texts)
        return choice.name, choice.why
    algorithm = learners.algorithm(params.algorithm)
    if task not in algorithm.tasks:
        raise BadInput(
            f"{algorithm.name} is not for {task}, the task of the target {params.target!r};"
            " choose another algorithm or set task"
        )
    return algorithm.name, None


def _parse_hyperparameters(name: str, params: TrainModelParams) -> Hyperparameters:
    schema = learners.algorithm(name).params
    try:
        if params.algorithm == Name.AUTO:
            return schema.model_validate(params.params).for_epochs(params.epochs)
        return schema.model_validate(params.params)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors() if fault["loc"])
        raise BadInput(f"params of {name}: {faults}") from None
