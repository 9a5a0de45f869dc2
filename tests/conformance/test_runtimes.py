"""The conformance suite of runtimes: each predicts like its library and refuses damaged files."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
import skops.io
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from app.core.sandbox.permissions import Permission
from app.jobs.params import ModelReference
from app.models import formats
from tests.conformance.cases import PLUGINS, of_plugins
from tests.conformance.cases import RuntimeCase as Case
from tests.models import files
from tests.worker.children import attempts
from tests.worker.handlers.datasets import as_file
from worker import runtimes
from worker.children.messages import LocalFile, Start
from worker.children.pool import Child
from worker.children.tenancy import Tenancy
from worker.runtimes import RUNTIMES, file_runtime, runtime
from worker.runtimes.runtime import BrokenModel, Model, QuickModel, UnsafeModel

# All tests share a child, because starting one with all libraries takes seconds.
pytestmark = pytest.mark.asyncio(loop_scope="module")

HANDLERS = "worker.handlers:HANDLERS"
FLOWERS = files.FLOWERS[::5]


def of_vader(_content: bytes) -> list[Any]:
    analyzer = SentimentIntensityAnalyzer()
    return [analyzer.polarity_scores(text)["compound"] for text in TEXTS]


def of_skops_classifier(content: bytes) -> list[Any]:
    model = skops.io.loads(content, trusted=[])
    return [
        dict(zip(model.classes_.tolist(), scores, strict=True))
        for scores in model.predict_proba(FLOWERS.astype(float)).tolist()
    ]


def of_skops_regressor(content: bytes) -> list[Any]:
    values: list[Any] = skops.io.loads(content, trusted=[]).predict(FLOWERS.astype(float)).tolist()
    return values


def of_onnx_classifier(content: bytes) -> list[Any]:
    _, scores = onnxruntime.InferenceSession(content).run(None, {"X": FLOWERS})
    return list(scores)


def of_onnx_regressor(content: bytes) -> list[Any]:
    (values,) = onnxruntime.InferenceSession(content).run(None, {"X": FLOWERS})
    flat: list[Any] = values.reshape(-1).tolist()
    return flat


TEXTS = ["What a lovely day", "I hate it", "This is a table."]
LISTS = FLOWERS.astype(float).tolist()

CASES: dict[str, Case] = {
    "vader": Case("vader", None, TEXTS, {"text": 1}, of_vader),
    "sklearn classifier": Case(
        "sklearn", files.as_skops(files.classifier()), LISTS, [1.0], of_skops_classifier
    ),
    "sklearn regressor": Case("sklearn", files.as_skops(files.regressor()), LISTS, "x", of_skops_regressor),
    "onnx classifier": Case(
        "onnx", files.as_onnx(files.classifier(), zipmap=True), LISTS, [1.0], of_onnx_classifier
    ),
    "onnx regressor": Case("onnx", files.as_onnx(files.regressor()), LISTS, "x", of_onnx_regressor),
    **dict(of_plugins("RUNTIME_CASES")),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """The plugins' runtimes, in this process."""
    runtimes.install(PLUGINS)
    yield
    runtimes.install(())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def child() -> AsyncIterator[Child]:
    """A child as a worker has it."""
    async with (
        attempts.pool(handlers=HANDLERS, plugins=PLUGINS) as children,
        # Each test passes another file. No runtime writes files.
        attempts.take(children, tenancy=Tenancy(permissions=frozenset({Permission.FILES}))) as taken,
    ):
        yield taken


def start(folder: Path, case: Case, rows: list[Any]) -> Start:
    """Return a batch_predict attempt with the model of a case."""
    model = {"name": "mine", "version": 1, "runtime": case.runtime}
    found = {}
    if case.content is not None:
        path = files.written(folder, case.content)
        # A new id for each model, because a child caches models.
        digest = sha256(case.content).hexdigest()
        model["id"] = str(UUID(digest[:32]))
        found["model"] = LocalFile(str(path), digest)
    message = attempts.start("batch_predict", rows, params={"model": model, "batch_size": 10})
    return msgspec.structs.replace(message, files=found)


def loaded(case: Case, folder: Path) -> Model:
    """Load the model of a case in this process."""
    path = None if case.content is None else files.written(folder, case.content)
    found = runtime(case.runtime)
    assert found is not None
    return found.load(ModelReference("mine", 1, case.runtime), path)


def core(prediction: Any) -> Any:
    """Return a prediction in the form of its library."""
    if "value" in prediction:
        return prediction["value"]
    return prediction["scores"].get("compound", prediction["scores"])


async def test_every_runtime_has_a_case_and_every_one_that_takes_uploads_has_a_file() -> None:
    added = runtimes.ADDED.load(PLUGINS, taken=RUNTIMES)
    names = {*RUNTIMES, *added}
    assert {case.runtime for case in CASES.values()} == names
    with_files = {case.runtime for case in CASES.values() if case.content is not None}
    assert {name for name in names if file_runtime(name) is not None} == with_files
    assert {*runtimes.FILE_RUNTIMES, *formats.load(PLUGINS)} == with_files


