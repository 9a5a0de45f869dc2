"""The predictions for the test rows as a table, which becomes a dataset."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.datasets.conversion.row_groups import RowGroups
from app.models.versions import Task
from worker.training.fitted import FittedModel, HeldOut

MAX_SCORES: Final = 20
"""With more classes, a row has only the score of the predicted one."""


_NAMES: Final = frozenset({"row", "prediction", "is_correct", "score", "error"})


def table(model: FittedModel, held_out: HeldOut, target: str) -> pa.Table:
    """Return a row for each prediction: the number of the row, its true value, and what was predicted.

    Rows are numbered from 0, in the dataset that they come from, and sorted by their number. The target keeps
    its name unless another column has it.
    """
    order = np.argsort(held_out.rows, kind="stable")
    part = held_out.part(order)
    columns: dict[str, Any] = {"row": model.plan.target.rows[part.rows]}
    columns["target" if target in _NAMES or target.startswith("score ") else target] = part.truth
    if model.plan.target.task is Task.REGRESSION:
        return pa.table({**columns, "prediction": part.values, "error": part.values - part.truth})
    predicted = part.labels
    classes = np.asarray(predicted.classes)
    positions = np.searchsorted(classes, predicted.labels)
    columns["prediction"] = predicted.labels
    columns["is_correct"] = predicted.labels == part.truth
    columns["score"] = predicted.scores[np.arange(len(positions)), positions]
    if len(classes) <= MAX_SCORES:
        for column, label in enumerate(predicted.classes):
            columns[f"score {label}"] = predicted.scores[:, column]
    return pa.table(columns)


def write(found: pa.Table, path: Path) -> None:
    """Write a table in small row groups, as jobs read datasets."""
    with RowGroups(path, found.schema) as groups:
        for batch in found.to_batches():
            groups.add(batch)
