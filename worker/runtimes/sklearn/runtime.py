"""scikit-learn, from skops files: those that were trained here, and those that users bring.

A file of ours says what each of its columns holds. Of another's we know what scikit-learn itself keeps: the
names of the columns if it was fitted on a table with names, else how many there are, called x0, x1, ….
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from app.jobs.params import ModelReference
from app.models.versions import InputColumn, Task
from worker import cells
from worker.cells import BadCell, Content
from worker.columnar import TableLists
from worker.context import JobError, RowError
from worker.runtimes import prediction_structs, probing
from worker.runtimes.runtime import BrokenModel, Signature
from worker.runtimes.sklearn import estimators, inspection
from worker.runtimes.sklearn.columns import BOUNDED, Reader, found_in, matrix_of, read_table
from worker.runtimes.sklearn.estimators import Kind
from worker.runtimes.sklearn.inspection.part import SEVERAL_OUTPUTS
from worker.training import artifact, outputs, threads
from worker.training.artifact import Note, NotedColumn
from worker.training.outputs import Classified, Floats

MAX_SCORES: Final = 100
"""A model with more classes gives the scores of as many as have the highest."""

MAX_VALUES: Final = 10_000
"""A transformer gives at most so many values for a row."""

TEXT: Final = InputColumn("text", "text")
"""What the only column of somebody else's model is called that takes texts."""


class SklearnRuntime:
    """Loads skops files."""

    def load(self, reference: ModelReference, path: Path | None) -> "SklearnModel":
        """The model in this file. Raises UnsafeModel, BrokenModel."""
        if path is None:
            raise BrokenModel("it has no file")
        estimator, inputs = _opened(path)
        return SklearnModel(estimator, inputs)

    def inspect(self, path: Path) -> Signature:
        """What a file says of itself. Raises UnsafeModel, BrokenModel."""
        estimator, inputs = _opened(path)
        said = _probed(estimator, inputs)
        kinds: dict[Kind | None, Task] = {
            Kind.CLASSIFIER: Task.CLASSIFICATION,
            Kind.REGRESSOR: Task.REGRESSION,
        }
        task = kinds.get(estimators.kind_of(estimator)) if said is None else probing.task_of(said)
        return Signature(
            task=task,
            columns=inputs.columns,
            classes=_classes(estimator) if task is Task.CLASSIFICATION else None,
            library_versions=inspection.versions(path),
        )


@dataclass(frozen=True)
class Outputs:
    """The predictions of what is neither classifier nor regressor of one value, and the numbers in them."""

    rows: list[dict[str, Any]]
    numbers: Floats


@dataclass(frozen=True)
class Inputs:
    """What a model takes; `readers` are there for each column if we know what it holds."""

    columns: tuple[InputColumn, ...] | None
    readers: tuple[Reader, ...] | None = None
    are_texts: bool = False


