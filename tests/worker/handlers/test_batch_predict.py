"""`batch_predict` over inline rows and datasets, and its errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from tests.worker.handlers.datasets import as_file
from worker import predictions
from worker.children import encoding
from worker.children.encoding import NotJson
from worker.children.messages import Failed, Start
from worker.context import RowError, UnserialisableOutput
from worker.runtimes.vader import VaderModel

MODEL = {"name": "sentiment", "version": 1, "runtime": "vader"}


def params(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "batch_size": 10, **more}


def over_dataset(path: Path, *, done: int = 0, batch: int = 0, errors: int = 0, **more: Any) -> Start:
    """An attempt over a dataset that resumes after `done` rows."""
    start = attempts.start("batch_predict", params=params(**more), resume_batch=batch, done=done)
    rows = pq.read_metadata(path).num_rows
    return msgspec.structs.replace(
        start, payload=None, total=rows, errors=errors, files={"dataset": as_file(path)}
    )


def lines(attempt: Attempt) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for batch in attempt.batches for line in batch.output.splitlines()]


@pytest.mark.parametrize(
    ("sent_params", "rows", "code"),
    [
        ({"model": MODEL}, ["text"], "bad_input"),
        ({"model": MODEL, "batch_size": "ten"}, ["text"], "bad_input"),
        ({"model": MODEL | {"runtime": "abacus"}, "batch_size": 10}, ["text"], "unknown_runtime"),
    ],
)
async def test_invalid_params_fail_with_a_code(
    sent_params: dict[str, Any], rows: Sequence[Any], code: str
) -> None:
    attempt = await attempts.run_alone(attempts.start("batch_predict", rows, params=sent_params))

    assert isinstance(attempt.end, Failed)
    assert attempt.end.code == code


async def test_a_bad_row_gets_an_error_and_the_others_predictions() -> None:
    attempt = await attempts.run_alone(attempts.start("batch_predict", ["good", 4, "bad"], params=params()))

    found = lines(attempt)
    assert [list(line) for line in found] == [["prediction"], ["error"], ["prediction"]]
    assert [found[0]["prediction"], found[2]["prediction"]] == VaderModel().predict(["good", "bad"])
    assert attempt.result == {"total": 3, "errors": 1}
    assert [(line.level, line.text) for line in attempt.logs] == [
        ("warning", "1 of 3 rows have an error instead of a prediction.")
    ]


async def test_a_column_of_objects_is_predicted_and_their_id_is_in_the_result() -> None:
    rows = [{"id": "a", "review": "good", "stars": 5}, {"id": 7, "review": "bad"}, {"review": "so-so"}]
    shape = {"column": "review", "id_column": "id"}

    attempt = await attempts.run_alone(attempts.start("batch_predict", rows, params=params(shape=shape)))

    outputs = VaderModel().predict(["good", "bad", "so-so"])
    assert lines(attempt) == [
        {"id": row_id, "prediction": prediction}
        for row_id, prediction in zip(["a", 7, None], outputs, strict=True)
    ]


async def test_a_dataset_is_read_from_where_the_previous_attempt_stopped(tmp_path: Path) -> None:
    texts = [f"{row} good and bad things {'great ' * (row % 5)}" for row in range(95)]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"key": range(95), "text": texts}), path, row_group_size=20)

    attempt = await attempts.run_alone(
        over_dataset(path, done=30, batch=3, shape={"column": "text", "id_column": "key"})
    )

    assert [batch.index for batch in attempt.batches] == list(range(3, 10))
    assert [batch.first_row for batch in attempt.batches] == list(range(30, 95, 10))
    assert attempt.batches[0].step == "Batch 4/10"
    assert [line["id"] for line in lines(attempt)] == list(range(30, 95))
    assert [line["prediction"] for line in lines(attempt)] == VaderModel().predict(texts[30:])
    assert attempt.result == {"total": 95, "errors": 0}


async def test_row_errors_count_over_attempts_and_fail_the_job_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    texts = ["good" if row % 10 else None for row in range(100)]
    pq.write_table(pa.table({"text": texts}), path)
    shape = {"column": "text"}

    few = await attempts.run_alone(
        over_dataset(path, done=50, batch=5, errors=5, shape=shape, max_row_errors=10)
    )
    many = await attempts.run_alone(
        over_dataset(path, done=50, batch=5, errors=5, shape=shape, max_row_errors=7)
    )
    again = await attempts.run_alone(
        over_dataset(path, done=80, batch=8, errors=8, shape=shape, max_row_errors=7)
    )

    assert few.result == {"total": 100, "errors": 10}
    assert (many.failure.code, many.failure.is_retryable) == ("too_many_row_errors", False)
    assert "8 of the first 80 rows failed; max_row_errors is 7" in many.failure.message
    assert len(many.batches) == 3
    assert (again.batches, again.failure.code) == ([], "too_many_row_errors")


# Models that misbehave


class Odd:
    """A model that raises for some rows and returns NaN for others."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        self.batch_sizes.append(len(rows))
        if "raise" in rows:
            raise ValueError("cannot take that")
        return [float("nan") if row == "nan" else {"value": len(row)} for row in rows]


def committed(rows: list[Any], *, has_worked: bool = False) -> list[Any]:
    """Return the outputs that are committed for rows of the odd model."""
    batches: list[list[Any]] = []

    def commit(outputs: list[Any]) -> None:
        try:
            encoding.json_lines(outputs, 0)
        except NotJson as error:
            raise UnserialisableOutput(str(error)) from None
        batches.append(outputs)

    outputs = predictions.predict(Odd(), rows, has_worked=has_worked)
    predictions.commit_outputs(commit, outputs, has_worked=has_worked)
    return batches[0]


def test_a_model_that_raises_for_a_batch_is_run_once_per_row() -> None:
    model = Odd()

    outputs = predictions.predict(model, ["a", "raise", "ccc"], has_worked=False)

    assert outputs == [
        {"value": 1},
        RowError("prediction_failed", "ValueError: cannot take that"),
        {"value": 3},
    ]
    assert model.batch_sizes == [3, 1, 1, 1]


def test_a_model_that_raises_for_every_row_fails_the_attempt() -> None:
    for rows in (["raise", "raise"], ["raise"]):
        with pytest.raises(ValueError, match="cannot take that"):
            predictions.predict(Odd(), rows, has_worked=False)


@pytest.mark.parametrize("count", [1, 3])
def test_rows_get_errors_if_the_model_has_worked_before(count: int) -> None:
    assert (
        committed(["raise"] * count, has_worked=True)
        == [RowError("prediction_failed", "ValueError: cannot take that")] * count
    )
    codes = [error.code for error in committed(["nan"] * count, has_worked=True)]
    assert codes == ["unserialisable_output"] * count


def test_an_output_that_is_not_json_is_an_error_of_its_row() -> None:
    first, second = committed(["a", "nan"])

    assert first == {"value": 1}
    assert second == RowError("unserialisable_output", "nan is not a JSON number")
    with pytest.raises(UnserialisableOutput):
        committed(["nan", "nan"])


def test_a_model_with_a_wrong_number_of_predictions_is_not_run_again() -> None:
    class Miscounting:
        def predict(self, rows: Sequence[Any]) -> list[Any]:
            return [1]

    with pytest.raises(predictions.WrongPredictionCount, match="1 predictions for 2 rows"):
        predictions.predict(Miscounting(), ["a", "b"], has_worked=True)
