"""Replaces the parts of a scikit-learn model that skl2onnx does not know by parts that it knows.

The replacements share the fitted arrays of the originals and are used for the conversion only.
"""

import copy
import math
from typing import Any, Final

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from worker.conversions.errors import NotConvertible

_MISSING_TEXT: Final = ""
"""What the ONNX runtime passes for a missing text, because ONNX has none."""


class FilledNumbers(BaseEstimator, TransformerMixin):  # type: ignore[misc]  # scikit-learn has no types
    """Numbers with missing ones filled in, and a column for each feature that says whether it was missing.

    skl2onnx leaves out the latter: `SimpleImputer(add_indicator=True)`.
    """

    def __init__(self, fills: Any = (), indicated: Any = ()) -> None:
        self.fills = fills
        self.indicated = indicated


def prepare(estimator: Any) -> Any:
    """Return a copy of a fitted estimator in which skl2onnx knows all parts. Raises NotConvertible."""
    match estimator:
        case FrozenEstimator():
            return prepare(estimator.estimator)
        case Pipeline():
            pipeline = copy.copy(estimator)
            pipeline.steps = [(name, prepare(step)) for name, step in estimator.steps]
            return pipeline
        case ColumnTransformer():
            combined = copy.copy(estimator)
            combined.transformers_ = [
                (name, prepare(part), selected) for name, part, selected in estimator.transformers_
            ]
            combined.transformers = combined.transformers_
            return combined
        case SimpleImputer():
            return _imputer(estimator)
        case OneHotEncoder(handle_unknown="infrequent_if_exist"):
            return _one_hot(estimator)
        case HistGradientBoostingClassifier() | HistGradientBoostingRegressor():
            raise NotConvertible("skl2onnx writes its histogram boosting in a form that onnx refuses.")
    return estimator


def _imputer(imputer: Any) -> Any:
    if imputer.missing_values is None:
        texts = copy.copy(imputer)
        texts.missing_values = _MISSING_TEXT
        return texts
    fills = np.asarray(imputer.statistics_)
    if fills.dtype.kind != "f" or not _is_nan(imputer.missing_values):
        return imputer
    if not imputer.keep_empty_features and np.isnan(fills).any():
        return imputer  # it drops columns
    indicated = imputer.indicator_.features_ if imputer.add_indicator else ()
    return FilledNumbers(fills, np.asarray(indicated, dtype=np.int64))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _one_hot(encoder: Any) -> Any:
    """Without infrequent categories, an unknown one is all zeros."""
    if any(categories is not None for categories in encoder.infrequent_categories_):
        raise NotConvertible("it groups rare categories, which ONNX cannot do.")
    ignoring = copy.copy(encoder)
    ignoring.handle_unknown = "ignore"
    return ignoring


def _shape(operator: Any) -> None:
    numbers: FilledNumbers = operator.raw_operator
    rows = operator.inputs[0].type.shape[0]
    operator.outputs[0].type = FloatTensorType([rows, len(numbers.fills) + len(numbers.indicated)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Write `Where(IsNaN(x), fills, x)`, and beside it the columns of `IsNaN(x)` as numbers."""
    numbers: FilledNumbers = operator.raw_operator
    given, result = operator.inputs[0].full_name, operator.outputs[0].full_name
    missing, fills, filled, indices, chosen, flags = map(
        scope.get_unique_variable_name, ("missing", "fills", "filled", "indices", "chosen", "flags")
    )

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        container.add_node(kind, inputs, [output], name=scope.get_unique_operator_name(kind), **attributes)

    container.add_initializer(fills, TensorProto.FLOAT, [1, len(numbers.fills)], numbers.fills.tolist())
    add("IsNaN", [given], missing, op_version=13)
    if not len(numbers.indicated):
        add("Where", [missing, fills, given], result, op_version=9)
        return
    add("Where", [missing, fills, given], filled, op_version=9)
    container.add_initializer(
        indices, TensorProto.INT64, [len(numbers.indicated)], numbers.indicated.tolist()
    )
    add("Gather", [missing, indices], chosen, axis=1, op_version=13)
    add("Cast", [chosen], flags, to=TensorProto.FLOAT, op_version=13)
    add("Concat", [filled, flags], result, axis=1, op_version=13)


update_registered_converter(FilledNumbers, "HeadraceFilledNumbers", _shape, _convert)
