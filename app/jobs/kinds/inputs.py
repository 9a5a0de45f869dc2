"""The part of each row that a model receives, decided before the job is created.

A model may be known to take a text (its only column is a text) or certain columns, or its input is unknown. A
request has texts, instances (objects or lists) or a dataset. The model then receives:

    its input is      a text                    columns                    unknown
    texts             the texts                 input_mismatch             the texts
    objects           the text column of each   a list of its columns      the objects, or `column` of each
    lists             input_mismatch            the lists                  the lists
    a dataset         its text column           a list of its columns      `column`, or a list of all columns

A list of its columns is in the model's own order: its file need not name them.

Errors: `missing_columns` if a column that is needed is missing, `column_mismatch` if its type does not fit,
`wrong_row_length` for a list that is too long or too short, `unknown_column` if the dataset does not have the
`column` or `id_column`. Additional columns are ignored. Of instances only the names and the number of values
are checked: a value that does not fit is an error of its row, and the job continues.

The *text column* is `column`; by default the one that the model was trained with, the one named `text`, or
the only text column of a dataset. If several remain, the error is `ambiguous_column`.

The *id* of a row's result is in `id_column`; by default in the column `id`, unless the model takes that.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from app.datasets.options import Declared
from app.datasets.values import EMPTY, MOSTLY_NUMBERS, Column, Dataset
from app.jobs.errors import (
    AmbiguousColumn,
    ColumnMismatch,
    InputMismatch,
    MissingColumns,
    RowMissesColumns,
    UnknownColumn,
    WrongRowLength,
)
from app.jobs.params import RowShape
from app.models.versions import InputColumn, ModelVersion

TEXT: Final = "text"
ID: Final = "id"

# The column types that fit an expected type. Dates count as numbers: they are days. Any scalar can be read as
# a text: as it was written.
_FLAT: Final = frozenset({"text", "integer", "number", "boolean", "date", "timestamp"})
_FITS: Final = {"number": _FLAT - {"text"}, "text": _FLAT, "category": _FLAT}


def shape_of_texts(model: ModelVersion) -> RowShape:
    """Return the shape of texts, each a row. Raises InputMismatch."""
    if model.columns is not None and not _takes_one_text(model):
        raise InputMismatch(model=model.reference, takes="instances with columns", got="texts")
    return RowShape()


def shape_of_instances(
    model: ModelVersion,
    rows: Sequence[dict[str, Any] | list[Any]],
    *,
    column: str | None = None,
    id_column: str | None = None,
    target: str | None = None,
) -> RowShape:
    """Return the shape of objects or lists, each a row. The model never receives the `target`.

    Raises InputMismatch, MissingColumns, WrongRowLength.
    """
    lists = [row for row in rows if isinstance(row, list)]
    objects = [row for row in rows if isinstance(row, dict)]
    found = _id_of_rows(model, objects, id_column)
    if text_column(model) is not None:
        if lists:
            raise InputMismatch(model=model.reference, takes="texts", got="lists")
        text = column or _text_of_objects(model, objects)
        ensure_each_has(rows, (text,))
        return RowShape(column=text, id_column=found)
    if model.columns is None:
        if column is not None:
            ensure_each_has(rows, (column,))
            return RowShape(column=column, id_column=found)
        if target is None:
            return RowShape(id_column=found)
        names = dict.fromkeys(name for row in objects for name in row if name not in (found, target))
        return RowShape(columns=tuple(names), id_column=found)
    _reject_single_column(column, model)
    needed = tuple(expected.name for expected in model.columns)
    ensure_each_has(rows, needed)
    _ensure_length(rows, len(needed))
    return RowShape(columns=needed, id_column=found, is_list=True)


def shape_of_dataset(
    model: ModelVersion,
    dataset: Dataset,
    *,
    column: str | None = None,
    id_column: str | None = None,
    target: str | None = None,
) -> RowShape:
    """Return the shape of the rows of a dataset. The model never receives the `target`.

    Raises MissingColumns, ColumnMismatch, AmbiguousColumn, UnknownColumn, InputMismatch.
    """
    types = {found.name: found for found in dataset.columns}
    for option, name in (("column", column), ("id_column", id_column), ("target", target)):
        if name is not None and name not in types:
            raise UnknownColumn(option=option, column=name, dataset=dataset.name, columns=list(types))
    identity = id_column or _id_of_dataset(model, dataset, target)
    if text_column(model) is not None:
        text = column or _text_of_dataset(model, types, {identity, target})
        _ensure_fits(InputColumn(text, TEXT), types)
        return RowShape(column=text, id_column=identity, is_text=True)
    if model.columns is None:
        if column is not None:
            return RowShape(column=column, id_column=identity)
        left = tuple(name for name in types if name not in (identity, target))
        return RowShape(columns=left, id_column=identity, is_list=True)
    _reject_single_column(column, model)
    missing = [name for name in _names(model) if name not in types]
    if missing:
        raise MissingColumns(missing=missing, expected=list(_names(model)))
    for expected in model.columns:
        _ensure_fits(expected, types)
    return RowShape(columns=tuple(_names(model)), id_column=identity, is_list=True)


def text_column(model: ModelVersion) -> str | None:
    """Return the name of the only column of a model that takes texts; None for others."""
    match model.columns:
        case (InputColumn(name=name, type="text"),):
            return name
        case _:
            return None


def _takes_one_text(model: ModelVersion) -> bool:
    """Whether a bare text is a row of the model."""
    match model.columns:
        case (InputColumn(type="text" | "category"),):
            return True
        case _:
            return False


def ensure_each_has(rows: Sequence[Any], names: Sequence[str]) -> None:
    """Raise RowMissesColumns unless each row that is an object has all of these columns."""
    bad = [
        (index, missing)
        for index, row in enumerate(rows)
        if isinstance(row, dict) and (missing := [name for name in names if name not in row])
    ]
    if bad:
        row, missing = bad[0]
        raise RowMissesColumns(row=row, rows=len(bad), missing=missing, expected=list(names))


def _names(model: ModelVersion) -> Collection[str]:
    """Return the columns that a model needs by name; a text column may have any name."""
    if model.columns is None or text_column(model) is not None:
        return ()
    return dict.fromkeys(expected.name for expected in model.columns)


def _id_of_rows(model: ModelVersion, rows: Sequence[dict[str, Any]], id_column: str | None) -> str | None:
    """Return the id column. Rows may lack it, but if all do, the name must be wrong."""
    if id_column is not None:
        if not any(id_column in row for row in rows):
            raise MissingColumns(missing=[id_column], expected=[id_column])
        return id_column
    return ID if ID not in _names(model) and any(ID in row for row in rows) else None


def _text_of_objects(model: ModelVersion, rows: Sequence[dict[str, Any]]) -> str:
    own = text_column(model)
    for name in (own, TEXT):
        if name is not None and any(name in row for row in rows):
            return name
    raise MissingColumns(missing=[own], expected=[own])


def _id_of_dataset(model: ModelVersion, dataset: Dataset, target: str | None) -> str | None:
    """Return the only column that is declared an id, or the one named `id`."""
    free = [found for found in dataset.columns if found.name not in _names(model) and found.name != target]
    declared = [found.name for found in free if found.declared == Declared.ID]
    if len(declared) == 1:
        return declared[0]
    return ID if any(found.name == ID for found in free) else None


def _text_of_dataset(model: ModelVersion, types: Mapping[str, Column], others: Collection[str | None]) -> str:
    own = text_column(model)
    free = {name: found for name, found in types.items() if name not in others}
    texts = [name for name, found in free.items() if found.type == TEXT]
    for name in (own, TEXT):
        if name is not None and name in texts:
            return name
    # A column of digits is text to a model that was trained with a text column of this name.
    if own in free and (own != TEXT or not texts):
        return own
    candidates = texts
    if not candidates:
        raise MissingColumns(missing=[own], expected=[own])
    if len(candidates) > 1:
        raise AmbiguousColumn(candidates=candidates)
    return candidates[0]


def _reject_single_column(column: str | None, model: ModelVersion) -> None:
    if column is not None:
        raise InputMismatch(model=model.reference, takes="all of its columns", got="one by `column`")


def _ensure_length(rows: Sequence[Any], length: int) -> None:
    bad = [index for index, row in enumerate(rows) if isinstance(row, list) and len(row) != length]
    if bad:
        raise WrongRowLength(row=bad[0], rows=len(bad), got=len(rows[bad[0]]), expected=length)


def _ensure_fits(expected: InputColumn, types: Mapping[str, Column]) -> None:
    """Raise ColumnMismatch for a column whose type does not fit; single cells are checked by the job."""
    fitting, found = _FITS.get(expected.type), types[expected.name]
    if fitting is None or found.type in fitting or found.holds == EMPTY:
        return
    if expected.type == "number" and found.holds == MOSTLY_NUMBERS:
        return
    raise ColumnMismatch(column=expected.name, expected=expected.type, found=found.type)
