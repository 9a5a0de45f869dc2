"""Read the target column: decide between classification and regression, and return its values."""

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
"""Up to this many distinct integers are treated as classes, if each occurs at least twice on average."""

MAX_CLASSES: Final = 1000
MAX_LABEL_CHARACTERS: Final = 200
AUTO: Final = "auto"
MAX_VALUE: Final = 1e100
"""The square of a larger error could overflow a double."""


class BadTarget(JobError):
    """No model can be trained on the target; never retried."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_target", message, is_retryable=False)


@dataclass(frozen=True)
class Target:
    """The values to predict. Rows without a value are left out.

    `rows` are the indices of the others in the table, and `values` has their values: labels for a
    classification, floats for a regression. `classes` are the labels in the order of scikit-learn's
    `classes_`. `missing_markers` are the texts that mark a missing value, like `NA`.
    """

    task: Task
    rows: npt.NDArray[np.intp]
    values: npt.NDArray[Any]
    classes: tuple[str, ...]
    missing_markers: tuple[str, ...] = ()


def read(name: str, values: pa.ChunkedArray, task: str, declared: str | None = None) -> Target:
    """Read the target of this name. `task` may be `auto`. Raises BadTarget.

    With `auto`, a declared type decides: a number means regression, any other type classification. Without a
    declaration the values decide.
    """
    values = columns.decode(values)
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise BadTarget(f"the target {name!r} holds {values.type}; choose a column of numbers or labels")
    markers: tuple[str, ...] = ()
    if pa.types.is_string(values.type):
        markers = columns.find_missing_markers(columns.drop_missing(values).unique().to_pylist())
        if markers:
            is_marker = pc.is_in(pc.utf8_trim_whitespace(values), pa.array(markers))
            values = pc.if_else(is_marker, pa.scalar(None, pa.string()), values)
    if task != AUTO:
        chosen = Task(task)
    elif declared is not None:
        chosen = Task.REGRESSION if declared == Declared.NUMBER else Task.CLASSIFICATION
    else:
        chosen = _infer_task(values)
    target = _read_labels(name, values) if chosen is Task.CLASSIFICATION else _read_numbers(name, values)
    return dataclasses.replace(target, missing_markers=markers)


def _infer_task(values: pa.ChunkedArray) -> Task:
    present = columns.drop_missing(values)
    distinct = present.unique().to_pylist()
    if pa.types.is_boolean(present.type):
        return Task.CLASSIFICATION
    if pa.types.is_string(present.type) and not columns.are_numbers(distinct):
        return Task.CLASSIFICATION
    try:
        numbers = [cells.parse_number(value) for value in distinct]
    except BadCell:
        return Task.CLASSIFICATION
    are_integers = all(number.is_integer() for number in numbers)
    are_few = len(numbers) <= min(FEW_NUMBERS, len(present) / 2)
    return Task.CLASSIFICATION if are_integers and are_few else Task.REGRESSION


def _read_labels(name: str, values: pa.ChunkedArray) -> Target:
    encoded = values.combine_chunks().dictionary_encode()
    dictionary = [cells.to_label(value) or "" for value in encoded.dictionary.to_pylist()]
    labels = np.array([*dictionary, ""])[encoded.indices.fill_null(len(dictionary)).to_numpy()]
    rows = np.flatnonzero(labels != "")
    classes = np.unique(labels[rows]).tolist()
    if len(classes) < 2:
        only = f"only the class {classes[0]!r}" if classes else "no values"
        raise BadTarget(f"the target {name!r} has {only}; a classification needs at least two classes")
    if len(classes) > MAX_CLASSES or (len(classes) > FEW_NUMBERS and len(classes) > len(rows) / 2):
        raise BadTarget(
            f"the target {name!r} has {len(classes)} different values in {len(rows)} rows, too many to be"
            " classes; if they are numbers, set task to regression"
        )
    if len(classes) == len(rows):
        raise BadTarget(
            f"each of the {len(classes)} classes of the target {name!r} has one row, so there is no row for"
            " validation; give at least one class two rows, or set task to regression"
        )
    if max(map(len, classes)) > MAX_LABEL_CHARACTERS:
        raise BadTarget(
            f"the target {name!r} has a class name of more than {MAX_LABEL_CHARACTERS} characters; shorten it"
        )
    return Target(Task.CLASSIFICATION, rows, labels[rows], tuple(classes))


def _read_numbers(name: str, values: pa.ChunkedArray) -> Target:
    numbers = np.empty(len(values))
    if pa.types.is_temporal(values.type):
        raise BadTarget(f"the target {name!r} holds dates; a regression needs numbers")
    for row, value in enumerate(values.to_pylist()):
        try:
            numbers[row] = cells.parse_number(value)
        except BadCell as error:
            raise BadTarget(f"the target {name!r}, row {row}: {error}") from None
    rows = np.flatnonzero(np.isfinite(numbers))
    if len(rows) == 0:
        raise BadTarget(f"the target {name!r} has no values")
    largest = rows[np.abs(numbers[rows]).argmax()]
    if abs(numbers[largest]) > MAX_VALUE:
        raise BadTarget(
            f"the target {name!r}, row {largest}: {numbers[largest]:g} is too large; if it marks"
            " a missing value, leave the cell empty"
        )
    if np.ptp(numbers[rows]) == 0:
        raise BadTarget(f"the target {name!r} is {numbers[rows[0]]:g} in every row; choose another target")
    return Target(Task.REGRESSION, rows, numbers[rows], ())
