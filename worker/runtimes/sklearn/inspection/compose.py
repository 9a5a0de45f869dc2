"""Pipelines and what else puts estimators together. Their parts have passed checks of their own."""

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
    """The value is an estimator or says that there is none."""
    is_step = isinstance(value, BaseEstimator) or value is None or (type(value) is str and value in NO_STEP)
    part.ensure(is_step, name, "estimators")


def _check_pipeline(part: Part) -> None:
    _check_named(part, "steps", 2)


def _check_union(part: Part) -> None:
    _check_named(part, "transformer_list", 2)
    part.ensure(not part.get("transformer_weights"), "transformer_weights", "None")


def _check_columns(part: Part) -> None:
    """Columns that were chosen by name are chosen by place: rows come as arrays, and those have no names."""
    columns = part.columns()
    if part.has("feature_names_in_"):
        _choose_by_place(part, part.get("feature_names_in_").tolist())
    _check_named(part, "transformers_", 3)
    for _, _, chosen in part.get("transformers_"):
        _check_chosen(part, chosen, columns)
    part.flag("sparse_output_")
    if part.has("sparse_threshold"):
        part.number("sparse_threshold")
    weights = part.get("transformer_weights") or {}
    are_numbers = type(weights) is dict and all(type(weight) in (int, float) for weight in weights.values())
    part.ensure(are_numbers, "transformer_weights", "numbers")
    indices = part.get("_transformer_to_input_indices")
    part.ensure(type(indices) is dict, "_transformer_to_input_indices", "a dictionary")
    for chosen in indices.values():
        _check_chosen(part, chosen, columns)


def _choose_by_place(part: Part, names: list[str]) -> None:
    places = {name: place for place, name in enumerate(names)}
    _check_named(part, "transformers_", 3)
    part.value.transformers_ = [
        (name, step, _place_of(part, chosen, places)) for name, step, chosen in part.get("transformers_")
    ]


def _place_of(part: Part, chosen: Any, places: dict[str, int]) -> Any:
    """The places of columns, however they were chosen. A slice of names includes its last one."""
    match chosen:
        case str():
            part.ensure(chosen in places, "transformers_", "for columns of its input")
            return places[chosen]
        case slice(start=str(), stop=_) | slice(start=_, stop=str()):
            part.ensure({chosen.start, chosen.stop} <= {*places, None}, "transformers_", "for its columns")
            stop = None if chosen.stop is None else places[chosen.stop] + 1
            return slice(places.get(chosen.start), stop, chosen.step)
        case list() | tuple() | np.ndarray():
            return [
                _place_of(part, column, places) if isinstance(column, str) else column for column in chosen
            ]
    return chosen


def _check_chosen(part: Part, chosen: Any, columns: int) -> None:
    """Columns by place, by name, by a mask or by a slice."""
    values = chosen.tolist() if type(chosen) is np.ndarray else chosen
    if type(values) in (str, slice):
        return
    values = [values] if type(values) in (int, bool) else values
    part.ensure(type(values) in (list, tuple), "transformers_", "for columns of its input")
    for value in values:
        is_column = type(value) in (str, bool) or (type(value) is int and -columns <= value < columns)
        part.ensure(is_column, "transformers_", "for columns of its input")


def _check_named(part: Part, name: str, length: int) -> None:
    """A list of tuples: a name, an estimator, and for which columns."""
    for step in part.sequence(name):
        part.ensure(type(step) in (tuple, list) and len(step) == length, name, f"tuples of {length}")
        part.ensure(type(step[0]) is str, name, "tuples of a name and an estimator")
        ensure_estimator(part, name, step[1])


def _check_function(part: Part) -> None:
    """The functions are trusted ones; a keyword argument `out` would have them write anywhere."""
    for name in ("kw_args", "inv_kw_args"):
        part.ensure(not part.get(name), name, "None")
    for name in ("func", "inverse_func"):
        # The other functions that a file may name are for other classes. A partial is one of `check_array`,
        # which histogram boosting has.
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
        # As they were before they were fitted, with functions that choose columns (`make_column_selector`).
        "transformers",
    ),
    TrustedType(FunctionTransformer, "", _check_function),
    TrustedType(FrozenEstimator, "", _check_frozen),
    TrustedType(TransformedTargetRegressor, "regressor_ transformer_ _training_dim", _check_target),
)