async def test_it_predicts_the_same_as_its_library(case: Case, child: Child, tmp_path: Path) -> None:
    attempt = await attempts.run(child, start(tmp_path, case, case.rows))

    assert attempt.result == {"total": len(case.rows), "errors": 0}
    expected = case.expected(case.content or b"")
    for output, own in zip(attempt.outputs, expected, strict=True):
        assert core(output) == pytest.approx(own, abs=1e-12)
        if "label" in output and case.content is not None:
            assert output["label"] == max(own, key=own.get)


async def test_columnar_rows_get_the_same_predictions_as_single_rows(
    case: Case, child: Child, tmp_path: Path
) -> None:
    names = ["text"] if case.runtime == "vader" else [f"x{index}" for index in range(4)]
    rows = [[row] if isinstance(row, str) else row for row in [*case.rows, *case.rows]]
    missing = [None] * len(names)
    path = tmp_path / "rows.parquet"
    columns = zip(*[*rows, missing], strict=True)
    table = pa.table({name: list(column) for name, column in zip(names, columns, strict=True)})
    pq.write_table(table, path, row_group_size=len(case.rows) + 1)
    shape = {"column": "text"} if case.runtime == "vader" else {"columns": names, "is_list": True}
    inline = start(tmp_path, case, [row[0] if case.runtime == "vader" else row for row in [*rows, missing]])
    params = {**msgspec.json.decode(inline.params), "shape": shape}
    over_dataset = msgspec.structs.replace(
        inline,
        params=msgspec.json.encode(params),
        payload=None,
        files={**inline.files, "dataset": as_file(path)},
    )

    in_columns = await attempts.run(child, over_dataset)
    one_by_one = await attempts.run(child, inline)

    # Byte by byte, whether they were structs or dicts.
    assert [batch.output for batch in in_columns.batches] == [batch.output for batch in one_by_one.batches]
    assert in_columns.result == one_by_one.result
    assert in_columns.result["total"] == len(rows) + 1


async def test_structs_encode_to_the_same_json(case: Case, tmp_path: Path) -> None:
    model = loaded(case, tmp_path)
    if not isinstance(model, QuickModel):
        return
    rows = [*case.rows, case.wrong_row, case.rows[0]]

    assert msgspec.json.encode(model.predict_to_write(rows)) == msgspec.json.encode(model.predict(rows))
    assert model.predict_to_write([]) == model.predict([]) == []


async def test_an_invalid_row_gets_an_error(case: Case, child: Child, tmp_path: Path) -> None:
    rows = [case.rows[0], case.wrong_row, case.rows[1]]

    attempt = await attempts.run(child, start(tmp_path, case, rows))

    lines = [msgspec.json.decode(line) for batch in attempt.batches for line in batch.output.splitlines()]
    assert attempt.result == {"total": 3, "errors": 1}
    assert [set(line) for line in lines] == [{"prediction"}, {"error"}, {"prediction"}]
    assert lines[1]["error"]["message"]


@pytest.mark.parametrize("where", [0.01, 0.5, 0.99])
async def test_a_flipped_byte_fails_the_attempt_before_loading(
    case: Case, child: Child, tmp_path: Path, where: float
) -> None:
    if case.content is None:
        return
    message = start(tmp_path, case, case.rows)
    damaged = bytearray(case.content)
    damaged[int(where * len(damaged))] ^= 1
    files.written(tmp_path, bytes(damaged))

    failure = (await attempts.run(child, message)).failure

    assert (failure.code, failure.is_retryable) == ("artifact_integrity", False)
    assert "'model'" in failure.message


async def test_an_accepted_upload_can_be_loaded(case: Case, tmp_path: Path) -> None:
    if case.content is None:
        return
    path = files.written(tmp_path, case.content)

    name = formats.runtime_of(path, formats.load(PLUGINS).values())
    runtime = file_runtime(name)
    assert runtime is not None
    signature = runtime.inspect(path)

    assert name == case.runtime
    assert signature.task is not None
    assert [column.name for column in signature.columns or ()] == ["x0", "x1", "x2", "x3"]
    assert signature.library_versions


async def test_a_file_cut_off_anywhere_is_refused_by_inspection_and_by_load(
    case: Case, tmp_path: Path
) -> None:
    if case.content is None:
        return
    runtime = file_runtime(case.runtime)
    assert runtime is not None
    for share in (0.0, 0.1, 0.5, 0.9):
        path = files.written(tmp_path, case.content[: int(share * len(case.content))])

        for open_file in (runtime.inspect, partial(runtime.load, ModelReference("mine", 1, case.runtime))):
            with pytest.raises((BrokenModel, UnsafeModel)):
                open_file(path)
