"""Results as lines of JSON, CSV and Parquet: all rows, in input order, wherever they are kept."""

import csv
import io
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from app.core import csv_cells
from app.core.database import Database
from app.http.accept import choose
from app.jobs.exports import layout, parquet
from app.jobs.results import ResultBatch
from app.jobs.transition_types import Batch, ClaimedJob
from tests.support import jobs
from tests.support.accounts import Account
from tests.support.app_state import state_of

JSON, NDJSON, CSV, PARQUET = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.parquet",
)
SCORED = {"label": "a", "score": 0.75, "scores": {"a": 0.75, "=b": 0.25}}


def predictions(*values: Any) -> list[dict[str, Any]]:
    return [{"prediction": value} for value in values]


def error(code: str = "bad_row") -> dict[str, Any]:
    return {"error": {"code": code, "message": "-1 is no text"}}


def encoded(rows: Sequence[Any]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


async def commit(
    app: FastAPI, job: ClaimedJob, *batches: Sequence[Any], parts: Sequence[int] = (), is_final: bool = True
) -> None:
    """Store batches with these rows, those in `parts` as part files."""
    resources = state_of(app).resources
    made = []
    first_row = 0
    for index, rows in enumerate(batches):
        errors = sum("error" in row for row in rows)
        batch = Batch(first_row, len(rows), encoded(rows), "", errors=errors)
        if index in parts:
            key = f"jobs/{job.id}/1/part-{index}"
            await resources.storage.put(key, encoded(rows))
            batch = replace(batch, output=None, part_key=key)
        made.append(batch)
        first_row += len(rows)
    report = replace(jobs.report(job, count=0, is_final=is_final), batches=tuple(made))
    await jobs.advance(resources.database, report)


class Fetch:
    """Gets results in a format."""

    def __init__(self, client: httpx.AsyncClient, who: Account, job: ClaimedJob) -> None:
        self._client = client
        self._who = who
        self._job = job

    async def answer(self, accept: str) -> httpx.Response:
        headers = {**self._who.headers, "Accept": accept}
        return await self._client.get(f"/jobs/{self._job.id}/results", headers=headers)

    async def csv(self) -> tuple[list[str], list[list[str]]]:
        answer = await self.answer(CSV)
        assert answer.headers["content-type"].startswith(CSV)
        header, *rows = csv.reader(io.StringIO(answer.text))
        return header, rows

    async def parquet(self) -> pa.Table:
        answer = await self.answer(PARQUET)
        assert answer.headers["content-type"] == PARQUET
        assert answer.headers["content-length"] == str(len(answer.content))
        return pq.read_table(io.BytesIO(answer.content))

    async def ndjson(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in (await self.answer(NDJSON)).content.splitlines()]


async def test_every_format_has_all_rows_with_their_ids_and_errors_also_from_part_files(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=5)
    rows = [
        {"id": "x", **error()},
        {"id": 7, "prediction": SCORED},
        {"id": None, "prediction": SCORED | {"label": "=b", "score": 1}},
        {"id": "=1", **error("odd")},
        {"id": "z", "prediction": SCORED},
    ]
    await commit(app, job, rows[:1], rows[1:3], rows[3:], parts=[1])
    fetch = Fetch(client, alice, job)

    assert await fetch.ndjson() == [
        {"index": index, "input_index": index, **row} for index, row in enumerate(rows)
    ]
    columns = ["index", "input_index", "id", "label", "score", "scores.a", "scores.=b"]
    assert await fetch.csv() == (
        [*columns, "error.code", "error.message"],
        [
            ["0", "0", "x", "", "", "", "", "bad_row", "'-1 is no text"],
            ["1", "1", "7", "a", "0.75", "0.75", "0.25", "", ""],
            ["2", "2", "", "'=b", "1", "0.75", "0.25", "", ""],
            ["3", "3", "'=1", "", "", "", "", "odd", "'-1 is no text"],
            ["4", "4", "z", "a", "0.75", "0.75", "0.25", "", ""],
        ],
    )
    table = await fetch.parquet()
    assert table.column_names == [*columns, "error.code", "error.message"]
    assert table.column("id").to_pylist() == ["x", "7", None, "=1", "z"]
    assert table.column("label").to_pylist() == [None, "a", "=b", None, "a"]
    assert table.column("score").to_pylist() == [None, 0.75, 1.0, None, 0.75]
    assert [str(kind) for kind in table.schema.types[:5]] == ["int64", "int64", "string", "string", "double"]
    assert table.column("error.code").to_pylist() == ["bad_row", None, None, "odd", None]


async def test_columns_for_ids_and_errors_are_there_only_where_there_are_some(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=2)
    await commit(app, job, predictions({"value": 1.5}, {"value": 2.5}))
    fetch = Fetch(client, alice, job)

    assert await fetch.csv() == (["index", "input_index", "value"], [["0", "0", "1.5"], ["1", "1", "2.5"]])
    assert (await fetch.parquet()).column_names == ["index", "input_index", "value"]


async def test_a_running_job_gives_what_there_is_and_says_by_its_etag_that_there_is_more_now(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=3)
    fetch = Fetch(client, alice, job)
    assert (await fetch.parquet()).num_rows == 0
    await commit(app, job, predictions({"value": 1}), is_final=False)

    before = await fetch.answer(PARQUET)
    same = await fetch.answer(PARQUET)
    report = replace(
        jobs.report(job, first=1, count=0, is_final=True),
        batches=(Batch(1, 2, encoded([*predictions({"value": 0.5}), error()]), "", errors=1),),
    )
    await jobs.advance(store, report)
    after = await fetch.answer(PARQUET)

    assert before.content == same.content
    assert before.headers["etag"] == same.headers["etag"] != after.headers["etag"]
    assert (await fetch.parquet()).column("value").to_pylist() == [1.0, 0.5, None]


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        ([1, 2], [1, 2], "int64"),
        ([1, 0.5], [1.0, 0.5], "double"),
        ([True, False], [True, False], "bool"),
        ([None, 3], [None, 3], "int64"),
        ([None, None], [None, None], "string"),
        ([1, "a"], ["1", "a"], "string"),
        ([[1, 2], "a"], ["[1,2]", "a"], "string"),
        ([2**63, 1], [str(2**63), "1"], "string"),
        ([2**62, 0.5], [float(2**62), 0.5], "double"),
    ],
)
async def test_a_column_of_parquet_has_the_type_that_holds_all_of_its_values(
    app: FastAPI,
    client: httpx.AsyncClient,
    alice: Account,
    store: Database,
    values: list[Any],
    expected: list[Any],
    kind: str,
) -> None:
    job = await jobs.running(store, alice.id, rows=2)
    await commit(app, job, predictions(*({"x": value} for value in values)))

    column = (await Fetch(client, alice, job).parquet()).column("x")

    assert (column.to_pylist(), str(column.type)) == (expected, kind)


