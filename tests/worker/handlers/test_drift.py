"""`batch_predict` over a dataset says where the rows differ from those of the training."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core import ids
from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from tests.worker.drift.test_comparison import replace_profile, rows_of
from tests.worker.handlers.datasets import as_file
from tests.worker.training import data
from worker.children.messages import Start
from worker.training.table import to_arrow

TRAINED = rows_of(600)
COLUMNS = ("amount", "country", "note", "day", "is_new", "age")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.skops"
    data.trained(to_arrow(TRAINED), path, epochs=1, algorithm="logistic_regression")
    return path


def dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    return path


def over_dataset(
    model: Path, rows: Path, *, batch: int = 0, checkpoint: bytes | None = None, size: int = 100
) -> Start:
    params = {
        "model": {"name": "m", "version": 1, "runtime": "sklearn", "id": str(ids.new_id())},
        "batch_size": size,
        "shape": {"columns": COLUMNS, "is_list": True},
    }
    start = attempts.start(
        "batch_predict", params=params, resume_batch=batch, done=batch * size, checkpoint=checkpoint
    )
    files = {"dataset": as_file(rows), "model": as_file(model)}
    return msgspec.structs.replace(start, payload=None, total=pq.read_metadata(rows).num_rows, files=files)


def changed() -> list[dict[str, Any]]:
    return [
        row | {"amount": row["amount"] + 30, "country": "it" if place % 2 else row["country"]}
        for place, row in enumerate(rows_of(450, seed=5))
    ]


async def test_the_rows_of_the_training_bring_no_warning(model: Path, tmp_path: Path) -> None:
    attempt = await attempts.run_alone(over_dataset(model, dataset(tmp_path, TRAINED)))

    assert attempt.result == {"total": 600, "errors": 0, "warnings": [], "drift": []}


async def test_what_differs_is_in_the_result(model: Path, tmp_path: Path) -> None:
    attempt = await attempts.run_alone(over_dataset(model, dataset(tmp_path, changed())))

    found = {(warning["column"], warning["kind"]) for warning in attempt.result["drift"]}
    assert {("amount", "shifted"), ("country", "unseen_categories")} <= found
    assert {column for column, _ in found} == {"amount", "country"}
    assert attempt.result["warnings"] == [warning["message"] for warning in attempt.result["drift"]]
    assert [line.text for line in attempt.logs] == attempt.result["warnings"]


async def test_an_attempt_that_resumes_counts_each_row_once(model: Path, tmp_path: Path) -> None:
    rows = dataset(tmp_path, changed())
    at_once = await attempts.run_alone(over_dataset(model, rows))
    checkpoint = at_once.batches[1].checkpoint

    resumed = await attempts.run_alone(over_dataset(model, rows, batch=2, checkpoint=checkpoint))

    assert resumed.result == at_once.result
    assert checkpoints(resumed) == checkpoints(at_once)[2:]


async def test_a_model_without_a_profile_is_not_compared(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model.skops"
    copy.write_bytes(model.read_bytes())
    replace_profile(copy, b"")

    attempt = await attempts.run_alone(over_dataset(copy, dataset(tmp_path, changed())))

    assert attempt.result == {"total": 450, "errors": 0}
    assert checkpoints(attempt) == [None] * 5


def checkpoints(attempt: Attempt) -> list[bytes | None]:
    return [batch.checkpoint for batch in attempt.batches]