class SklearnModel:
    """A loaded model.

    A row is an object by the columns' names, a list in their order, or a text for a model that takes texts. A
    prediction is `{"label", "score", "scores"}`, where scores are probabilities, or margins if the model has
    none; or `{"value"}`; or `{"outputs"}` of what is neither classifier nor regressor: see `_outputs`.
    """

    def __init__(self, estimator: Any, inputs: Inputs) -> None:
        self._estimator = estimator
        self._kind = estimators.kind_of(estimator)
        self._inputs = inputs
        self._names = None if inputs.columns is None else [column.name for column in inputs.columns]

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """One prediction for each row, or a RowError that says what is wrong with it.

        Raises JobError `prediction_failed` for rows that can be read, but not predicted.
        """
        return self._for_each(rows, self._said)

    def predict_to_write(self, rows: Sequence[Any]) -> list[Any]:
        """As `predict`, for those who only write it down."""
        return self._for_each(rows, self._written)

    def _for_each(self, rows: Sequence[Any], say: Callable[[Any], list[Any]]) -> list[Any]:
        places, matrix, faults = self._matrix(rows)
        if matrix is None:
            return [RowError("bad_row", faults[place]) for place in range(len(rows))]
        if not faults:
            return _said_by(say, matrix)
        said: list[Any] = [RowError("bad_row", faults.get(place, "")) for place in range(len(rows))]
        for place, prediction in zip(places, _said_by(say, matrix), strict=True):
            said[place] = prediction
        return said

    def _matrix(self, rows: Sequence[Any]) -> tuple[list[int], Any, dict[int, str]]:
        """Of rows that can be read the places, and what the model takes; what is wrong with the others."""
        readers, names = self._inputs.readers, self._names
        if isinstance(rows, TableLists) and readers is not None and names is not None:  # noqa: SIM102
            if not self._inputs.are_texts and len(names) == rows.width:
                return read_table(rows, readers, names)
        read: list[Any] = []
        places: list[int] = []
        faults: dict[int, str] = {}
        for place, row in enumerate(rows):
            try:
                read.append(self._read(row))
                places.append(place)
            except BadCell as error:
                faults[place] = str(error)
        if not read or self._inputs.are_texts:
            return places, read or None, faults
        return places, matrix_of(read, readers), faults

    def _read(self, row: Any) -> Any:
        if self._inputs.are_texts:
            return self._text(row)
        values = self._values(row)
        if self._inputs.readers is None:
            return values
        return [self._cell(place, value) for place, value in enumerate(values)]

    def _text(self, row: Any) -> str:
        if isinstance(row, str):
            return row
        (value,) = self._values(row)
        return cells.text(value)

    def _values(self, row: Any) -> list[Any]:
        match row:
            case Mapping() if self._names is not None:
                for name in self._names:
                    if name not in row:
                        raise BadCell(f"the row has no {name!r}; where a value is missing, say null")
                return [row[name] for name in self._names]
            case str() if self._names is not None and len(self._names) == 1:
                return [row]
            case list() | tuple() if self._names is None or len(row) == len(self._names):
                return list(row)
            case list() | tuple():
                raise BadCell(f"the row has {len(row)} values; the model takes {len(self._names or ())}")
            case Mapping():
                raise BadCell(
                    "the row is an object, but the model does not know its columns by name; send lists"
                )
        takes = "a text or an object" if self._inputs.are_texts else "an object or a list"
        raise BadCell(f"the row is {cells.shown(row)}, not {takes}")

    def _cell(self, place: int, value: Any) -> Any:
        readers, names = self._inputs.readers or (), self._names or ()
        try:
            return readers[place].read(value)
        except BadCell as error:
            raise BadCell(f"{names[place]!r}: {error}") from None

    def _said(self, rows: Any) -> list[Any]:
        said = self._asked(rows)
        if isinstance(said, Classified):
            return _in_place(_labels(said), said.scores)
        if isinstance(said, Outputs):
            return _in_place([{"outputs": row} for row in said.rows], said.numbers)
        return _in_place([{"value": value} for value in said.tolist()], said)

    def _written(self, rows: Any) -> list[Any]:
        said = self._asked(rows)
        if isinstance(said, Classified):
            is_short = len(said.classes) <= MAX_SCORES
            quick = (
                prediction_structs.labelled(said.labels.tolist(), said.scores, said.classes)
                if is_short
                else None
            )
            return _in_place(_labels(said) if quick is None else quick, said.scores)
        if isinstance(said, Outputs):
            return _in_place([{"outputs": row} for row in said.rows], said.numbers)
        return _in_place(prediction_structs.values(said.tolist()), said)

    def _asked(self, rows: Any) -> Classified | Outputs | Floats:
        estimator = self._estimator
        if self._kind is not Kind.CLASSIFIER and self._kind is not Kind.REGRESSOR:
            return _outputs(self._kind, estimator, rows)
        if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
            # Once, though a label and its scores are asked for.
            rows, estimator = estimator[:-1].transform(rows), estimator.steps[-1][1]
        if is_classifier(estimator):
            return outputs.classify(estimator, rows)
        values = np.asarray(estimator.predict(rows), dtype=np.float64)
        if values.ndim > 1 and values.shape[1] != 1:
            return Outputs([{"values": row} for row in values.tolist()], values)
        return values.reshape(-1)


def _outputs(kind: Kind | None, estimator: Any, rows: Any) -> Outputs:
    """`{"cluster"}`, `{"outlier", "score"}` with a score below 0 for an outlier, or `{"values"}`."""
    match kind:
        case Kind.CLUSTERER:
            clusters = np.asarray(estimator.predict(rows))
            return Outputs([{"cluster": cluster} for cluster in clusters.tolist()], clusters)
        case Kind.OUTLIER_DETECTOR:
            scores = np.asarray(estimator.decision_function(rows), dtype=np.float64).reshape(-1)
            are_out = np.asarray(estimator.predict(rows)).reshape(-1) < 0
            pairs = zip(are_out.tolist(), scores.tolist(), strict=True)
            return Outputs([{"outlier": is_out, "score": score} for is_out, score in pairs], scores)
    values = estimator.transform(rows)
    if values.ndim == 2 and values.shape[1] > MAX_VALUES:
        raise ValueError(f"it gives {values.shape[1]} values for a row, more than {MAX_VALUES}")
    values = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if values.dtype.kind not in "fiub":
        raise ValueError("it gives other values than numbers")
    return Outputs([{"values": row} for row in values.tolist()], values)


def _said_by(say: Callable[[Any], list[Any]], rows: Any) -> list[Any]:
    with warnings.catch_warnings():
        # Of categories that are new, names that are not given, versions that differ: nothing to do about it.
        warnings.simplefilter("ignore")
        try:
            return say(rows)
        except MemoryError:
            raise
        except Exception as error:  # it may be somebody else's model: whatever it raises
            said = f"{type(error).__name__}: {error}"
            raise JobError("prediction_failed", said, is_retryable=False) from error


