"""The predictions for the test rows become a table that says which rows they are of."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.jobs.params import SplitMethod, SplitParams
from tests.worker.training import data
from worker.training import held_out, table


def kept(rows: Any, path: Path, target: str = "target", **wanted: Any) -> tuple[Any, dict[str, Any]]:
    training, result = data.trained(rows, path, target, held_out_dataset="held out", **wanted)
    return training, result


def test_a_classification_has_labels_and_scores(tmp_path: Path) -> None:
    customers = data.customers(120)

    training, result = kept(table.to_arrow(customers), tmp_path / "model", algorithm="logistic_regression")

    found = result["held_out"].to_pylist()
    numbers = [row["row"] for row in found]
    assert numbers == sorted(training.plan.split.main.test.tolist())
    assert [row["target"] for row in found] == [customers[number]["target"] for number in numbers]
    assert sum(row["is_correct"] for row in found) / len(found) == pytest.approx(result["accuracy"])
    for row in found:
        assert row["score leaves"] + row["score stays"] == pytest.approx(1)
        assert row["score"] == row[f"score {row['prediction']}"]
        assert row["is_correct"] == (row["prediction"] == row["target"])


def test_a_regression_has_values_and_errors(tmp_path: Path) -> None:
    _, result = kept(data.diabetes(), tmp_path / "model", algorithm="ridge")

    found = result["held_out"].to_pylist()
    assert set(found[0]) == {"row", "target", "prediction", "error"}
    mean = sum(abs(row["error"]) for row in found) / len(found)
    assert mean == pytest.approx(result["metrics"]["mae"])


@pytest.mark.parametrize("name", ["row", "prediction", "score a"])
def test_a_target_with_the_name_of_another_column_is_renamed(name: str, tmp_path: Path) -> None:
    rows = [{"x": index * 0.5, name: "ab"[index % 2]} for index in range(40)]

    _, result = kept(table.to_arrow(rows), tmp_path / "model", name)

    assert result["held_out"].column("target").to_pylist()


def test_rows_without_a_target_are_counted(tmp_path: Path) -> None:
    rows = [{"x": index * 0.5, "y": None if index < 10 else index * 1.0} for index in range(50)]
    wanted = SplitParams(SplitMethod.TIME, "x")

    _, result = kept(table.to_arrow(rows), tmp_path / "model", "y", split=wanted)

    assert result["held_out"].column("row").to_pylist() == list(range(42, 50))


def test_many_classes_have_one_score(tmp_path: Path) -> None:
    rows = [{"x": index % 30, "y": f"class {index % 30}"} for index in range(300)]

    _, result = kept(table.to_arrow(rows), tmp_path / "model", "y")

    assert result["held_out"].column_names == ["row", "y", "prediction", "is_correct", "score"]


def test_the_file_has_the_rows(tmp_path: Path) -> None:
    found = pa.table({"row": list(range(30_000)), "prediction": [0.5] * 30_000})

    held_out.write(found, tmp_path / "rows.parquet")

    written = pq.ParquetFile(tmp_path / "rows.parquet")
    assert written.read().equals(found)
    assert written.num_row_groups == 3


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    _, result = data.trained(data.iris(), tmp_path / "model", epochs=1)

    assert "held_out" not in result
