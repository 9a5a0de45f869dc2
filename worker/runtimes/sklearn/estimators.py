"""Determine what a scikit-learn estimator predicts and what rows it takes, from its parts."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

_INNER_ATTRIBUTES: Final = ("best_estimator_", "estimator_", "regressor_", "estimator")
_HETEROGENEOUS: Final = (VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor)
NO_STEP: Final = (None, "passthrough", "drop")

EXAMPLE_NUMBERS: Final = (1.0, 0.0, 2.0)
"""Several, because a logarithm does not accept 0, and a categorical naive Bayes model may not accept 2."""


class Kind(StrEnum):
    """The kind of an estimator."""

    CLASSIFIER = "classifier"
    REGRESSOR = "regressor"
    CLUSTERER = "clusterer"
    OUTLIER_DETECTOR = "outlier detector"
    TRANSFORMER = "transformer"


def kind_of(estimator: Any) -> Kind | None:
    """Return the kind of an estimator; None if it can neither predict nor transform single rows."""
    if is_classifier(estimator):
        return Kind.CLASSIFIER
    if is_regressor(estimator):
        return Kind.REGRESSOR
    if (is_clusterer(estimator) or _is_mixture(estimator)) and hasattr(estimator, "predict"):
        return Kind.CLUSTERER
    if is_outlier_detector(estimator) and hasattr(estimator, "predict"):
        return Kind.OUTLIER_DETECTOR
    return Kind.TRANSFORMER if hasattr(estimator, "transform") else None


def _is_mixture(estimator: Any) -> bool:
    """Return whether it is a density estimator, like GaussianMixture, whose `predict` returns a component."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    return tags is not None and tags().estimator_type == "density_estimator"


def takes_texts(estimator: Any) -> bool:
    """Return whether a row is one text rather than a list of values."""
    if isinstance(estimator, CountVectorizer | HashingVectorizer):
        return True
    return any(takes_texts(part) for part in first_parts(estimator))


def example_rows(estimator: Any, width: int) -> Iterator[list[Any]]:
    """Yield rows of `width` values that the estimator may accept, of known categories, texts and numbers."""
    known = _known_values(estimator, width)
    for number in EXAMPLE_NUMBERS:
        yield [number if value is None else value for value in known]
    yield ["a" if value is None else value for value in known]
    yield [None] * width


def first_parts(estimator: Any) -> Iterator[Any]:
    """Yield the parts that take the unmodified rows."""
    match estimator:
        case Pipeline():
            steps = [step for _, step in estimator.steps if step not in NO_STEP]
            yield from steps[:1]
        case FeatureUnion():
            yield from (part for _, part in estimator.transformer_list if part not in NO_STEP)
        case ColumnTransformer():
            return
        case _:
            yield from _inner(estimator)


def _inner(estimator: Any) -> Iterator[Any]:
    """Yield the fitted estimators inside another one that take all its columns unmodified."""
    attributes = vars(estimator) if hasattr(estimator, "__dict__") else {}
    if "estimators_features_" in attributes:
        return
    members: Any = attributes.get("estimators_")
    if isinstance(estimator, _HETEROGENEOUS) and isinstance(members, list):
        parts = members
    elif isinstance(members, list):
        parts = members[:1]
    elif isinstance(members := attributes.get("calibrated_classifiers_"), list):
        parts = [member.estimator for member in members[:1]]
    else:
        parts = [
            attributes[name] for name in _INNER_ATTRIBUTES if hasattr(attributes.get(name), "get_params")
        ][:1]
    width = attributes.get("n_features_in_")
    for part in parts:
        # The inner estimator of a feature selector takes the selected columns only.
        if hasattr(part, "get_params") and (width is None or getattr(part, "n_features_in_", width) == width):
            yield part


def _known_values(estimator: Any, width: int) -> list[Any]:
    """Return a valid value for each column; None where the estimator does not restrict it."""
    known: list[Any] = [None] * width
    if isinstance(estimator, ColumnTransformer):
        for _, part, selection in getattr(estimator, "transformers_", ()):
            _fill_selected(known, part, selection)
        return known
    if isinstance(estimator, CountVectorizer | HashingVectorizer):
        return ["a"] * width
    if len(categories := getattr(estimator, "categories_", ())) == width:
        return [_to_plain_value(values[0]) for values in categories]
    parts = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else None
    for part in parts or first_parts(estimator):
        if part in NO_STEP:
            continue
        inner = _known_values(part, width)
        if any(value is not None for value in inner):
            return inner
        if parts is not None and getattr(part, "n_features_in_", width) != width:
            break  # the following steps take other columns
    return known


def _to_plain_value(category: Any) -> Any:
    value = category.item() if isinstance(category, np.generic) else category
    return value if isinstance(value, str | int | float) else None


def _fill_selected(known: list[Any], part: Any, selection: Any) -> None:
    """Set the values of the columns that a ColumnTransformer selects for one of its parts."""
    if isinstance(part, str):
        return
    try:
        columns = np.arange(len(known))[selection]
    except (IndexError, ValueError, TypeError):  # selects missing columns; the model will fail on any row
        return
    if np.ndim(columns) == 0:  # a single column, selected as a sequence of texts for a vectorizer
        known[int(columns)] = "a"
        return
    for column, value in zip(columns.tolist(), _known_values(part, len(columns)), strict=True):
        known[column] = value if known[column] is None else known[column]