async def test_objects_whose_members_are_data_and_lists_are_one_column_of_json(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=3)
    await commit(
        app,
        job,
        predictions(
            {"top": {"a": 1}, "at": [1, 2], "epoch": 1, "index": True},
            {"top": {"b": 1}, "at": [], "epoch": 2, "loss": 0.5},
            {"top": {}, "epoch": 3},
        ),
    )

    assert await Fetch(client, alice, job).csv() == (
        ["index", "input_index", "top", "at", "epoch", "prediction.index", "loss"],
        [
            ["0", "0", '{"a":1}', "[1,2]", "1", "true", ""],
            ["1", "1", '{"b":1}', "[]", "2", "", "0.5"],
            ["2", "2", "{}", "", "3", "", ""],
        ],
    )


async def test_predictions_that_are_no_objects_have_one_column(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=3)
    await commit(app, job, predictions("x", None, "+1"))
    fetch = Fetch(client, alice, job)

    assert await fetch.csv() == (
        ["index", "input_index", "prediction"],
        [["0", "0", "x"], ["1", "1", ""], ["2", "2", "+1"]],
    )
    assert (await fetch.parquet()).column("prediction").to_pylist() == ["x", None, "+1"]


async def test_rows_that_are_all_in_error_are_a_table_too(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=2)
    await commit(app, job, [error(), error()])
    fetch = Fetch(client, alice, job)

    header, table = await fetch.csv()
    assert header == ["index", "input_index", "error.code", "error.message"]
    assert len(table) == 2
    assert (await fetch.parquet()).column("error.code").to_pylist() == ["bad_row", "bad_row"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        ("application/json;q=0.1, text/csv;q=0.9", CSV),
        ("*/*;q=0.1, application/vnd.apache.parquet", PARQUET),
        ("text/csv;q=0, text/*", None),
        ("*/*, application/json;q=0", NDJSON),
        ("image/png", None),
        ("text/csv;q=much", None),
        (",", JSON),
    ],
)
def test_a_client_gets_what_it_would_rather_have(accept: str, expected: str | None) -> None:
    assert choose(accept, (JSON, NDJSON, CSV, PARQUET)) == expected


