"""The column to predict: which task it makes, and its values."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.models.versions import Task
from worker.context import JobError
from worker.training import cells, columns
from worker.training.cells import BadCell

FEW_NUMBERS: Final = 20
"""Up to so many different whole numbers are taken for classes, if each is there twice on average."""

MAX_CLASSES: Final = 1000
MAX_LABEL_CHARACTERS: Final = 200
AUTO: Final = "auto"


class BadTarget(JobError):
    """The target cannot be learnt; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_target", message, is_retryable=False)


@dataclass(frozen=True)
class Target:
    """What to predict, for the rows that say so.

    `rows` are their places in the table. `values` are labels for a classification, whose `classes` are in the
    order in which estimators have them, and floats for a regression.
    """

    task: Task
    rows: npt.NDArray[np.intp]
    values: npt.NDArray[Any]
    classes: tuple[str, ...]


def read(name: str, values: pa.ChunkedArray, task: str) -> Target:
    """The target of this name. `task` may be `auto`. Raises BadTarget."""
    values = columns.plain(values)
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise BadTarget(f"the target {name!r} holds {values.type}, which cannot be predicted")
    wanted = _task(values) if task == AUTO else Task(task)
    return _labels(name, values) if wanted is Task.CLASSIFICATION else _numbers(name, values)


def _task(values: pa.ChunkedArray) -> Task:
    kept = columns.filled(values)
    distinct = kept.unique().to_pylist()
    if pa.types.is_boolean(kept.type):
        return Task.CLASSIFICATION
    try:
        numbers = [cells.number(value) for value in distinct]
    except BadCell:
        return Task.CLASSIFICATION
    are_whole = all(number.is_integer() for number in numbers)
    are_few = len(numbers) <= min(FEW_NUMBERS, len(kept) / 2)
    return Task.CLASSIFICATION if are_whole and are_few else Task.REGRESSION


def _labels(name: str, values: pa.ChunkedArray) -> Target:
    encoded = values.combine_chunks().dictionary_encode()
    written = [cells.label(value) or "" for value in encoded.dictionary.to_pylist()]
    labels = np.array([*written, ""])[encoded.indices.fill_null(len(written)).to_numpy()]
    rows = np.flatnonzero(labels != "")
    found = np.unique(labels[rows]).tolist()
    if len(found) < 2:
        only = f"only the class {found[0]!r}" if found else "no values"
        raise BadTarget(f"the target {name!r} has {only}; there must be two classes at least")
    if len(found) > MAX_CLASSES or (len(found) > FEW_NUMBERS and len(found) > len(rows) / 2):
        raise BadTarget(
            f"the target {name!r} has {len(found)} different values in {len(rows)} rows, which cannot be"
            " classes; for numbers ask for a regression"
        )
    if max(map(len, found)) > MAX_LABEL_CHARACTERS:
        raise BadTarget(f"the target {name!r} has a class of more than {MAX_LABEL_CHARACTERS} characters")
    return Target(
        Task.CLASSIFICATION,
        rows,
        labels[rows],
        tuple(found),
    )


def _numbers(name: str, values: pa.ChunkedArray) -> Target:
    found = np.empty(len(values))
    if pa.types.is_temporal(values.type):
        raise BadTarget(f"the target {name!r} holds dates; only numbers can be learnt by regression")
    for row, value in enumerate(values.to_pylist()):
        try:
            found[row] = cells.number(value)
        except BadCell as error:
            raise BadTarget(f"the target {name!r}, row {row}: {error}") from None
    rows = np.flatnonzero(np.isfinite(found))
    if len(rows) == 0:
        raise BadTarget(f"the target {name!r} has no values")
    if np.ptp(found[rows]) == 0:
        raise BadTarget(f"the target {name!r} is {found[rows[0]]:g} in every row; there is nothing to learn")
    return Target(Task.REGRESSION, rows, found[rows], ())
