"""The scikit-learn runtime: loads skops files, of models trained here and of uploaded ones.

The file of a model trained here has metadata about its columns. Of an uploaded model, only what
scikit-learn stores is known: the column names if it was fitted on a DataFrame, else their number; they are
then named x0, x1, ….
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from app.jobs.params import ModelReference
from app.models.versions import InputColumn, Task
from worker import cells
from worker.cells import Content
from worker.runtimes import probing
from worker.runtimes.runtime import BrokenModel, Signature
from worker.runtimes.sklearn import estimators, inspection
from worker.runtimes.sklearn.columns import BOUNDED_NUMBER, Parser, infer_parsers
from worker.runtimes.sklearn.estimators import Kind
from worker.runtimes.sklearn.inspection.part import SEVERAL_OUTPUTS
from worker.runtimes.sklearn.model import Inputs, SklearnModel
from worker.training import artifact, threads
from worker.training.artifact import ColumnMetadata, ModelMetadata

TEXT: Final = InputColumn("text", "text")
"""The only column of an uploaded model that takes texts."""


class SklearnRuntime:
    """Loads skops files."""

    def load(self, reference: ModelReference, path: Path | None) -> SklearnModel:
        """Load a model from its file. Raises UnsafeModel, BrokenModel."""
        if path is None:
            raise BrokenModel(f"{reference.name} has no file")
        estimator, inputs = read(path)
        return SklearnModel(estimator, inputs)

    def inspect(self, path: Path) -> Signature:
        """Load an uploaded file, try it on example rows and return its signature.

        Raises UnsafeModel, BrokenModel.
        """
        estimator, inputs = read(path)
        prediction = _try_examples(estimator, inputs)
        tasks: dict[Kind | None, Task] = {
            Kind.CLASSIFIER: Task.CLASSIFICATION,
            Kind.REGRESSOR: Task.REGRESSION,
        }
        if prediction is None:
            task = tasks.get(estimators.kind_of(estimator))
        else:
            task = probing.infer_task(prediction)
        return Signature(
            task=task,
            columns=inputs.columns,
            classes=class_labels(estimator) if task is Task.CLASSIFICATION else None,
            library_versions=inspection.versions(path),
        )


def read(path: Path) -> tuple[Any, Inputs]:
    """Return the estimator in a file, and its inputs. Raises UnsafeModel, BrokenModel."""
    threads.limit_to_one()
    estimator = inspection.load(path)
    _check_can_predict(estimator)
    metadata = artifact.read_metadata(path)
    if metadata is not None and _matches(metadata, estimator):
        return estimator, _inputs_from_metadata(metadata)
    return estimator, _infer_inputs(estimator)


def _check_can_predict(estimator: Any) -> None:
    try:
        can_predict = estimators.kind_of(estimator) is not None
        if can_predict:
            check_is_fitted(estimator)
    except NotFittedError:
        raise BrokenModel("it is not fitted; call fit before you save it") from None
    except Exception:  # the type of the object is trusted, but not what its attributes hold
        can_predict = False
    if not can_predict:
        name = type(estimator).__name__
        raise BrokenModel(f"a {name} can neither predict nor transform single rows")
    if is_classifier(estimator) and class_labels(estimator) is None:
        raise BrokenModel(SEVERAL_OUTPUTS)


def _try_examples(estimator: Any, inputs: Inputs) -> Any:
    """Return the prediction for an example row, or None; see `probing.try_rows`. Raises BrokenModel."""
    model = SklearnModel(estimator, inputs)
    if inputs.are_texts:
        return probing.try_rows(model, ["a good day", ""])
    width = _column_count(estimator) or (None if inputs.columns is None else len(inputs.columns)) or 1
    return probing.try_rows(model, estimators.example_rows(estimator, width))


def class_labels(estimator: Any) -> tuple[str, ...] | None:
    """Return the classes of a classifier as the labels of its predictions; None if it has none."""
    try:
        classes = np.asarray(estimator.classes_)
    except Exception:  # as above: the attribute may hold anything
        return None
    if classes.ndim != 1 or classes.size == 0:
        return None
    return tuple(cells.to_label(value) or "" for value in classes.tolist())


def _matches(metadata: ModelMetadata, estimator: Any) -> bool:
    """Return whether the metadata fits the model, since an upload may contain any metadata."""
    count = _column_count(estimator)
    has_task = is_classifier(estimator) == (metadata.task is Task.CLASSIFICATION)
    takes_one_text = estimators.takes_texts(estimator) and len(metadata.columns) == 1
    return has_task and (count == len(metadata.columns) or takes_one_text)


def _inputs_from_metadata(metadata: ModelMetadata) -> Inputs:
    are_texts = len(metadata.columns) == 1 and metadata.columns[0].content is Content.TEXT
    return Inputs(
        columns=tuple(InputColumn(column.name, column.type) for column in metadata.columns),
        parsers=tuple(_parser(column) for column in metadata.columns),
        are_texts=are_texts,
    )


def _parser(column: ColumnMetadata) -> Parser:
    if column.content in (Content.TEXT, Content.CATEGORY):
        return Parser(cells.PARSERS[column.content], column.content)
    if column.content is Content.DATE:
        return Parser(cells.parse_date, "number", takes_dates=True)
    if not column.missing:
        return BOUNDED_NUMBER
    return Parser(cells.number_parser(column.missing), "number", largest=cells.MAX_NUMBER)


def _infer_inputs(estimator: Any) -> Inputs:
    """Infer the inputs of an uploaded model. It gets arrays, so its columns are taken by position."""
    if estimators.takes_texts(estimator):
        return Inputs(columns=(TEXT,), are_texts=True)
    fitted_names = getattr(estimator, "feature_names_in_", None)
    count = _column_count(estimator) if fitted_names is None else len(fitted_names)
    if count is None:
        return Inputs(columns=None)
    names = (
        [f"x{index}" for index in range(count)]
        if fitted_names is None
        else [str(name) for name in fitted_names]
    )
    parsers = infer_parsers(estimator, count)
    return Inputs(
        columns=tuple(InputColumn(name, parser.type) for name, parser in zip(names, parsers, strict=True)),
        parsers=parsers,
    )


def _column_count(estimator: Any) -> int | None:
    count = getattr(estimator, "n_features_in_", None)
    return int(count) if isinstance(count, int | np.integer) and 0 < count < 1_000_000 else None
