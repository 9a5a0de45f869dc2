"""A dataset of the user measures the model: its columns are read as those of the training rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.jobs.params import SplitMethod, SplitParams, TrainModelParams
from tests.worker.training import data
from worker.context import BadInput
from worker.training import table
from worker.training.trainer import Training

SPLIT = SplitParams(SplitMethod.DATASET, test_fraction=0)


def training(rows: Any, test: Any, target: str = "target", **wanted: Any) -> Training:
    params: TrainModelParams = data.params(target, split=SPLIT, **wanted)
    return Training(_table(rows), params, None, _table(test))


def _table(rows: Any) -> pa.Table:
    return rows if isinstance(rows, pa.Table) else table.to_arrow(rows)


def test_the_metrics_are_those_of_the_test_dataset(tmp_path: Path) -> None:
    known, other = data.customers(200), data.customers(60, seed=9)
    found = training(known, other, algorithm="logistic_regression")
    data.train_until(found)

    result = found.finish(tmp_path / "model")

    assert result["split"]["method"] == "dataset"
    assert (result["train_rows"], result["validation_rows"], result["test_rows"]) == (160, 40, 60)
    truth = [row["target"] for row in other]
    matrix = result["confusion_matrix"]
    counts = dict(zip(matrix["labels"], map(sum, matrix["matrix"]), strict=True))
    assert counts == {label: truth.count(label) for label in matrix["labels"]}


def test_the_model_is_that_of_a_training_without_these_rows(tmp_path: Path) -> None:
    known = data.customers(200)
    wrong = [{**row, "target": "stays"} for row in data.customers(60, seed=9)]
    wanted: dict[str, Any] = {"algorithm": "logistic_regression", "epochs": 2}
    first, other = training(known, data.customers(60, seed=9), **wanted), training(known, wrong, **wanted)

    histories = [
        [(record.train_loss, record.valid_loss) for record in data.train_until(one)] for one in (first, other)
    ]

    assert histories[0] == histories[1]


def test_columns_are_read_by_the_types_of_the_training_rows() -> None:
    known = [{"n": row * 37 % 41, "code": f"{row % 3}", "target": row * 1.5} for row in range(40)]
    test = [{"n": f"{row}", "code": row % 3, "target": f"{row}"} for row in range(8)]

    found = training(known, test, columns={"code": "category"})

    rows = found.plan.split.main.test
    assert found.plan.target.values[rows].tolist() == [float(row) for row in range(8)]
    assert found.plan.cells["n"][rows].tolist() == [float(row) for row in range(8)]
    assert found.plan.cells["code"][rows].tolist() == [f"{row % 3}" for row in range(8)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {name: value for name, value in row.items() if name != "age"}, "no column 'age'"),
        (lambda row: {**row, "target": None}, "no row with a value for 'target'"),
        (lambda row: {**row, "target": "returns"}, "class 'returns', which no training row has"),
        (lambda row: {**row, "age": "young"}, "the test dataset: column 'age'"),
    ],
)
def test_a_test_dataset_that_does_not_fit_is_refused(change: Any, message: str) -> None:
    test = [change(row) for row in data.customers(20, seed=9)]

    with pytest.raises(BadInput, match=message):
        training(data.customers(100), test)
