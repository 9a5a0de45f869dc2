"""Results together with the rows that they are for, in every format."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.database import Database
from app.jobs.transition_types import Batch
from tests.support import jobs
from tests.support.accounts import Account

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
FILE = (
    b"id,review,price,stars,seen\n"
    b"a,Fine,3.10,5,2024-01-01 10:00\n"
    b"b,=1+1,0.560,4,\n"
    b"c,Ok,2,3,2024-01-02 11:30\n"
)
AS_WRITTEN = [
    {"id": "a", "review": "Fine", "price": "3.10", "stars": 5, "seen": "2024-01-01 10:00"},
    {"id": "b", "review": "=1+1", "price": "0.560", "stars": 4, "seen": None},
    {"id": "c", "review": "Ok", "price": "2", "stars": 3, "seen": "2024-01-02 11:30"},
]


@dataclass(frozen=True)
class Results:
    """The results of one job, asked for with their input."""

    client: httpx.AsyncClient
    who: Account
    job_id: UUID

    async def answer(self, accept: str = "application/json", **params: Any) -> httpx.Response:
        return await self.client.get(
            f"/jobs/{self.job_id}/results",
            params={"include": "input", **params},
            headers={**self.who.headers, "Accept": accept},
        )

    async def items(self, **params: Any) -> list[dict[str, Any]]:
        answer = await self.answer(**params)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def csv(self) -> list[list[str]]:
        answer = await self.answer(CSV)
        assert answer.status_code == 200, answer.text
        return list(csv.reader(io.StringIO(answer.text, newline="")))

    async def parquet(self) -> pa.Table:
        answer = await self.answer(PARQUET)
        assert answer.status_code == 200, answer.text
        return pq.read_table(io.BytesIO(answer.content))


async def upload(
    client: httpx.AsyncClient, who: Account, content: bytes = FILE, media_type: str = CSV
) -> str:
    answer = await client.post(
        "/datasets",
        params={"name": "reviews"},
        content=content,
        headers={"Content-Type": media_type, **who.headers},
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def finished(
    client: httpx.AsyncClient, store: Database, who: Account, body: dict[str, Any], *batch_rows: int
) -> Results:
    """A job whose worker has predicted each row's number, in batches of so many rows."""
    answer = await client.post("/jobs/batch-predict", json=body, headers=who.headers)
    assert answer.status_code == 202, answer.text
    claimed = await jobs.claim(store)
    batches = []
    first = 0
    for rows in batch_rows:
        output = b"".join(b'{"prediction":{"n":%d}}\n' % row for row in range(first, first + rows))
        batches.append(Batch(first, rows, output, ""))
        first += rows
    report = jobs.report(claimed, count=0, is_final=True)
    await jobs.advance(store, replace(report, batches=tuple(batches)))
    return Results(client, who, claimed.id)


async def test_the_rows_of_a_dataset_come_as_written(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    body = {"dataset_id": await upload(client, alice), "column": "review"}
    results = await finished(client, store, alice, body, 2, 1)

    ndjson = await results.answer("application/x-ndjson")
    header, *cells = await results.csv()
    table = await results.parquet()

    items = await results.items()
    assert [item["input"] for item in items] == AS_WRITTEN
    assert [item["prediction"]["n"] for item in items] == [0, 1, 2]
    assert [msgspec.json.decode(line) for line in ndjson.content.splitlines()] == items
    names = [f"input.{name}" for name in ("id", "review", "price", "stars", "seen")]
    assert header == ["index", "input_index", *names, "n"]
    assert cells == [
        ["0", "0", "a", "Fine", "3.10", "5", "2024-01-01 10:00", "0"],
        ["1", "1", "b", "'=1+1", "0.560", "4", "", "1"],
        ["2", "2", "c", "Ok", "2", "3", "2024-01-02 11:30", "2"],
    ]
    assert table.column_names == header
    assert table.column("input.price").to_pylist() == ["3.10", "0.560", "2"]
    assert str(table.schema.field("input.stars").type) == "int64"


async def test_a_page_that_starts_within_a_batch_has_the_input_of_its_own_rows(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    body = {"dataset_id": await upload(client, alice), "column": "review"}
    results = await finished(client, store, alice, body, 3)
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while len(found) < len(AS_WRITTEN):
        page = (await results.answer(limit=1, **cursor)).json()
        found += page["items"]
        cursor = {"cursor": page["next_cursor"]}

    assert [item["input"]["id"] for item in found] == ["a", "b", "c"]
    assert [item["index"] for item in found] == [0, 1, 2]


async def test_a_batch_may_span_row_groups(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    rows = 20_500  # three row groups
    content = b"".join(b'{"text":"t","tags":["n%d"]}\n' % row for row in range(rows))
    body = {"dataset_id": await upload(client, alice, content, "application/x-ndjson")}
    results = await finished(client, store, alice, body, 10_050, 10_450)

    table = await results.parquet()

    assert table.column("input.tags").to_pylist() == [f'["n{row}"]' for row in range(rows)]
    assert table.column("n").to_pylist() == list(range(rows))


@pytest.mark.parametrize(
    ("body", "header", "cells"),
    [
        ({"texts": ["good", "bad"]}, ["input"], [["good"], ["bad"]]),
        (
            {"instances": [{"text": "good", "lang": "en"}, {"text": "bad", "tags": [1]}]},
            ["input.text", "input.lang", "input.tags"],
            [["good", "en", ""], ["bad", "", "[1]"]],
        ),
    ],
)
async def test_rows_of_the_request_come_as_they_were_sent(
    client: httpx.AsyncClient,
    store: Database,
    alice: Account,
    body: dict[str, Any],
    header: list[str],
    cells: Sequence[list[str]],
) -> None:
    results = await finished(client, store, alice, body, 1, 1)

    table = await results.csv()

    [sent] = body.values()
    assert [item["input"] for item in await results.items()] == sent
    assert table == [
        ["index", "input_index", *header, "n"],
        *([str(row), str(row), *own, str(row)] for row, own in enumerate(cells)),
    ]


async def test_a_table_with_the_input_has_another_etag(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    results = await finished(client, store, alice, {"texts": ["good"]}, 1)

    with_input = await results.answer(CSV)
    alone = await client.get(f"/jobs/{results.job_id}/results", headers={**alice.headers, "Accept": CSV})

    assert with_input.headers["etag"] != alone.headers["etag"]


async def test_results_that_belong_to_no_row_have_no_input(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    job_id = await jobs.create(store, alice.id, kind="train_model")

    answer = await Results(client, alice, job_id).answer()

    assert (answer.status_code, answer.json()["code"]) == (422, "no_input_rows")
    assert answer.json()["kind"] == "train_model"


async def test_results_outlive_the_dataset_without_their_input(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    dataset_id = await upload(client, alice)
    results = await finished(client, store, alice, {"dataset_id": dataset_id, "column": "review"}, 3)
    deleted = await client.delete(f"/datasets/{dataset_id}", headers=alice.headers)

    answer = await results.answer()
    alone = await client.get(f"/jobs/{results.job_id}/results", headers=alice.headers)

    assert deleted.status_code == 204
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_deleted")
    assert len(alone.json()["items"]) == 3
