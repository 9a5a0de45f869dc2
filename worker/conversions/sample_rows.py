"""Rows to compare two models on if the user names no dataset: numbers of many sizes and all categories."""

import random
from typing import Any, Final

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from app.models.versions import InputColumn
from worker.runtimes.sklearn.estimators import NO_STEP, first_parts

ROWS: Final = 500
UNKNOWN: Final = "a category that the model has never seen"
_MISSING: Final = 0.05
_LARGEST_EXPONENT: Final = 3
"""Larger numbers lose digits in 32 bits, which says nothing about the model."""


def make(estimator: Any, columns: tuple[InputColumn, ...]) -> list[list[Any]]:
    """Return rows for an estimator with these columns, the same in every attempt."""
    known = _categories(estimator, len(columns))
    generator = random.Random(0)  # noqa: S311  # no secret
    return [
        [_value(generator, column, values, number) for column, values in zip(columns, known, strict=True)]
        for number in range(ROWS)
    ]


def _value(generator: random.Random, column: InputColumn, known: list[Any], number: int) -> Any:
    if generator.random() < _MISSING:
        return None
    if known:
        return known[number % (len(known) + 1)] if number % (len(known) + 1) < len(known) else UNKNOWN
    if column.type != "number":
        return UNKNOWN
    if number % 3 == 0:
        return float(generator.randint(0, 10))
    return generator.gauss(0, 1) * 10 ** generator.uniform(-2, _LARGEST_EXPONENT)


def _categories(estimator: Any, width: int) -> list[list[Any]]:
    """The categories of each column that an encoder has learnt; none for the others."""
    found: list[list[Any]] = [[] for _ in range(width)]
    if isinstance(estimator, ColumnTransformer):
        for _, part, selection in estimator.transformers_:
            if isinstance(part, str):
                continue
            columns = np.atleast_1d(np.arange(width)[selection]).tolist()
            for column, values in zip(columns, _categories(part, len(columns)), strict=True):
                found[column] = found[column] or values
        return found
    if len(categories := getattr(estimator, "categories_", ())) == width:
        return [[_plain(value) for value in values] for values in categories]
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else None
    for part in steps or first_parts(estimator):
        if part in NO_STEP:
            continue
        inner = _categories(part, width)
        if any(inner):
            return inner
        if steps is not None and getattr(part, "n_features_in_", width) != width:
            break  # the following steps take other columns
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
