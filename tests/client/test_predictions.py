"""Predictions over datasets and instances, immediate predictions and trained models, by both clients."""

import csv
import io
from asyncio import StreamWriter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.client import AsyncHeadrace, HeadraceError, Invalid, NotFound, RowError, UnexpectedResponse
from tests.client.conftest import Connect
from tests.client.either import HURRIED
from tests.client.scripted import JOB_ID, Asked, answer, answering, scripted
from tests.e2e.support import compounds, short_texts

pytestmark = pytest.mark.long


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A file of 300 rows, one of them without a text."""
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "review", "stars"])
        for row, text in enumerate(short_texts(300)):
            writer.writerow([f"r{row}", "" if row == 7 else text, row % 5])
    return path


async def test_a_file_is_uploaded_predicted_and_read_in_every_format(
    client: AsyncHeadrace, reviews: Path
) -> None:
    dataset = await client.upload(reviews)
    job = await client.submit(dataset=dataset, column="review", batch_size=100)
    done = await client.wait(job, timeout=60)
    rows = [row async for row in client.results(job)]
    pieces = [piece async for piece in client.export(job, "parquet")]

    assert (dataset.name, dataset.rows, dataset.columns["review"]) == ("reviews.csv", 300, "text")
    assert [found.id async for found in client.datasets()] == [dataset.id]
    assert (done.status, done.total, done.raw["errors"]) == ("completed", 300, 1)
    assert [row.id for row in rows] == [f"r{row}" for row in range(300)]
    assert rows[7].prediction is None
    assert isinstance(rows[7].error, RowError)
    assert rows[7].error.index == 7
    table = pq.read_table(io.BytesIO(b"".join(pieces)))
    assert table.column("id").to_pylist() == [row.id for row in rows]


async def test_upload_options_tell_the_server_how_to_read_a_file(
    client: AsyncHeadrace, tmp_path: Path
) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes("zip,no|town|sold|note\n01067|Zürich|n/a|a\n8001|Köln|-|b\n".encode("windows-1252"))

    dataset = await client.upload(
        path,
        delimiter="|",
        encoding="windows-1252",
        null_values=["n/a", "-"],
        columns={"zip,no": "category", "sold": "number", "note": "ignore"},
    )
    rows = [(await client.submit(dataset=dataset, column="town", model="sentiment")).id]
    await client.wait(rows[0], timeout=60)

    assert list(dataset.columns) == ["zip,no", "town", "sold"]
    assert dataset.raw["options"] == {
        "delimiter": "|",
        "encoding": "cp1252",
        "null_values": ["n/a", "-"],
        "columns": {"zip,no": "category", "sold": "number", "note": "ignore"},
    }
    with pytest.raises(TypeError):
        await client.upload(path, null_values="NA")
    with pytest.raises(Invalid) as invalid:
        await client.upload(path, delimiter="x")
    assert invalid.value.code == "bad_options"


async def test_a_training_takes_column_types(client: AsyncHeadrace) -> None:
    rows = [{"floor": n % 5, "kind": "ab"[n % 5 == 2]} for n in range(60)]

    job = await client.train("kind", rows=rows, columns={"floor": "category"}, epochs=2, model="floors")
    done = await client.wait(job, timeout=60)

    assert done.result is not None
    assert [(found["name"], found["used_as"]) for found in done.result["columns"]] == [("floor", "category")]


async def test_rows_with_columns_are_submitted_as_instances(client: AsyncHeadrace) -> None:
    job = await client.submit(instances=[{"text": "good", "id": 5}, {"text": "bad"}])
    await client.wait(job, timeout=60)

    found = [(row.id, row.prediction["label"]) async for row in client.results(job)]
    assert found == [(5, "positive"), (None, "negative")]


async def test_immediate_predictions_have_an_error_for_a_bad_row(client: AsyncHeadrace) -> None:
    texts = short_texts(20)
    said = await client.predict(texts)
    some = await client.predict(instances=[{"text": 3}, {"text": "good"}], model="sentiment@1")

    assert [prediction["scores"]["compound"] for prediction in said.predictions] == compounds(texts)
    assert (said.model, said.row_errors) == ("sentiment@1", [])
    assert (await client.job(said.job_id)).priority == "high"
    assert some.predictions[0] is None
    assert [error.index for error in some.row_errors] == [0]
    with pytest.raises(Invalid) as invalid:
        await client.predict(instances=[["good"]])
    assert invalid.value.code == "input_mismatch"
    with pytest.raises(NotFound):
        await client.predict(["x"], model="unheard-of")


async def test_a_model_is_trained_on_a_file_and_predicts(client: AsyncHeadrace, tmp_path: Path) -> None:
    path = tmp_path / "flowers.csv"
    path.write_text("length,width,kind\n" + "".join(f"{n},{n % 7},{'ab'[n > 50]}\n" for n in range(100)))
    job = await client.train(
        "kind",
        dataset=await client.upload(path),
        features=["length"],
        algorithm="random_forest",
        epochs=3,
        seed=1,
        model="flowers",
    )
    events = [event async for event in client.follow(job)]
    done = await client.job(job)
    said = await client.predict(instances=[{"length": 2}, {"length": 99}], model="flowers")

    assert done.result is not None
    measured = [event.metrics for event in events if event.metrics is not None]
    assert [metrics["epoch"] for metrics in measured] == [1, 2, 3]
    assert measured == done.result["history"]
    assert (done.kind, done.result["model"], said.model) == ("train_model", "flowers@1", "flowers@1")
    assert [prediction["label"] for prediction in said.predictions] == ["a", "b"]
    assert "flowers" in [model.name async for model in client.models()]


async def test_a_training_over_rows_is_one_job_under_one_key(client: AsyncHeadrace) -> None:
    rows = [{"size": n, "price": 2 * n} for n in range(60)]
    job = await client.train("price", rows=rows, algorithm="ridge", queue="nobody", idempotency_key="k")
    again = await client.train("price", rows=rows, algorithm="ridge", queue="nobody", idempotency_key="k")

    assert (again.id, job.is_replay, again.is_replay) == (job.id, False, True)
    with pytest.raises(Invalid):
        await client.train("price")
    with pytest.raises(Invalid) as invalid:
        await client.train("cost", rows=rows)
    assert invalid.value.code == "unknown_column"


async def test_the_models_are_listed(client: AsyncHeadrace) -> None:
    assert "sentiment" in [model.name async for model in client.models()]


async def test_a_file_with_an_unknown_suffix_is_rejected(client: AsyncHeadrace, tmp_path: Path) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n1,2,3\n")

    with pytest.raises(ValueError, match=r"notes\.txt is not a dataset file"):
        await client.upload(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "missing.csv")
    with pytest.raises(Invalid) as invalid:
        await client.upload(ragged)
    assert invalid.value.code == "bad_row"


async def test_a_prediction_that_takes_longer_than_the_server_waits_is_awaited(connect: Connect) -> None:
    job = {"job_id": JOB_ID, "status": "completed", "model": "sentiment@1"}
    rows = [
        {"index": 0, "input_index": 0, "prediction": {"label": "positive"}},
        {"index": 1, "input_index": 1, "error": {"code": "bad_row", "message": "No text."}},
    ]
    async with answering(
        answer(504, {"code": "prediction_pending", "detail": "Later.", "status": 504, "job_id": JOB_ID}),
        answer(200, job),
        answer(200, {"items": rows, "next_cursor": None}),
    ) as server:
        said = await connect(server.url, token="t").predict(["a", "b"])

    assert said.predictions == [{"label": "positive"}, None]
    assert said.row_errors == [RowError(1, "bad_row", "No text.")]
    assert [asked.line.split()[0] for asked in server.asked] == ["POST", "GET", "GET"]


async def test_a_prediction_whose_job_fails_late_is_an_error_with_the_reason(connect: Connect) -> None:
    error = {"code": "odd", "message": "It did not want to.", "retryable": False, "attempt": 1}
    async with answering(
        answer(504, {"code": "prediction_pending", "detail": "Later.", "status": 504, "job_id": JOB_ID}),
        answer(200, {"job_id": JOB_ID, "status": "failed", "error": error}),
    ) as server:
        with pytest.raises(HeadraceError, match="It did not want to") as raised:
            await connect(server.url, token="t").predict(["a"])

    assert raised.value.facts["error"] == error


@pytest.mark.parametrize("is_same", [True, False])
async def test_an_interrupted_table_is_resumed_only_if_its_etag_is_unchanged(
    connect: Connect, is_same: bool
) -> None:
    async def script(_asked: Asked, writer: StreamWriter) -> None:
        is_first = len(server.asked) == 1
        etag = "1" if is_first or is_same else "2"
        head = f'HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nETag: "{etag}"\r\nContent-Length: 6\r\n\r\n'
        writer.write(head.encode() + (b"abc" if is_first else b"abcdef"))

    read = b""
    async with scripted(script) as server:
        export = connect(server.url, token="t", retry_config=HURRIED).export(JOB_ID, "csv")
        try:
            async for piece in export:
                read += piece
        except UnexpectedResponse as error:
            read += str(error).encode()

    changed = b"The results changed during the download: download them again."
    assert read == (b"abcdef" if is_same else b"abc" + changed)
