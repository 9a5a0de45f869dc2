"""What a scikit-learn estimator takes and predicts, found in its parts: it does not say so itself."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

_INNER: Final = ("best_estimator_", "estimator_", "regressor_", "estimator")
_OF_SEVERAL: Final = (VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor)
NO_STEP: Final = (None, "passthrough", "drop")

NUMBERS: Final = (1.0, 0.0, 2.0)
"""What is tried in a column of numbers; a logarithm takes no 0, a category of a naive Bayes model no 2."""


class Kind(StrEnum):
    """What an estimator is for."""

    CLASSIFIER = "classifier"
    REGRESSOR = "regressor"
    CLUSTERER = "clusterer"
    OUTLIER_DETECTOR = "outlier detector"
    TRANSFORMER = "transformer"


def kind_of(estimator: Any) -> Kind | None:
    """What an estimator is for; None if it neither predicts nor transforms single rows."""
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
    """Whether it estimates densities; one that also predicts tells which component a row belongs to."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    return tags is not None and tags().estimator_type == "density_estimator"


def takes_texts(estimator: Any) -> bool:
    """Whether a row is one text, and not a list of values."""
    if isinstance(estimator, CountVectorizer | HashingVectorizer):
        return True
    return any(takes_texts(part) for part in first_parts(estimator))


def example_rows(estimator: Any, width: int) -> Iterator[list[Any]]:
    """Rows of so many values that the estimator may take: known categories, texts, and several numbers."""
    known = _known(estimator, width)
    for number in NUMBERS:
        yield [number if value is None else value for value in known]
    yield ["a" if value is None else value for value in known]
    yield [None] * width


def first_parts(estimator: Any) -> Iterator[Any]:
    """The parts that see the row as it comes in."""
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
    """The fitted estimators within another that see its columns, all of them, as they are."""
    attributes = vars(estimator) if hasattr(estimator, "__dict__") else {}
    if "estimators_features_" in attributes:
        return
    members: Any = attributes.get("estimators_")
    if isinstance(estimator, _OF_SEVERAL) and isinstance(members, list):
        found = members
    elif isinstance(members, list):
        found = members[:1]
    elif isinstance(members := attributes.get("calibrated_classifiers_"), list):
        found = [member.estimator for member in members[:1]]
    else:
        found = [attributes[name] for name in _INNER if hasattr(attributes.get(name), "get_params")][:1]
    width = attributes.get("n_features_in_")
    for part in found:
        # What selects columns has an estimator of those that it selected.
        if hasattr(part, "get_params") and (width is None or getattr(part, "n_features_in_", width) == width):
            yield part


def _known(estimator: Any, width: int) -> list[Any]:
    """A value that fits into each column, None where any number may."""
    known: list[Any] = [None] * width
    if isinstance(estimator, ColumnTransformer):
        for _, part, chosen in getattr(estimator, "transformers_", ()):
            _fill(known, part, chosen)
        return known
    if isinstance(estimator, CountVectorizer | HashingVectorizer):
        return ["a"] * width
    if len(categories := getattr(estimator, "categories_", ())) == width:
        return [_plain(values[0]) for values in categories]
    parts = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else None
    for part in parts or first_parts(estimator):
        if part in NO_STEP:
            continue
        inner = _known(part, width)
        if any(value is not None for value in inner):
            return inner
        if parts is not None and getattr(part, "n_features_in_", width) != width:
            break  # from here on there are other columns
    return known


def _plain(category: Any) -> Any:
    value = category.item() if isinstance(category, np.generic) else category
    return value if isinstance(value, str | int | float) else None


def _fill(known: list[Any], part: Any, chosen: Any) -> None:
    """Put what a part of a ColumnTransformer knows into the columns that it gets."""
    if isinstance(part, str):
        return
    try:
        places = np.arange(len(known))[chosen]
    except (IndexError, ValueError, TypeError):  # for columns that it does not have: it will fail on any row
        return
    if np.ndim(places) == 0:  # as one column, whose values a vectorizer takes
        known[int(places)] = "a"
        return
    for place, value in zip(places.tolist(), _known(part, len(places)), strict=True):
        known[place] = value if known[place] is None else known[place]