def _in_place(predictions: list[Any], numbers: Floats) -> list[Any]:
    """The predictions, with an error in the place of each whose numbers are not all finite."""
    are_finite = np.asarray(np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1))
    if are_finite.all():
        return predictions
    return [
        said if is_finite else RowError("not_a_number", "the model gives no number for this row")
        for said, is_finite in zip(predictions, are_finite.tolist(), strict=True)
    ]


def _labels(said: Classified) -> list[Any]:
    return [
        _label(label, dict(zip(said.classes, scores, strict=True)))
        for label, scores in zip(said.labels.tolist(), said.scores.tolist(), strict=True)
    ]


def _label(label: str, scores: dict[str, float]) -> dict[str, Any]:
    score = scores[label]
    if len(scores) > MAX_SCORES:
        scores = dict(sorted(scores.items(), key=lambda pair: -pair[1])[:MAX_SCORES])
    return {"label": label, "score": score, "scores": scores}


def _opened(path: Path) -> tuple[Any, Inputs]:
    threads.use_one()
    estimator = inspection.load(path)
    _ensure_predicts(estimator)
    note = artifact.read_note(path)
    if note is not None and _fits(note, estimator):
        return estimator, _noted(note)
    return estimator, _found(estimator)


def _ensure_predicts(estimator: Any) -> None:
    try:
        predicts = estimators.kind_of(estimator) is not None
        if predicts:
            check_is_fitted(estimator)
    except NotFittedError:
        raise BrokenModel("it is not fitted") from None
    except Exception:  # the object is of a trusted type, but what it holds is anybody's
        predicts = False
    if not predicts:
        raise BrokenModel(f"a {type(estimator).__name__} neither predicts nor transforms single rows")
    if is_classifier(estimator) and _classes(estimator) is None:
        raise BrokenModel(SEVERAL_OUTPUTS)


def _probed(estimator: Any, inputs: Inputs) -> Any:
    """A prediction for a row that was made up. Raises BrokenModel if there is none, whatever the row."""
    model = SklearnModel(estimator, inputs)
    if inputs.are_texts:
        return probing.prediction_of(model, ["a good day", ""])
    width = _column_count(estimator) or (None if inputs.columns is None else len(inputs.columns)) or 1
    return probing.prediction_of(model, estimators.example_rows(estimator, width))


def _classes(estimator: Any) -> tuple[str, ...] | None:
    try:
        classes = np.asarray(estimator.classes_)
    except Exception:  # see above
        return None
    if classes.ndim != 1 or classes.size == 0:
        return None
    return tuple(cells.label(value) or "" for value in classes.tolist())


def _fits(note: Note, estimator: Any) -> bool:
    """Whether the note is about this model: anybody can put one into a file."""
    count = _column_count(estimator)
    is_of_task = is_classifier(estimator) == (note.task is Task.CLASSIFICATION)
    return is_of_task and (
        count == len(note.columns) or (estimators.takes_texts(estimator) and len(note.columns) == 1)
    )


def _noted(note: Note) -> Inputs:
    are_texts = len(note.columns) == 1 and note.columns[0].content is Content.TEXT
    return Inputs(
        columns=tuple(InputColumn(column.name, column.type) for column in note.columns),
        readers=tuple(_reader(column) for column in note.columns),
        are_texts=are_texts,
    )


def _reader(column: NotedColumn) -> Reader:
    """How a column of a model that was trained here is read."""
    if column.content in (Content.TEXT, Content.CATEGORY):
        return Reader(cells.READERS[column.content], column.content)
    if column.content is Content.DATE:
        return Reader(cells.day, "number")
    if not column.missing:
        return BOUNDED
    return Reader(cells.without(column.missing), "number", largest=cells.MAX_NUMBER)


def _found(estimator: Any) -> Inputs:
    """What somebody else's model takes. By the places of its columns: it takes arrays."""
    if estimators.takes_texts(estimator):
        return Inputs(columns=(TEXT,), are_texts=True)
    names = getattr(estimator, "feature_names_in_", None)
    count = _column_count(estimator) if names is None else len(names)
    if count is None:
        return Inputs(columns=None)
    named = [f"x{place}" for place in range(count)] if names is None else [str(name) for name in names]
    readers = found_in(estimator, count)
    return Inputs(
        columns=tuple(InputColumn(name, reader.type) for name, reader in zip(named, readers, strict=True)),
        readers=readers,
    )


def _column_count(estimator: Any) -> int | None:
    count = getattr(estimator, "n_features_in_", None)
    return int(count) if isinstance(count, int | np.integer) and 0 < count < 1_000_000 else None
