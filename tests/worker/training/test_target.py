"""The target decides the task, and one that cannot be learnt is refused in advance."""

from typing import Any

import pyarrow as pa
import pytest

from app.models.versions import Task
from worker.training import target
from worker.training.target import BadTarget


def read(values: list[Any], task: str = "auto") -> target.Target:
    return target.read("y", pa.chunked_array([pa.array(values)]), task)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["good", "bad"] * 5, Task.CLASSIFICATION),
        ([True, False] * 5, Task.CLASSIFICATION),
        ([0, 1, 2] * 5, Task.CLASSIFICATION),
        ([0.0, 1.0, None] * 5, Task.CLASSIFICATION),
        (["0", "1"] * 5, Task.CLASSIFICATION),
        (list(range(30)), Task.REGRESSION),
        ([1, 2, 3, 4, 5], Task.REGRESSION),
        ([0.5, 1.5, 2.5] * 5, Task.REGRESSION),
        (["1.5", "2.5"] * 5, Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_target(values: list[Any], task: Task) -> None:
    assert read(values).task is task


def test_a_requested_task_takes_precedence() -> None:
    assert read([1, 2] * 5, "regression").task is Task.REGRESSION
    assert read([1.5, 2.5] * 5, "classification").classes == ("1.5", "2.5")


def test_rows_without_a_target_are_left_out() -> None:
    found = read(["a", None, "b", "", "a"])

    assert found.rows.tolist() == [0, 2, 4]
    assert found.values.tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a"] * 9, "auto", "only the class 'a'"),
        ([None] * 9, "auto", "no values"),
        ([None] * 9, "regression", "no values"),
        ([f"name {index}" for index in range(60)], "auto", "60 different values in 60 rows"),
        (["x" * 300, "y"] * 9, "auto", "more than 200 characters"),
        ([1.0, "two", 3.0], "regression", "row 1: 'two' is not a number"),
        ([2.5] * 9, "regression", "2.5 in every row"),
        ([float("nan")] * 9, "regression", "no values"),
        ([[1], [2]], "auto", "choose a column of numbers or labels"),
    ],
)
def test_the_error_for_a_target_that_cannot_be_learnt_says_why(
    values: list[Any], task: str, message: str
) -> None:
    if any(isinstance(value, str) for value in values) and not all(
        isinstance(value, str) for value in values
    ):
        values = [str(value) for value in values]

    with pytest.raises(BadTarget, match=message) as error:
        read(values, task)

    assert error.value.code == "bad_target"
    assert not error.value.is_retryable
