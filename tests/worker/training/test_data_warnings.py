"""Warnings about the training data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.jobs.params import SplitMethod
from tests.worker.training import data
from worker.training import columns, data_warnings, table, target


def found(rows: list[dict[str, Any]], task: str = "auto") -> list[str]:
    read = table.to_arrow(rows)
    inferred = columns.infer_columns(read, "target", None)
    read_target = target.read("target", read.column("target"), task)
    return data_warnings.find(read, inferred, "target", read_target, SplitMethod.RANDOM)


def rows_with(**columns_from_rows: Any) -> list[dict[str, Any]]:
    """Two hundred random rows, with columns derived from the label."""
    chance = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {"x": float(chance.normal()), "target": str(chance.choice(["a", "b", "c"]))} for _ in range(200)
    ]
    for name, make in columns_from_rows.items():
        for index, row in enumerate(rows):
            row[name] = make(row, index)
    return rows


def test_sound_rows_give_no_warning() -> None:
    assert found(rows_with()) == []


def test_a_column_that_equals_the_target_gives_a_leakage_warning() -> None:
    (warning,) = found(rows_with(copy=lambda row, _: row["target"]))

    assert warning.startswith("Possible leakage: the column 'copy' equals the target 'target'")


def test_a_column_that_determines_the_target_gives_a_leakage_warning() -> None:
    (warning,) = found(rows_with(code=lambda row, index: f"{row['target']}{index % 3}"))

    assert warning.startswith("Possible leakage: each value of the column 'code' occurs with one class only")


def test_a_merely_correlated_column_gives_no_warning() -> None:
    assert found(rows_with(hint=lambda row, index: row["target"] if index % 10 else "a")) == []


def test_the_target_in_other_units_gives_a_leakage_warning() -> None:
    rows = rows_with(
        target=lambda row, index: row["x"] * 3 + index % 5, cents=lambda row, _: row["target"] * 100
    )

    (warning,) = found(rows)

    assert "'cents'" in warning


def test_tiny_classes_missing_targets_and_duplicates_give_warnings() -> None:
    rows = rows_with()
    rows += [dict(rows[0]), {"x": 1.5, "target": "rare"}, {"x": 1.7, "target": None}]

    warning = " ".join(found(rows))

    assert "1 rows have no value for 'target'" in warning
    assert "'rare' (1)" in warning
    assert "1 rows are duplicates of other rows" in warning


def test_a_rare_class_gives_a_warning() -> None:
    chance = np.random.default_rng(0)
    rows = [{"x": chance.normal(), "target": "rare" if index % 160 == 0 else "b"} for index in range(960)]

    assert any("'rare' has 0.62%" in warning for warning in found(rows))


def test_few_rows_give_a_warning() -> None:
    assert any("Only 20 rows" in warning for warning in found(rows_with()[:20]))


def test_unused_columns_are_listed_by_reason() -> None:
    rows = rows_with(a=lambda *_: 1, b=lambda *_: 1, c=lambda *_: None)

    assert found(rows) == [
        "Columns not used: the same value in every row: 'a', 'b'.",
        "Columns not used: all values are missing: 'c'.",
    ]


def test_the_balance_of_the_classes_adds_up(tmp_path: Path) -> None:
    _, result = data.trained(table.to_arrow(rows_with()), tmp_path / "model.skops", epochs=1)

    balance = result["class_balance"]
    assert sum(row["rows"] for row in balance) == 200
    assert sum(row["train_rows"] for row in balance) == result["train_rows"]
    assert sum(row["validation_rows"] for row in balance) == result["validation_rows"]
    assert sum(row["test_rows"] for row in balance) == result["test_rows"]
    assert result["warnings"] == []


@pytest.mark.parametrize("dotted", ["a.b", "", "count"])
def test_columns_may_have_any_name(dotted: str) -> None:
    assert found(rows_with(**{dotted: lambda _, index: index % 7 + 0.5})) == []
