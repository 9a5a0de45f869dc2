"""The column to predict: which task it makes, and its values."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.options import Declared
from app.models.versions import Task
from worker import cells
from worker.cells import BadCell
from worker.context import JobError
from worker.training import columns

FEW_NUMBERS: Final = 20
"""Up to so many different whole numbers are taken for classes, if each is there twice on average."""

MAX_CLASSES: Final = 1000
MAX_LABEL_CHARACTERS: Final = 200
AUTO: Final = "auto"
MAX_VALUE: Final = 1e100
"""The squares of larger errors may be beyond what a double holds."""


class BadTarget(JobError):
    """The target cannot be learnt; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_target", message, is_retryable=False)


@dataclass(frozen=True)
class Target:
    """What to predict, for the rows that say so.

    `rows` are their places in the table. `values` are labels for a classification, whose `classes` are in the
    order in which estimators have them, and floats for a regression. `missing` are the texts that mark a row
    without a value.
    """

    task: Task
    rows: npt.NDArray[np.intp]
    values: npt.NDArray[Any]
    classes: tuple[str, ...]
    missing: tuple[str, ...] = ()


def read(name: str, values: pa.ChunkedArray, task: str, declared: str | None = None) -> Target:
    """The target of this name, in the type in which it is shown. `task` may be `auto`. Raises BadTarget.

    A target that is declared a number is one for a regression, one declared anything else one of classes.
    """
    values = columns.plain(values)
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise BadTarget(f"the target {name!r} holds {values.type}, which cannot be predicted")
    marks: tuple[str, ...] = ()
    if pa.types.is_string(values.type):
        marks = columns.marks_among(columns.filled(values).unique().to_pylist())
        if marks:
            is_mark = pc.is_in(pc.utf8_trim_whitespace(values), pa.array(marks))
            values = pc.if_else(is_mark, pa.scalar(None, pa.string()), values)
    if task != AUTO:
        wanted = Task(task)
    elif declared is not None:
        wanted = Task.REGRESSION if declared == Declared.NUMBER else Task.CLASSIFICATION
    else:
        wanted = _task(values)
    found = _labels(name, values) if wanted is Task.CLASSIFICATION else _numbers(name, values)
    return dataclasses.replace(found, missing=marks)


def _task(values: pa.ChunkedArray) -> Task:
    kept = columns.filled(values)
    distinct = kept.unique().to_pylist()
    if pa.types.is_boolean(kept.type):
        return Task.CLASSIFICATION
    if pa.types.is_string(kept.type) and not columns.are_numbers(distinct):
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
    if len(found) == len(rows):
        raise BadTarget(
            f"each of the {len(found)} classes of the target {name!r} has one row, so nothing can be held out"
            " to measure by; give at least one class two rows, or ask for a regression"
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
    largest = rows[np.abs(found[rows]).argmax()]
    if abs(found[largest]) > MAX_VALUE:
        raise BadTarget(
            f"the target {name!r}, row {largest}: {found[largest]:g} is too large to be learnt; if it marks a"
            " missing value, leave the cell empty"
        )
    if np.ptp(found[rows]) == 0:
        raise BadTarget(f"the target {name!r} is {found[rows[0]]:g} in every row; there is nothing to learn")
    return Target(Task.REGRESSION, rows, found[rows], ())
