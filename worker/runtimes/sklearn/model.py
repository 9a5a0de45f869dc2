"""A loaded scikit-learn model: parses rows, runs the estimator, and formats its outputs as predictions."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from app.models.versions import InputColumn
from worker import cells
from worker.cells import BadCell
from worker.columnar import TableLists
from worker.context import JobError, RowError
from worker.runtimes import prediction_structs
from worker.runtimes.sklearn import absent, column_parts, estimators
from worker.runtimes.sklearn.columns import Parser, parse_table, to_matrix
from worker.runtimes.sklearn.estimators import Kind
from worker.runtimes.sklearn.parsed_columns import ParsedColumns
from worker.training import outputs
from worker.training.outputs import ClassPredictions, Floats

MAX_SCORES: Final = 100
"""A prediction of a model with more classes has the scores of the highest ones only."""

MAX_VALUES: Final = 10_000
"""The largest number of values that a transformer may return for a row."""


@dataclass(frozen=True)
class Inputs:
    """The input of a model. `columns` and `parsers`, one for each column, are None if they are unknown."""

    columns: tuple[InputColumn, ...] | None
    parsers: tuple[Parser, ...] | None = None
    are_texts: bool = False


@dataclass(frozen=True)
class RawOutputs:
    """Outputs other than labels or single values: one dict per row, and all their numbers as an array."""

    rows: list[dict[str, Any]]
    numbers: Floats


class SklearnModel:
    """A loaded model.

    A row is an object by column name, a list in column order, or a text for a model that takes texts. A
    prediction is `{"label", "score", "scores"}` of a classifier, where scores are probabilities, or margins
    if the model has none; `{"value"}` of a regressor; or `{"outputs"}` of others: `{"cluster"}`,
    `{"outlier", "score"}` or `{"values"}`.
    """

    def __init__(self, estimator: Any, inputs: Inputs) -> None:
        self._estimator = estimator
        self._kind = estimators.kind_of(estimator)
        self._parts = column_parts.find(estimator)
        self._inputs = inputs
        self._names = None if inputs.columns is None else [column.name for column in inputs.columns]

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """Return a prediction for each row, or a RowError for one that cannot be parsed.

        Raises JobError `prediction_failed` if the estimator raises.
        """
        return self._predict(rows, self._to_dicts)

    def predict_to_write(self, rows: Sequence[Any]) -> list[Any]:
        """Like `predict`, but may return structs instead of dicts."""
        return self._predict(rows, self._to_structs)

    def _predict(self, rows: Sequence[Any], run: Callable[[Any], list[Any]]) -> list[Any]:
        valid, matrix, errors = self._parse_rows(rows)
        if matrix is None:
            return [RowError("bad_row", errors[index]) for index in range(len(rows))]
        if not errors:
            return _run_guarded(run, matrix)
        predictions: list[Any] = [RowError("bad_row", errors.get(index, "")) for index in range(len(rows))]
        for index, prediction in zip(valid, _run_guarded(run, matrix), strict=True):
            predictions[index] = prediction
        return predictions

    def _parse_rows(self, rows: Sequence[Any]) -> tuple[list[int], Any, dict[int, str]]:
        """Return the indices of valid rows, the estimator's input for them, and the errors by index."""
        parsers, names = self._inputs.parsers, self._names
        if isinstance(rows, TableLists) and parsers is not None and names is not None:  # noqa: SIM102
            if not self._inputs.are_texts and len(names) == rows.width:
                return parse_table(rows, parsers, names)
        if self._inputs.are_texts and set(map(type, rows)) <= {str}:
            return list(range(len(rows))), list(rows) or None, {}
        parsed: list[Any] = []
        valid: list[int] = []
        errors: dict[int, str] = {}
        for index, row in enumerate(rows):
            try:
                parsed.append(self._parse_row(row))
                valid.append(index)
            except BadCell as error:
                errors[index] = str(error)
        if not parsed or self._inputs.are_texts:
            return valid, parsed or None, errors
        return valid, to_matrix(parsed, parsers), errors

    def _parse_row(self, row: Any) -> Any:
        if self._inputs.are_texts:
            return self._parse_text_row(row)
        values = self._values(row)
        if self._inputs.parsers is None:
            return values
        return [self._parse_value(index, value) for index, value in enumerate(values)]

    def _parse_text_row(self, row: Any) -> str:
        if isinstance(row, str):
            return row
        (value,) = self._values(row)
        return cells.parse_text(value)

    def _values(self, row: Any) -> list[Any]:
        match row:
            case Mapping() if self._names is not None:
                for name in self._names:
                    if name not in row:
                        raise BadCell(f"the row has no {name!r}; send null for a missing value")
                return [row[name] for name in self._names]
            case str() if self._names is not None and len(self._names) == 1:
                return [row]
            case list() | tuple() if self._names is None or len(row) == len(self._names):
                return list(row)
            case list() | tuple():
                raise BadCell(f"the row has {len(row)} values; the model takes {len(self._names or ())}")
            case Mapping():
                raise BadCell(
                    "the row is an object, but the model has no column names; send a list of values"
                )
        expected = "a text or an object" if self._inputs.are_texts else "an object or a list"
        raise BadCell(f"the row is {cells.preview(row)}; send {expected}")

    def _parse_value(self, index: int, value: Any) -> Any:
        parsers, names = self._inputs.parsers or (), self._names or ()
        try:
            return parsers[index].parse(value)
        except BadCell as error:
            raise BadCell(f"{names[index]!r}: {error}") from None

    def _to_dicts(self, rows: Any) -> list[Any]:
        result = self._run_estimator(rows)
        if isinstance(result, ClassPredictions):
            return _replace_not_finite(_label_dicts(result), result.scores)
        if isinstance(result, RawOutputs):
            return _replace_not_finite([{"outputs": row} for row in result.rows], result.numbers)
        return _replace_not_finite([{"value": value} for value in result.tolist()], result)

    def _to_structs(self, rows: Any) -> list[Any]:
        result = self._run_estimator(rows)
        if isinstance(result, ClassPredictions):
            structs = None
            if len(result.classes) <= MAX_SCORES:
                structs = prediction_structs.label_predictions(
                    result.labels.tolist(), result.scores, result.classes
                )
            return _replace_not_finite(_label_dicts(result) if structs is None else structs, result.scores)
        if isinstance(result, RawOutputs):
            return _replace_not_finite([{"outputs": row} for row in result.rows], result.numbers)
        return _replace_not_finite(prediction_structs.value_predictions(result.tolist()), result)

    def _run_estimator(self, rows: Any) -> ClassPredictions | RawOutputs | Floats:
        estimator = self._estimator
        if self._kind is not Kind.CLASSIFIER and self._kind is not Kind.REGRESSOR:
            return _run_other(self._kind, estimator, _to_array(rows))
        if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
            # Transform once, although `classify` may call both predict and predict_proba.
            rows, estimator = self._transform(estimator, rows), estimator.steps[-1][1]
        else:
            rows = _to_array(rows)
        if is_classifier(estimator):
            return outputs.classify(estimator, rows)
        values = np.asarray(estimator.predict(rows), dtype=np.float64)
        if values.ndim > 1 and values.shape[1] != 1:
            return RawOutputs([{"values": row} for row in values.tolist()], values)
        return values.reshape(-1)

    def _transform(self, pipeline: Pipeline, rows: Any) -> Any:
        """Run all steps but the last."""
        if self._parts is None or not isinstance(rows, ParsedColumns):
            return pipeline[:-1].transform(_to_array(rows))
        features = self._parts.transform(rows)
        return features if len(pipeline.steps) == 2 else pipeline[1:-1].transform(features)


