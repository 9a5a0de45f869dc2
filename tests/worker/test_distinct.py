"""A column by its distinct values has the values, and the errors, of its rows."""

import math
from typing import Any

import numpy as np
import pytest

from worker import cells
from worker.distinct import Distinct


def distinct(values: list[Any], places: list[int]) -> Distinct:
    return Distinct(values, np.array(places))


def test_each_row_has_the_parsed_value_of_its_place() -> None:
    found, errors = distinct(["1", None, "2.5"], [2, 0, 1, 0]).parse_numbers(cells.parse_number)

    np.testing.assert_array_equal(found, [2.5, 1.0, math.nan, 1.0])
    assert errors == {}


def test_every_row_of_a_refused_value_has_its_error() -> None:
    found, errors = distinct(["1", "one"], [1, 0, 1]).parse_numbers(cells.parse_number)

    np.testing.assert_array_equal(found, [math.nan, 1.0, math.nan])
    assert {row: str(error) for row, error in errors.items()} == {
        0: "'one' is not a number",
        2: "'one' is not a number",
    }


def test_texts_are_kept_and_other_values_parsed() -> None:
    found, errors = distinct(["a", "", None, 3.0, True, " "], [0, 1, 2, 3, 4, 5, 0]).parse_texts(
        cells.parse_category
    )

    assert found.tolist() == ["a", None, None, "3", "true", " ", "a"]
    assert errors == {}


@pytest.mark.parametrize(("parse", "invalid"), [(cells.parse_category, None), (cells.parse_text, "")])
def test_a_value_that_is_no_text_is_refused(parse: Any, invalid: Any) -> None:
    found, errors = distinct([[1, 2], "a", {"b": 3}, [1, 2]], [3, 0, 1, 2]).parse_texts(parse, invalid)

    assert found.tolist() == [invalid, invalid, "a", invalid]
    assert sorted(errors) == [0, 1, 3]
    assert str(errors[3]).startswith("{'b': 3} is not a ")


@pytest.mark.parametrize("parse", [cells.parse_category, cells.parse_text])
@pytest.mark.parametrize("text", ["x", " ", "0", "\ud800", "a\0b", "NaN"])
def test_no_parser_of_texts_changes_one_that_is_not_empty(parse: Any, text: str) -> None:
    assert parse(text) == text
