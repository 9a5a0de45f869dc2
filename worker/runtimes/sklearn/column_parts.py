"""Run a fitted ColumnTransformer on parsed columns, part by part.

It takes one array, which holds numbers and texts as Python objects only, and most parts turn the objects of
their columns into floats again. So each part that begins with that gets floats. All parts get what they would
get otherwise, in arrays of the same memory layout, so the features are the same to the last bit.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from worker.runtimes.sklearn import estimators
from worker.runtimes.sklearn.columns import MAX_DEPTH
from worker.runtimes.sklearn.parsed_columns import ParsedColumns

_SCALERS: Final = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)
_DROPPED: Final = "drop"


@dataclass(frozen=True)
class _Part:
    """A fitted part, and its columns: the index of one column of texts, or a list of indices."""

    transformer: Any
    selection: int | list[int]
    takes_floats: bool

    @property
    def indices(self) -> list[int]:
        return [self.selection] if isinstance(self.selection, int) else self.selection


class ColumnParts:
    """The parts of a fitted ColumnTransformer."""

    def __init__(self, whole: ColumnTransformer, parts: list[_Part]) -> None:
        self._whole = whole
        self._parts = parts

    def transform(self, parsed: ParsedColumns) -> Any:
        """Return what the ColumnTransformer returns for these columns as one array."""
        with_floats = [part.takes_floats and parsed.are_numbers(part.indices) for part in self._parts]
        floats = parsed.to_floats()
        objects = parsed.to_objects(
            {
                index
                for part, is_with_floats in zip(self._parts, with_floats, strict=True)
                if not is_with_floats
                for index in part.indices
            }
        )
        blocks = [
            part.transformer.transform((floats if is_with_floats else objects)[:, part.selection])
            for part, is_with_floats in zip(self._parts, with_floats, strict=True)
        ]
        self._whole._validate_output(blocks)
        return self._whole._hstack(blocks, n_samples=parsed.count)


def find(estimator: Any) -> ColumnParts | None:
    """Return the parts of the ColumnTransformer with which a pipeline begins.

    None if it begins with something else, or if it selects or weights its parts in another way than by the
    indices of their columns.
    """
    if not isinstance(estimator, Pipeline) or len(estimator.steps) < 2:
        return None
    whole = estimator.steps[0][1]
    if type(whole) is not ColumnTransformer:
        return None
    try:
        return _parts_of(whole)
    # The type is trusted, but not what its attributes hold.
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _parts_of(whole: ColumnTransformer) -> ColumnParts | None:
    if whole.transformer_weights is not None:
        return None
    parts = []
    for _, transformer, selection in whole.transformers_:
        if transformer == _DROPPED or (isinstance(selection, list) and not selection):
            continue
        if not hasattr(transformer, "transform") or not _is_of_indices(
            selection, transformer, whole.n_features_in_
        ):
            return None
        parts.append(_Part(transformer, selection, _takes_floats(transformer)))
    return ColumnParts(whole, parts) if parts else None


def _is_of_indices(selection: Any, transformer: Any, width: int) -> bool:
    if type(selection) is int:
        return 0 <= selection < width and estimators.takes_texts(_first(transformer))
    return isinstance(selection, list) and all(
        type(index) is int and 0 <= index < width for index in selection
    )


def _takes_floats(transformer: Any) -> bool:
    """Return whether a part first converts its columns to floats, whatever the array that holds them."""
    first = _first(transformer)
    if type(first) in _SCALERS:
        return True
    return (
        type(first) is SimpleImputer
        and first.strategy in ("mean", "median")
        and np.dtype(first._fit_dtype).kind == "f"
    )


def _first(transformer: Any) -> Any:
    """Return the estimator that gets the columns first."""
    for _ in range(MAX_DEPTH):
        if isinstance(transformer, FrozenEstimator):
            transformer = transformer.estimator
        elif isinstance(transformer, Pipeline):
            transformer = transformer.steps[0][1]
    return transformer
