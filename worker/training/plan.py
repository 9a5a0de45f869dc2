"""Plan a training before its first epoch: choose columns, split, algorithm and hyperparameters.

All decisions follow from the rows, the params and the seed, so an attempt that resumes from a checkpoint
makes the same decisions again.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from app.datasets import reading
from app.datasets.conversion.columns import declared as was_declared
from app.datasets.options import Declared
from app.jobs.params import FOLDS_OF_CHOICE, SplitMethod, TrainModelParams
from worker import cells
from worker.context import BadInput
from worker.training import candidates, columns, data_warnings, split_keys, target
from worker.training.candidates import Candidates, DataShape
from worker.training.columns import Column
from worker.training.features import Cells
from worker.training.split import Fold, Rows, Split, Splitter
from worker.training.target import Target
from worker.training.word_counts import WordCounts

CROSS_VALIDATED_ROWS: Final = 10_000
CROSS_VALIDATED_SCORES: Final = 200_000
"""Up to so many rows, and rows × classes, a training with `auto` is measured by cross-validation: a fifth of
few rows says little."""


@dataclass(frozen=True)
class Plan:
    """The decisions. The rows of the split are indices into `target.values` and the arrays of `cells`.

    If there are several candidates, the training compares them by the `metric`; None means that of the data.
    If it is `measured_by_choice`, they compete on the folds of the split, and what they predict there
    measures the training too.
    """

    target: Target
    columns: list[Column]
    splitter: Splitter
    split: Split
    split_column: str | None
    cells: Cells
    candidates: Candidates
    metric: str | None
    measured_by_choice: bool
    epochs: int
    seed: int
    warnings: list[str]

    @cached_property
    def word_counts(self) -> WordCounts:
        """The counts of words in the text columns."""
        return WordCounts(self.cells)

    @property
    def train(self) -> Rows:
        """The rows on which the model is fitted."""
        return self.split.main.train

    @property
    def validation(self) -> Rows:
        """The rows that choose the epoch."""
        return self.split.main.validation

    @property
    def inputs(self) -> list[Column]:
        """The columns that the model takes."""
        return [column for column in self.columns if column.content is not None]


def make_plan(table: pa.Table, params: TrainModelParams) -> Plan:
    """Plan a training on these rows. Raises BadInput and BadTarget for data or params that cannot be used."""
    columns.check_names(table, params.target, params.features or ())
    shown = reading.in_shown_types(table)
    training_target = _read_target(params, table, shown)
    inferred = [
        _unless_groups(column, params)
        for column in columns.infer_columns(shown, params.target, params.features, params.columns)
    ]
    splitter = split_keys.splitter(params, table, training_target)
    split = _split(splitter, training_target, params)
    rows = pa.array(training_target.rows)
    used = [column for column in inferred if column.content is not None]
    shape = DataShape(
        task=training_target.task,
        rows=len(split.main.train),
        columns=len(used),
        text_columns=sum(column.used_as == "text" for column in used),
        classes=len(training_target.classes),
    )
    found = candidates.find(params, shape)
    return Plan(
        target=training_target,
        columns=inferred,
        splitter=splitter,
        split=split,
        split_column=params.split.column,
        cells={
            column.name: columns.read(
                column, table.column(column.name).take(rows), table.schema.field(column.name)
            )
            for column in used
        },
        candidates=found,
        metric=params.metric,
        measured_by_choice=bool(split.folds)
        and len(found.all) > 1
        and _is_measured_by_choice(params, training_target),
        epochs=params.epochs,
        seed=params.seed,
        warnings=data_warnings.find(shown, inferred, params.target, training_target, splitter.method),
    )


def _unless_groups(column: Column, params: TrainModelParams) -> Column:
    """Leave out the column of the groups, which the model would learn by heart, unless it is requested."""
    is_requested = params.features is not None and column.name in params.features
    if params.split.method is SplitMethod.GROUP and column.name == params.split.column and not is_requested:
        return replace(column, content=None, reason="not used: the groups of the split")
    return column


def _split(splitter: Splitter, training_target: Target, params: TrainModelParams) -> Split:
    """Split the rows as requested; with few rows and no wish, into folds if that can be. Raises BadInput."""
    rows = np.arange(len(training_target.rows))
    validation_fraction = params.validation_fraction
    part = params.part
    if part is not None and part.fold is not None:
        found = splitter.without_fold(rows, part.fold, part.folds, validation_fraction=validation_fraction)
        return _for_fit(found, params)

    def split(folds: int) -> Split:
        found = splitter.split(
            rows,
            validation_fraction=validation_fraction,
            test_fraction=params.split.test_fraction,
            folds=folds,
        )
        return _for_fit(found, params)

    wanted = params.split.folds
    if wanted is not None or not _is_measured_by_choice(params, training_target):
        return split(wanted or 0)
    try:
        return split(FOLDS_OF_CHOICE)
    except BadInput:  # a fold would lack a class, or there are too few groups
        return split(0)


def _for_fit(split: Split, params: TrainModelParams) -> Split:
    """Leave no validation rows to a training that chooses among candidates."""
    if not params.chooses:
        return split
    return replace(split, main=_merge(split.main), folds=tuple(map(_merge, split.folds)))


def _is_measured_by_choice(params: TrainModelParams, training_target: Target) -> bool:
    """Return whether the folds of the split, if there are any, choose the algorithm and measure it."""
    count = len(training_target.rows)
    are_few = count <= CROSS_VALIDATED_ROWS and count * len(training_target.classes) <= CROSS_VALIDATED_SCORES
    has_test_rows = params.split.method in (SplitMethod.TIME, SplitMethod.DATASET)
    return params.is_auto and are_few and not has_test_rows


def _merge(fold: Fold) -> Fold:
    """Let the model learn from the validation rows too: candidates compete by cross-validation instead."""
    # In tiny data the test rows may be the validation rows too.
    validation = np.setdiff1d(fold.validation, fold.test)
    return Fold(np.concatenate((fold.train, validation)), np.array([], dtype=np.intp), fold.test)


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
