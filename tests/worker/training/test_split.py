"""Rows are held out as the request says, and each is for one purpose only."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.params import SplitMethod, SplitParams
from tests.worker.training import data
from worker.context import BadInput
from worker.training import split_keys, table
from worker.training.plan import make_plan
from worker.training.split import Fold, Purpose, Split, Splitter

EVERY_METHOD = [SplitMethod.RANDOM, SplitMethod.STRATIFIED, SplitMethod.TIME, SplitMethod.GROUP]


def splitter(method: SplitMethod, labels: Any = None, keys: Any = None, seed: int = 0) -> Splitter:
    return Splitter(
        method,
        seed,
        None if labels is None else np.array(labels),
        None if keys is None else np.array(keys, dtype=np.int64),
    )


def split(by: Splitter, rows: int, *, validation: float = 0.2, test: float = 0.2, folds: int = 0) -> Split:
    return by.split(np.arange(rows), validation_fraction=validation, test_fraction=test, folds=folds)


def example(method: SplitMethod, rows: int = 120, seed: int = 0) -> Splitter:
    """Return a splitter for rows of two classes, in twelve groups or times."""
    keys = None if method in (SplitMethod.RANDOM, SplitMethod.STRATIFIED) else np.arange(rows) % 12
    return splitter(method, ["a", "b", "b"] * (rows // 3), keys, seed)


def all_rows(fold: Fold) -> list[int]:
    return sorted([*fold.train, *fold.validation, *fold.test])


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("folds", [0, 3])
def test_each_row_has_one_purpose(method: SplitMethod, folds: int) -> None:
    found = split(example(method), 120, folds=folds)

    assert all_rows(found.main) == list(range(120))
    for fold in found.folds:
        assert len(set(all_rows(fold))) == len(all_rows(fold))
    assert len(set(found.test)) == len(found.test)


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_split_depends_on_the_seed_only(method: SplitMethod) -> None:
    first, again, other = (split(example(method, seed=seed), 120) for seed in (1, 1, 2))

    for part in ("train", "validation", "test"):
        assert getattr(first.main, part).tolist() == getattr(again.main, part).tolist()
    assert first.main.train.tolist() != other.main.train.tolist()


def test_the_classes_are_held_out_in_proportion() -> None:
    labels = np.array(["a"] * 100 + ["b"] * 20 + ["c"])

    found = split(splitter(SplitMethod.STRATIFIED, labels), 121).main

    for held_out in (found.test, found.validation):
        assert {label: int((labels[held_out] == label).sum()) for label in "abc"} == {"a": 20, "b": 4, "c": 0}


def test_many_tiny_classes_have_their_share_of_held_out_rows_together() -> None:
    labels = np.array([f"class {index // 2}" for index in range(200)])

    rest, held_out = splitter(SplitMethod.STRATIFIED, labels).divide(np.arange(200), 0.2, Purpose.TEST)

    assert len(held_out) == 40
    assert set(labels[rest]) == set(labels)


@given(st.lists(st.sampled_from("abcde"), min_size=4, max_size=40), st.floats(0.01, 0.6))
def test_every_class_can_be_learnt_and_something_is_measured(labels: list[str], fraction: float) -> None:
    distinct = len(set(labels))
    if distinct < 2 or distinct == len(labels):
        return

    found = split(splitter(SplitMethod.STRATIFIED, labels), len(labels), test=fraction).main

    assert set(np.array(labels)[found.train]) == set(labels)
    assert len(found.validation) > 0
    assert len(found.test) > 0
    if len(labels) - distinct > 1:
        assert not set(found.validation) & set(found.test)


def test_a_small_fraction_of_few_rows_is_at_least_one_row() -> None:
    classes = split(splitter(SplitMethod.STRATIFIED, ["a", "b"] * 4), 8, test=0.01, validation=0.01).main
    numbers = split(splitter(SplitMethod.RANDOM), 8, test=0.01, validation=0.01).main

    assert (len(classes.test), len(classes.validation)) == (1, 1)
    assert (len(numbers.test), len(numbers.validation)) == (2, 2)


def test_the_latest_rows_are_held_out_and_rows_of_one_time_stay_together() -> None:
    days = np.random.default_rng(3).permutation(np.arange(200) // 8)

    found = split(splitter(SplitMethod.TIME, keys=days), 200).main

    assert days[found.train].max() < days[found.validation].min()
    assert days[found.validation].max() < days[found.test].min()
    assert len(found.test) == 40


def test_the_folds_of_a_split_by_time_go_forward() -> None:
    days = np.arange(120) // 10

    found = split(splitter(SplitMethod.TIME, keys=days), 120, folds=3)

    assert len(found.folds) == 3
    for fold in found.folds:
        assert days[fold.development].max() < days[fold.test].min()
    assert found.test.tolist() == list(range(30, 120))


@pytest.mark.parametrize("folds", [0, 4])
def test_the_rows_of_a_group_stay_together(folds: int) -> None:
    groups = np.random.default_rng(1).integers(0, 25, 300)

    found = split(splitter(SplitMethod.GROUP, keys=groups), 300, folds=folds)

    for fold in (found.main, *found.folds):
        parts = [set(groups[rows]) for rows in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.mark.parametrize("method", [SplitMethod.RANDOM, SplitMethod.STRATIFIED, SplitMethod.GROUP])
def test_cross_validation_tests_each_row_once(method: SplitMethod) -> None:
    found = split(example(method), 120, folds=5)

    assert sorted(found.test.tolist()) == list(range(120))
    assert {len(fold.test) for fold in found.folds} <= {20, 24, 30}
    assert len(found.main.test) == 0


def without_fold(by: Splitter, fold: int, of: int, rows: int = 120) -> Split:
    return by.without_fold(np.arange(rows), fold, of, validation_fraction=0.2)


@pytest.mark.parametrize("method", [SplitMethod.RANDOM, SplitMethod.STRATIFIED, SplitMethod.GROUP])
@pytest.mark.parametrize("folds", [2, 5])
def test_the_folds_of_jobs_partition_the_rows(method: SplitMethod, folds: int) -> None:
    found = [without_fold(example(method), fold, folds) for fold in range(1, folds + 1)]

    assert sorted(row for split in found for row in split.test.tolist()) == list(range(120))
    for split in found:
        assert all_rows(split.main) == list(range(120))


@given(
    labels=st.lists(st.sampled_from("abc"), min_size=20, max_size=80).filter(
        lambda labels: len(set(labels)) > 1 and all(labels.count(label) > 3 for label in set(labels))
    ),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
)
def test_each_fold_keeps_the_shares_of_the_classes(labels: list[str], folds: int, seed: int) -> None:
    by = splitter(SplitMethod.STRATIFIED, labels, seed=seed)

    held_out = [without_fold(by, fold, folds, len(labels)).test for fold in range(1, folds + 1)]

    assert sorted(row for rows in held_out for row in rows.tolist()) == list(range(len(labels)))
    for label in set(labels):
        counts = [int((np.array(labels)[rows] == label).sum()) for rows in held_out]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_job_of_a_fold_holds_out_what_cross_validation_in_one_job_does(method: SplitMethod) -> None:
    by = example(method)
    inside = split(by, 120, folds=3)

    found = [without_fold(by, fold, 3) for fold in (1, 2, 3)]

    for alone, fold in zip(found, inside.folds, strict=True):
        assert alone.main.test.tolist() == fold.test.tolist()
        assert alone.main.train.tolist() == fold.train.tolist()
        assert alone.main.validation.tolist() == fold.validation.tolist()
        assert alone.folds == ()


def test_a_fold_depends_on_the_seed_and_the_labels_only() -> None:
    first, again, other = (
        without_fold(example(SplitMethod.STRATIFIED, seed=seed), 2, 4).test.tolist() for seed in (1, 1, 2)
    )

    assert first == again != other


def test_folds_of_too_few_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="needs at least"):
        without_fold(splitter(SplitMethod.RANDOM), 1, 2, rows=3)
    with pytest.raises(BadInput, match="choose fewer folds"):
        without_fold(splitter(SplitMethod.GROUP, keys=[0, 0, 1, 1, 2, 2]), 1, 4, rows=6)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (splitter(SplitMethod.GROUP, keys=[1] * 10), "too few different groups"),
        (splitter(SplitMethod.TIME, keys=[1] * 10), "too few different times"),
        (
            splitter(SplitMethod.TIME, ["a"] * 8 + ["b"] * 2, np.arange(10)),
            "no training row has the class 'b'",
        ),
    ],
)
def test_a_split_that_leaves_nothing_to_learn_or_to_measure_is_refused(by: Splitter, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        split(by, 10)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="3 rows"):
        split(splitter(SplitMethod.RANDOM), 3)


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(BadInput, match="too few for 4 folds"):
        split(splitter(SplitMethod.GROUP, keys=[1, 1, 2, 2, 3, 3]), 6, folds=4)


# The column of the split


def days(count: int = 60) -> list[date]:
    return [date(2025, 1, 1) + timedelta(days=index * 7 % count) for index in range(count)]


@pytest.mark.parametrize(
    "written", [lambda day: day, str, lambda day: day.toordinal(), lambda day: f"{day}T08:30:00Z"]
)
def test_times_may_be_dates_texts_or_numbers(written: Any) -> None:
    values = pa.chunked_array([pa.array([written(day) for day in days()])])

    keys = split_keys.times(pa.field("day", values.type), values)

    assert np.argsort(keys).tolist() == sorted(range(60), key=lambda index: days()[index])


def test_a_row_without_a_time_counts_as_the_earliest() -> None:
    values = pa.chunked_array([pa.array([date(2025, 1, 2), None, date(2025, 1, 1)])])

    assert split_keys.times(pa.field("day", values.type), values).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [(["soon", "later"], "column 'day'.*is not a date"), ([None, None], "has no times")],
)
def test_a_column_without_times_is_refused(values: list[Any], message: str) -> None:
    column = pa.chunked_array([pa.array(values, pa.string())])

    with pytest.raises(BadInput, match=message):
        split_keys.times(pa.field("day", column.type), column)


def test_a_row_without_a_group_is_a_group_of_its_own() -> None:
    values = pa.chunked_array([pa.array(["x", None, "x", None])])

    keys = split_keys.groups(pa.field("who", values.type), values).tolist()

    assert keys[0] == keys[2]
    assert len(set(keys)) == 3


def visits() -> pa.Table:
    """Return rows of thirty customers, whose visits are alike."""
    return table.to_arrow(
        [
            {"who": f"customer {row % 30}", "x": float(row % 30), "noise": row * 37 % 11, "y": "ab"[row % 2]}
            for row in range(120)
        ]
    )


def test_the_column_of_the_groups_is_no_feature() -> None:
    params = data.params("y", split=SplitParams(SplitMethod.GROUP, "who"))

    plan = make_plan(visits(), params)

    who = next(column for column in plan.columns if column.name == "who")
    assert who.reason == "not used: the groups of the split"
    assert [column.name for column in plan.inputs] == ["x", "noise"]


def test_a_requested_feature_stays_though_it_groups() -> None:
    params = data.params("y", features=["x", "who"], split=SplitParams(SplitMethod.GROUP, "who"))

    assert [column.name for column in make_plan(visits(), params).inputs] == ["x", "who"]


def test_the_result_says_how_rows_were_split(tmp_path: Path) -> None:
    wanted = SplitParams(SplitMethod.TIME, "noise", test_fraction=0.3)
    rows = table.to_arrow([{**row, "noise": index} for index, row in enumerate(visits().to_pylist())])

    _, result = data.trained(
        rows, tmp_path / "model.skops", "y", algorithm="random_forest", epochs=1, split=wanted
    )

    assert result["split"] == {
        "method": "time",
        "column": "noise",
        "folds": None,
        "train_rows": 60,
        "validation_rows": 24,
        "test_rows": 36,
    }
    assert result["test_rows"] == 36


def test_a_time_column_beside_a_random_split_is_warned_of() -> None:
    rows = [{"day": day, "x": index % 7, "y": index % 3 + 0.5} for index, day in enumerate(days())]
    at_random = make_plan(table.to_arrow(rows), data.params("y"))
    by_time = make_plan(table.to_arrow(rows), data.params("y", split=SplitParams(SplitMethod.TIME, "day")))

    assert any('"split": {"method": "time", "column": "day"}' in warning for warning in at_random.warnings)
    assert not any("at random" in warning for warning in by_time.warnings)


def test_a_stratified_split_of_numbers_is_refused() -> None:
    with pytest.raises(BadInput, match="needs classes"):
        make_plan(data.diabetes(), data.params(split=SplitParams(SplitMethod.STRATIFIED)))
