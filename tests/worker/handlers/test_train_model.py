"""`train_model` in a child process, as a worker runs it."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from app.jobs.params import TrainModelParams
from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from tests.worker.training import data
from worker import plugins
from worker.children.messages import Batch, Committed, Done, LocalFile, Start, Stop, StopReason, Yielded
from worker.children.pool import ChildPool
from worker.context import CHECKPOINT_FILE
from worker.runtimes.sklearn import inspection
from worker.training import table
from worker.training.trainer import Training

pytestmark = pytest.mark.asyncio(loop_scope="module")

HANDLERS = "worker.handlers:HANDLERS"
EPOCHS = 6
PARAMS: dict[str, Any] = {
    "target": "target",
    "algorithm": "mlp",
    "epochs": EPOCHS,
    "params": {"patience": 0, "hidden_layer_sizes": [8]},
}

PART: dict[str, Any] = {"trial": 0, "folds": 3}
"""Which job of a trial with folds, without the fold."""


def start(
    scratch: Path, rows: Any = (), params: dict[str, Any] = PARAMS, files: dict[str, Path] | None = None
) -> Start:
    message = attempts.start("train_model", rows, params=params)
    local = {name: LocalFile(str(path), sha256(path)) for name, path in (files or {}).items()}
    return msgspec.structs.replace(
        message,
        total=params["epochs"],
        scratch=str(scratch),
        files=local,
        payload=None if local else message.payload,
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


Run = Callable[[Start], Awaitable[Attempt]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[ChildPool]:
    """Shared by all tests, because starting a pool imports all libraries, which takes seconds."""
    async with attempts.pool(handlers=HANDLERS, preload=plugins.HEAVY) as pool:
        yield pool


@pytest.fixture
def run(children: ChildPool) -> Run:
    """Run an attempt in a child."""

    async def run(message: Start) -> Attempt:
        async with attempts.take_for(children, message) as child:
            return await attempts.run(child, message)

    return run


def model(attempt: Attempt, scratch: Path) -> Any:
    assert isinstance(attempt.end, Done), attempt.end
    return inspection.load(scratch / attempt.end.artifacts["model"])


async def test_each_epoch_is_a_batch_with_metrics(run: Run, tmp_path: Path) -> None:
    attempt = await run(start(tmp_path, data.customers(120)))

    assert [batch.step for batch in attempt.batches] == [f"Epoch {epoch}/6" for epoch in range(1, 7)]
    assert [record["epoch"] for record in attempt.outputs] == [1, 2, 3, 4, 5, 6]
    assert attempt.outputs == [(batch.data or {})["metrics"] for batch in attempt.batches]
    assert attempt.outputs == attempt.result["history"]
    assert isinstance(attempt.end, Done)
    assert not attempt.end.is_early


async def test_the_result_has_what_a_data_scientist_needs(run: Run, tmp_path: Path) -> None:
    result = (await run(start(tmp_path, data.customers(120)))).result

    assert result["accuracy"] == result["metrics"]["accuracy"]
    assert set(result["metrics"]) >= {"f1_macro", "f1_weighted", "log_loss", "roc_auc"}
    assert result["classes"] == ["leaves", "stays"]
    assert result["params"]["hidden_layer_sizes"] == [8]
    assert (result["train_rows"], result["validation_rows"], result["test_rows"]) == (72, 24, 24)
    assert result["library_versions"]["scikit-learn"]
    assert {column["name"]: column["used_as"] for column in result["columns"]} == {
        "id": None,
        "age": "number",
        "city": "category",
        "member": "number",
        "since": "number",
        "note": "text",
        "spent": "number",
    }
    assert result["signature"]["task"] == "classification"


async def test_the_log_has_the_rows_the_warnings_and_the_reason_of_the_choice(
    run: Run, tmp_path: Path
) -> None:
    attempt = await run(start(tmp_path, data.customers(120), {**PARAMS, "algorithm": "auto", "params": {}}))

    first, *others = [line.text for line in attempt.logs]
    assert first.startswith("Training on 120 rows and 6 columns; tested by cross-validation with ")
    assert f"Chose {attempt.result['algorithm']}: {attempt.result['why']}" in others
    warned = [line.text for line in attempt.logs if line.level == "warning"]
    assert warned == attempt.result["warnings"]
    assert len(warned) > 0

    split = (await run(start(tmp_path / "split", data.customers(120)))).logs[0]
    assert split.text == "Training on 72 rows and 6 columns; validated on 24 rows, tested on 24."


async def test_a_dataset_trains_the_same_model_as_its_rows_inline(run: Run, tmp_path: Path) -> None:
    rows = data.customers(120)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=50)

    inline = await run(start(tmp_path / "a", rows))
    dataset = await run(start(tmp_path / "b", files={"dataset": tmp_path / "rows.parquet"}))

    for result in (inline.result, dataset.result):
        assert result.pop("fit_seconds") > 0
        for record in result["history"]:
            del record["seconds"]
    assert dataset.result["metrics"] == inline.result["metrics"]
    assert dataset.result["columns"] == inline.result["columns"]


async def test_a_killed_attempt_resumes_from_its_last_epoch_to_the_same_model(
    run: Run, tmp_path: Path
) -> None:
    rows = data.customers(120)
    whole = await run(start(tmp_path / "whole", rows))
    training = Training(table.to_arrow(rows), data.params(**PARAMS))
    data.train_until(training, until=2)
    (tmp_path / "checkpoint").write_bytes(training.checkpoint())
    message = start(tmp_path / "resumed", rows)
    file = LocalFile(str(tmp_path / "checkpoint"), sha256(tmp_path / "checkpoint"))

    resumed = await run(
        msgspec.structs.replace(message, resume_batch=4, done=4, files={CHECKPOINT_FILE: file})
    )

    assert [batch.step for batch in resumed.batches] == ["Epoch 5/6", "Epoch 6/6"]
    first, second = model(whole, tmp_path / "whole"), model(resumed, tmp_path / "resumed")
    assert all((a == b).all() for a, b in zip(first[-1].coefs_, second[-1].coefs_, strict=True))
    assert resumed.result["metrics"] == whole.result["metrics"]
    assert len(resumed.result["history"]) == EPOCHS


async def test_the_job_of_a_fold_measures_it_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    rows = data.customers(120)
    attempts_of = [
        await run(start(tmp_path, rows, {**PARAMS, "refit": False, "part": {**PART, "fold": fold}}))
        for fold in (1, 2, 3)
    ]
    inside = await run(
        msgspec.structs.replace(start(tmp_path, rows, {**PARAMS, "split": {"folds": 3}}), total=EPOCHS + 3)
    )

    for number, attempt in enumerate(attempts_of, 1):
        assert isinstance(attempt.end, Done)
        assert attempt.end.artifacts == {}
        assert (attempt.result["fold"], attempt.result["folds"]) == (number, 3)
        assert [batch.step for batch in attempt.batches] == [f"Epoch {epoch}/6" for epoch in range(1, 7)]
        assert {"report", "signature", "model"}.isdisjoint(attempt.result)
    assert sum(attempt.result["test_rows"] for attempt in attempts_of) == 120
    assert [attempt.result["metrics"] for attempt in attempts_of] == [
        output["metrics"] for output in inside.outputs if "metrics" in output
    ]


async def test_a_killed_job_of_a_fold_measures_the_same_fold(run: Run, tmp_path: Path) -> None:
    rows = data.customers(120)
    params = {**PARAMS, "refit": False, "part": {**PART, "fold": 2}}
    whole = await run(start(tmp_path / "whole", rows, params))
    training = Training(table.to_arrow(rows), msgspec.convert(params, TrainModelParams))
    data.train_until(training, until=2)
    (tmp_path / "checkpoint").write_bytes(training.checkpoint())
    file = LocalFile(str(tmp_path / "checkpoint"), sha256(tmp_path / "checkpoint"))
    message = start(tmp_path / "resumed", rows, params)

    resumed = await run(
        msgspec.structs.replace(message, resume_batch=4, done=4, files={CHECKPOINT_FILE: file})
    )

    assert [batch.step for batch in resumed.batches] == ["Epoch 5/6", "Epoch 6/6"]
    assert resumed.result["metrics"] == whole.result["metrics"]
    assert resumed.result["split"] == whole.result["split"]


@pytest.mark.parametrize(
    "chooses",
    [
        {"algorithm": "auto", "params": {}},
        {"candidates": [{"algorithm": "logistic_regression"}, {"algorithm": "multinomial_nb"}]},
    ],
    ids=["auto", "a search that prunes"],
)
async def test_the_job_of_a_fold_chooses_on_the_other_folds(
    chooses: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    params = {**PARAMS, **chooses, "epochs": 2, "refit": False, "part": {**PART, "fold": 1}}
    message = msgspec.structs.replace(start(tmp_path, data.customers(120), params), total=10)

    attempt = await run(message)

    result = attempt.result
    assert (result["train_rows"], result["validation_rows"], result["test_rows"]) == (80, 0, 40)
    assert result["refit"] is False
    assert len(result["candidates"]) > 1
    assert all(candidate["rows"] <= 80 for candidate in result["candidates"])


AUTO: dict[str, Any] = {
    "target": "target",
    "epochs": 2,
    "candidates": [
        {"algorithm": "logistic_regression"},
        {"algorithm": "random_forest", "params": {"n_estimators": 10}},
    ],
}


async def test_each_step_of_a_training_that_chooses_is_a_batch(run: Run, tmp_path: Path) -> None:
    message = msgspec.structs.replace(start(tmp_path, data.customers(120), AUTO), total=8)

    attempt = await run(message)

    steps = [batch.step for batch in attempt.batches]
    assert steps[:2] == ["Candidate 1/2: logistic_regression", "Candidate 2/2: random_forest"]
    assert steps[2] == "Epoch 1/2"
    assert steps[-1] == "Fit on all rows"
    assert [batch.data is not None for batch in attempt.batches] == ["Epoch" in step for step in steps]
    assert isinstance(attempt.end, Done)
    assert attempt.end.is_early is (len(steps) < 8)
    assert attempt.result["refit"]


@pytest.mark.parametrize("committed", [1, 3])
async def test_a_killed_attempt_computes_the_steps_since_its_checkpoint_again_and_commits_none_twice(
    committed: int, run: Run, tmp_path: Path
) -> None:
    rows = data.customers(120)
    total = msgspec.structs.replace(start(tmp_path / "whole", rows, AUTO), total=8)
    whole = await run(total)
    first = whole.batches[0].checkpoint
    message = msgspec.structs.replace(
        start(tmp_path / "resumed", rows, AUTO),
        total=8,
        resume_batch=committed,
        done=committed,
        checkpoint=first,
    )

    resumed = await run(message)

    assert [batch.index for batch in resumed.batches] == list(range(committed, len(whole.batches)))
    assert [batch.step for batch in resumed.batches] == [batch.step for batch in whole.batches][committed:]
    files = [(tmp_path / folder / "model.skops").read_bytes() for folder in ("whole", "resumed")]
    assert files[0] == files[1]
    assert resumed.result["metrics"] == whole.result["metrics"]


async def test_a_training_that_an_older_version_planned_commits_no_more_than_its_total(
    run: Run, tmp_path: Path
) -> None:
    message = msgspec.structs.replace(start(tmp_path, data.customers(120), AUTO), total=2)

    attempt = await run(message)

    assert sum(batch.row_count for batch in attempt.batches) == 2
    assert len(attempt.batches) > 2
    assert isinstance(attempt.end, Done)
    assert not attempt.end.is_early


async def test_a_training_yields_between_epochs_when_asked_to_stop(
    children: ChildPool, tmp_path: Path
) -> None:
    message = start(tmp_path, data.customers(120), PARAMS | {"epochs": 1000})
    async with attempts.take_for(children, message) as child:
        child.send(message)
        first = await attempts.receive_batch(child)
        child.send(Stop(StopReason.DRAIN))
        child.send(Committed(first.index))
        while isinstance(reply := await attempts.receive(child), Batch):
            child.send(Committed(reply.index))

    assert isinstance(reply, Yielded)


async def test_early_stopping_completes_the_job_early(run: Run, tmp_path: Path) -> None:
    attempt = await run(
        start(tmp_path, data.customers(60), {**PARAMS, "algorithm": "multinomial_nb", "params": {}})
    )

    assert isinstance(attempt.end, Done)
    assert attempt.end.is_early
    assert len(attempt.batches) == attempt.result["epochs"] == 1
    assert attempt.result["stopped_early"]


@pytest.mark.parametrize(
    ("rows", "params", "code", "expected"),
    [
        ([], PARAMS, "bad_input", "no rows"),
        ([1, 2], PARAMS, "bad_input", "row 0 is 1"),
        ([{"x": 1, "target": "a"}] * 9, PARAMS, "bad_target", "only the class 'a'"),
        ([{"x": 1}] * 9, PARAMS, "bad_input", "no column 'target'"),
        ([{"x": 1, "target": None}] * 9, PARAMS, "bad_target", "no values"),
        ([{"x": p, "target": p % 2} for p in range(3)], PARAMS, "bad_input", "3 rows"),
        (data.customers(60), {**PARAMS, "epochs": "six"}, "bad_input", "params"),
        (data.customers(60), {**PARAMS, "params": {"layers": 2}}, "bad_input", "layers"),
    ],
)
async def test_data_that_cannot_be_learnt_fails_with_a_code(
    rows: list[Any], params: dict[str, Any], code: str, expected: str, run: Run, tmp_path: Path
) -> None:
    message = msgspec.structs.replace(start(tmp_path, rows, params), total=EPOCHS)

    attempt = await run(message)

    assert attempt.failure.code == code
    assert expected in attempt.failure.message
    assert not attempt.failure.is_retryable


async def test_a_training_beyond_the_memory_limit_is_refused_in_advance(tmp_path: Path) -> None:
    count = 200_000
    columns = {f"x{place}": pa.array(range(place, count + place), pa.float64()) for place in range(30)}
    pq.write_table(pa.table({**columns, "target": [0, 1] * (count // 2)}), tmp_path / "rows.parquet")
    message = start(tmp_path, files={"dataset": tmp_path / "rows.parquet"})
    limit = 300 * attempts.MEBIBYTE

    async with (
        attempts.pool(handlers=HANDLERS, memory_limit_bytes=limit, preload=plugins.HEAVY) as children,
        attempts.take_for(children, message) as child,
    ):
        attempt = await attempts.run(child, message)

    assert attempt.failure.code == "too_large_to_train"
    assert "reading the dataset would take about" in attempt.failure.message
