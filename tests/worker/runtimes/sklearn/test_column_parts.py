"""The parts of a ColumnTransformer give the features that it gives for one array, to the last bit."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from worker.runtimes.sklearn import column_parts
from worker.runtimes.sklearn.parsed_columns import ParsedColumns

ROWS = 60

_random = np.random.default_rng(7)


def columns(rows: int = ROWS) -> list[npt.NDArray[Any]]:
    """Three columns of numbers, two of categories and one of texts, with gaps."""
    numbers = [np.where(_random.random(rows) < 0.2, np.nan, _random.normal(size=rows)) for _ in range(3)]
    numbers[2] = np.round(numbers[2])
    kinds = [_random.choice(np.array(["a", "b", "c", None], dtype=object), rows) for _ in range(2)]
    words = np.array(
        [" ".join(_random.choice(["one", "two", "six", "ten"], 5)) for _ in range(rows)], dtype=object
    )
    return [*numbers, *kinds, words]


def pipeline(*parts: Any, known: list[npt.NDArray[Any]], **options: Any) -> Pipeline:
    whole = ColumnTransformer([(str(place), *part) for place, part in enumerate(parts)], **options)
    return Pipeline([("columns", whole), ("model", DummyClassifier())]).fit(
        ParsedColumns(known).to_objects(), np.arange(len(known[0])) % 2
    )


def imputed(*steps: Any) -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="median", add_indicator=True), *steps)


def categories(encoder: Any) -> Pipeline:
    return make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="(missing)"), encoder
    )


PARTS: dict[str, list[tuple[Any, Any]]] = {
    "sparse": [
        (imputed(StandardScaler()), [0, 1, 2]),
        (categories(OneHotEncoder(handle_unknown="ignore")), [3, 4]),
        (TfidfVectorizer(), 5),
    ],
    "dense": [
        (imputed(), [2, 0]),
        (categories(OneHotEncoder(handle_unknown="ignore", sparse_output=False)), [4, 3]),
        (make_pipeline(HashingVectorizer(n_features=64), TruncatedSVD(3, random_state=0)), 5),
    ],
    "one column": [(imputed(MinMaxScaler()), [1]), (categories(OrdinalEncoder()), [3])],
    "objects": [
        (SimpleImputer(strategy="constant", fill_value=np.nan, keep_empty_features=True), [0, 1]),
        (SimpleImputer(strategy="most_frequent"), [2]),
        (categories(OrdinalEncoder()), [3, 4]),
    ],
    "a number twice": [
        (imputed(StandardScaler()), [0, 2]),
        (OneHotEncoder(handle_unknown="ignore"), [2, 3]),
        (make_pipeline(SimpleImputer(), KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")), [0]),
    ],
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("rows", [1, 2, 57])
def test_features_are_those_of_one_array(name: str, rows: int) -> None:
    fitted = pipeline(*PARTS[name], known=columns())
    parsed = ParsedColumns(columns(rows))
    parts = column_parts.find(fitted)

    assert parts is not None
    ensure_same(parts.transform(parsed), fitted[:-1].transform(parsed.to_objects()))


def test_frozen_parts_that_were_fitted_on_floats() -> None:
    known = columns()
    numbers = imputed(StandardScaler()).fit(np.column_stack(known[:3]))
    kinds = categories(OneHotEncoder(handle_unknown="ignore")).fit(np.column_stack(known[3:5]))
    fitted = pipeline((FrozenEstimator(numbers), [0, 1, 2]), (FrozenEstimator(kinds), [3, 4]), known=known)
    parsed = ParsedColumns(columns(20))
    parts = column_parts.find(fitted)

    assert parts is not None
    ensure_same(parts.transform(parsed), fitted[:-1].transform(parsed.to_objects()))


def test_objects_in_a_column_of_numbers_reach_their_part() -> None:
    """A column that another part takes as categories is parsed as objects for both."""
    fitted = pipeline((imputed(StandardScaler()), [0, 1]), known=columns())
    given = columns(9)
    given[1] = np.array(["1", "2.5", None] * 3, dtype=object)
    parts = column_parts.find(fitted)

    assert parts is not None
    expected = fitted[:-1].transform(ParsedColumns(given).to_objects())
    ensure_same(parts.transform(ParsedColumns(given)), expected)


def test_a_part_changes_only_its_own_copy() -> None:
    in_place = make_pipeline(StandardScaler(copy=False))
    fitted = pipeline((in_place, [0, 1]), (imputed(StandardScaler()), [1, 2]), known=without_gaps())
    parsed = ParsedColumns(without_gaps())
    before = [column.copy() for column in parsed.columns]
    expected = fitted[:-1].transform(parsed.to_objects())
    parts = column_parts.find(fitted)

    assert parts is not None
    ensure_same(parts.transform(parsed), expected)
    for column, old in zip(parsed.columns, before, strict=True):
        assert column.tolist() == old.tolist()


def without_gaps() -> list[npt.NDArray[Any]]:
    return [np.nan_to_num(column) if column.dtype != object else column for column in columns()]


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ([(imputed(), [0, 1, 2])], {"transformer_weights": {"0": 2.0}}),
        ([(imputed(), slice(0, 3))], {}),
        ([(imputed(), np.array([True, True, False, False, False, False]))], {}),
        ([(imputed(), [-6, 1])], {}),
    ],
)
def test_other_selections_are_left_to_the_transformer(
    parts: list[tuple[Any, Any]], options: dict[str, Any]
) -> None:
    assert column_parts.find(pipeline(*parts, known=columns(), **options)) is None


def test_other_pipelines_have_no_parts() -> None:
    assert column_parts.find(LogisticRegression()) is None
    assert column_parts.find(make_pipeline(StandardScaler(), LogisticRegression())) is None
    assert column_parts.find(make_pipeline(ColumnTransformer([]))) is None


@pytest.mark.parametrize("attributes", [None, 5, [5], [("a", StandardScaler())], [("a", "b", [0])]])
def test_attributes_that_hold_anything_are_refused(attributes: Any) -> None:
    fitted = pipeline((imputed(), [0, 1, 2]), known=columns())
    fitted.steps[0][1].transformers_ = attributes

    assert column_parts.find(fitted) is None


def test_a_pipeline_within_itself_ends() -> None:
    inner = make_pipeline(StandardScaler(), StandardScaler())
    inner.steps[0] = ("again", inner)
    fitted = pipeline((imputed(), [0, 1, 2]), known=columns())
    fitted.steps[0][1].transformers_ = [("a", inner, [0])]

    assert column_parts.find(fitted) is not None


def test_a_remainder_that_is_passed_on_or_dropped() -> None:
    for remainder in ("drop", "passthrough", FunctionTransformer()):
        fitted = pipeline((imputed(), [0, 1]), known=without_gaps()[:3], remainder=remainder)
        parsed = ParsedColumns(without_gaps()[:3])
        parts = column_parts.find(fitted)

        assert parts is not None
        ensure_same(parts.transform(parsed), fitted[:-1].transform(parsed.to_objects()))


def ensure_same(found: Any, expected: Any) -> None:
    """The same numbers, bit by bit, in the same memory layout: sums over them must not differ either."""
    assert type(found) is type(expected)
    if sparse.issparse(expected):
        for name in ("data", "indices", "indptr"):
            ensure_same(getattr(found, name), getattr(expected, name))
        assert found.shape == expected.shape
        return
    assert (found.dtype, found.shape, found.strides) == (expected.dtype, expected.shape, expected.strides)
    if expected.dtype == object:
        assert list(map(repr, found.ravel())) == list(map(repr, expected.ravel()))
    else:
        assert found.tobytes() == expected.tobytes()
