"""Checks of pipelines and other compositions. Their parts have already passed their own checks."""

from functools import partial
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

NO_STEP: Final = ("passthrough", "drop")


def ensure_estimator(part: Part, name: str, value: Any) -> None:
    """Raise BrokenModel unless the value is an estimator or a placeholder for none."""
    is_step = isinstance(value, BaseEstimator) or value is None or (type(value) is str and value in NO_STEP)
    part.ensure(is_step, name, "estimators")


def _check_pipeline(part: Part) -> None:
    _check_steps(part, "steps", 2)


def _check_union(part: Part) -> None:
    _check_steps(part, "transformer_list", 2)
    part.ensure(not part.get("transformer_weights"), "transformer_weights", "None")


def _check_columns(part: Part) -> None:
    """Replace column names by indices, because rows come as arrays, which have no names."""
    columns = part.columns()
    if part.has("feature_names_in_"):
        _replace_names(part, part.get("feature_names_in_").tolist())
    _check_steps(part, "transformers_", 3)
    for _, _, selection in part.get("transformers_"):
        _check_selection(part, selection, columns)
    part.flag("sparse_output_")
    if part.has("sparse_threshold"):
        part.number("sparse_threshold")
    weights = part.get("transformer_weights") or {}
    are_numbers = type(weights) is dict and all(type(weight) in (int, float) for weight in weights.values())
    part.ensure(are_numbers, "transformer_weights", "numbers")
    indices = part.get("_transformer_to_input_indices")
    part.ensure(type(indices) is dict, "_transformer_to_input_indices", "a dictionary")
    for selection in indices.values():
        _check_selection(part, selection, columns)


def _replace_names(part: Part, names: list[str]) -> None:
    indices = {name: index for index, name in enumerate(names)}
    _check_steps(part, "transformers_", 3)
    part.value.transformers_ = [
        (name, step, _resolve(part, selection, indices))
        for name, step, selection in part.get("transformers_")
    ]


def _resolve(part: Part, selection: Any, indices: dict[str, int]) -> Any:
    """Resolve the names in a column selection to indices. A slice of names includes its end."""
    match selection:
        case str():
            part.ensure(selection in indices, "transformers_", "for columns of its input")
            return indices[selection]
        case slice(start=str(), stop=_) | slice(start=_, stop=str()):
            part.ensure(
                {selection.start, selection.stop} <= {*indices, None},
                "transformers_",
                "for columns of its input",
            )
            stop = None if selection.stop is None else indices[selection.stop] + 1
            return slice(indices.get(selection.start), stop, selection.step)
        case list() | tuple() | np.ndarray():
            return [
                _resolve(part, column, indices) if isinstance(column, str) else column for column in selection
            ]
    return selection


def _check_selection(part: Part, selection: Any, columns: int) -> None:
    """Check a column selection: indices, names, a mask or a slice."""
    values = selection.tolist() if type(selection) is np.ndarray else selection
    if type(values) in (str, slice):
        return
    values = [values] if type(values) in (int, bool) else values
    part.ensure(type(values) in (list, tuple), "transformers_", "for columns of its input")
    for value in values:
        is_column = type(value) in (str, bool) or (type(value) is int and -columns <= value < columns)
        part.ensure(is_column, "transformers_", "for columns of its input")


def _check_steps(part: Part, name: str, length: int) -> None:
    """Check a list of tuples of a name, an estimator and, if `length` is 3, a column selection."""
    for step in part.sequence(name):
        part.ensure(type(step) in (tuple, list) and len(step) == length, name, f"tuples of {length}")
        part.ensure(type(step[0]) is str, name, "tuples of a name and an estimator")
        ensure_estimator(part, name, step[1])


def _check_function(part: Part) -> None:
    """The loader trusts the functions, but their keyword argument `out` could make them write anywhere."""
    for name in ("kw_args", "inv_kw_args"):
        part.ensure(not part.get(name), name, "None")
    for name in ("func", "inverse_func"):
        # The loader also trusts functions that belong to other classes. A partial is always one of
        # `check_array`, as in histogram boosting.
        is_elementwise = part.get(name) is None or isinstance(part.get(name), np.ufunc | partial)
        part.ensure(is_elementwise, name, "an elementwise function of NumPy or SciPy")


def _check_frozen(part: Part) -> None:
    part.ensure(isinstance(part.get("estimator"), BaseEstimator), "estimator", "an estimator")


def _check_target(part: Part) -> None:
    for name in ("regressor_", "transformer_"):
        part.ensure(isinstance(part.get(name), BaseEstimator), name, "an estimator")
    part.count("_training_dim", 1, 2)


TRUSTED: Final = (
    TrustedType(Pipeline, "", _check_pipeline),
    TrustedType(FeatureUnion, "", _check_union),
    TrustedType(
        ColumnTransformer,
        "n_features_in_ transformers_ sparse_output_ _transformer_to_input_indices",
        _check_columns,
        "_remainder output_indices_ _n_features verbose_feature_names_out",
        # The unfitted transformers, whose selections may be functions (`make_column_selector`).
        "transformers",
    ),
    TrustedType(FunctionTransformer, "", _check_function),
    TrustedType(FrozenEstimator, "", _check_frozen),
    TrustedType(TransformedTargetRegressor, "regressor_ transformer_ _training_dim", _check_target),
)