def _to_array(rows: Any) -> Any:
    return rows.to_objects() if isinstance(rows, ParsedColumns) else rows


def _run_other(kind: Kind | None, estimator: Any, rows: Any) -> RawOutputs:
    """Return `{"cluster"}`, `{"outlier", "score"}` (a score below 0 is an outlier), or `{"values"}`."""
    match kind:
        case Kind.CLUSTERER:
            clusters = np.asarray(estimator.predict(rows))
            return RawOutputs([{"cluster": cluster} for cluster in clusters.tolist()], clusters)
        case Kind.OUTLIER_DETECTOR:
            scores = np.asarray(estimator.decision_function(rows), dtype=np.float64).reshape(-1)
            are_outliers = np.asarray(estimator.predict(rows)).reshape(-1) < 0
            pairs = zip(are_outliers.tolist(), scores.tolist(), strict=True)
            return RawOutputs(
                [{"outlier": is_outlier, "score": score} for is_outlier, score in pairs], scores
            )
    values = estimator.transform(rows)
    if values.ndim == 2 and values.shape[1] > MAX_VALUES:
        raise ValueError(f"it returns {values.shape[1]} values for a row; the limit is {MAX_VALUES}")
    values = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if values.dtype.kind not in "fiub":
        raise ValueError("it returns values that are not numbers")
    return RawOutputs([{"values": row} for row in values.tolist()], values)


def _run_guarded(run: Callable[[Any], list[Any]], rows: Any) -> list[Any]:
    with warnings.catch_warnings(), absent.without_pandas():
        # About new categories, missing column names and other library versions: the user cannot act on them
        # here.
        warnings.simplefilter("ignore")
        try:
            return run(rows)
        except MemoryError:
            raise
        except Exception as error:  # an uploaded model may raise anything
            message = f"{type(error).__name__}: {error}"
            raise JobError("prediction_failed", message, is_retryable=False) from error


def _replace_not_finite(predictions: list[Any], numbers: Floats) -> list[Any]:
    """Replace predictions with NaN or infinity by RowErrors. `numbers` has one row for each prediction."""
    are_finite = np.asarray(np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1))
    if are_finite.all():
        return predictions
    return [
        prediction
        if is_finite
        else RowError("not_a_number", "the model returned NaN or infinity for this row")
        for prediction, is_finite in zip(predictions, are_finite.tolist(), strict=True)
    ]


def _label_dicts(predicted: ClassPredictions) -> list[Any]:
    return [
        _label_dict(label, dict(zip(predicted.classes, scores, strict=True)))
        for label, scores in zip(predicted.labels.tolist(), predicted.scores.tolist(), strict=True)
    ]


def _label_dict(label: str, scores: dict[str, float]) -> dict[str, Any]:
    score = scores[label]
    if len(scores) > MAX_SCORES:
        scores = dict(sorted(scores.items(), key=lambda item: -item[1])[:MAX_SCORES])
    return {"label": label, "score": score, "scores": scores}