async def test_a_format_that_we_do_not_have_is_refused_with_those_that_we_have(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    answer = await Fetch(client, alice, job).answer("image/png")

    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert answer.json()["offered"] == [JSON, NDJSON, CSV, PARQUET]


# Many rows

ROWS = 120_000
BATCH_ROWS = 1000


async def many(*, last: Any = 0.5) -> AsyncGenerator[ResultBatch, None]:
    """So many batches that they should not be in memory together; the last value may be another."""
    for index in range(ROWS // BATCH_ROWS):
        values = [{"label": "a", "value": row / 7, "note": "x" * 200} for row in range(BATCH_ROWS)]
        if (index + 1) * BATCH_ROWS == ROWS:
            values[-1]["value"] = last
        yield ResultBatch(index, index * BATCH_ROWS, encoded(predictions(*values)))


async def test_a_large_table_is_written_group_by_group() -> None:
    columns = await layout.infer(many(), has_errors=False)
    tracemalloc.start()
    try:
        file = await parquet.spool(many, columns)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    with file:
        found = pq.ParquetFile(file)
        groups = [found.metadata.row_group(index).num_rows for index in range(found.num_row_groups)]
        assert sum(groups) == ROWS
        assert max(groups) <= parquet.GROUP_ROWS
        assert found.read(["index"]).column("index").to_pylist() == list(range(ROWS))
    assert peak < 40_000_000  # all of it would be four times as much


async def test_a_type_that_turns_out_to_be_too_narrow_late_is_made_wider() -> None:
    columns = await layout.infer(many(), has_errors=False)

    with await parquet.spool(lambda: many(last="n/a"), columns) as file:
        table = pq.read_table(file, columns=["index", "value"])

    assert table.num_rows == ROWS
    assert str(table.schema.field("value").type) == "string"
    assert table.column("value")[-1].as_py() == "n/a"
    assert table.column("value")[7].as_py() == "1.0"


# Cells that a spreadsheet would run


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        "+a",
        "-1+2",
        "@a",
        " =1",
        "\t=1",
        "\r=1",
        "\n=1",
        "\u00a0=1",
        "\u3000=1",
        "\u200b=1",
        "\ufeff=1",
        "\x00=1",
        "\x1f=1",
        "  \t +1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20a",
        " \uff1d1",
        "\ttext",
        "\rtext",
        "\ntext",
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_is_a_text(text: str) -> None:
    assert csv_cells.cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "a", "a=1", "1-1", "-1", "+1", "-1.5e-05", "'=1", "ä", " a", "\u200ba", "1+1=2"]
)
def test_any_other_cell_stays_as_it_is(text: str) -> None:
    assert csv_cells.cell(text) == text
