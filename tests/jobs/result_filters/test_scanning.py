"""Filters of results over HTTP, and how far one request searches."""

import csv
import dataclasses
import io
import json
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pyarrow.parquet as pq
import pytest

from app.core.database import Database
from app.jobs import queries, views
from app.jobs.result_filters import scanning
from app.jobs.result_filters.row_filter import RowFilter
from app.jobs.results import ResultBatch
from app.jobs.snapshots import BEGINNING, Position, Snapshot
from app.jobs.transition_types import Batch, ClaimedJob
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account

# By row: three labels in turn, scores that rise, and errors.
LABELS = ("negative", "neutral", "positive")


def line(row: int) -> dict[str, Any]:
    if row % 10 == 7:
        return {"error": {"code": "prediction_failed", "message": "It is empty."}}
    return {"prediction": {"label": LABELS[row % 3], "score": row / 100, "scores": {"label": "negative"}}}


async def completed(store: Database, owner: Account, *, total: int = 45) -> ClaimedJob:
    """A job whose rows are those of `line`, in batches of ten."""
    job = await jobs.running(store, owner.id, rows=total)
    await store_lines(store, job, [line(row) for row in range(total)])
    return job


async def store_lines(store: Database, job: ClaimedJob, lines: list[dict[str, Any]]) -> None:
    batches = tuple(
        Batch(
            first,
            len(lines[first : first + 10]),
            b"".join(msgspec.json.encode(one) + b"\n" for one in lines[first : first + 10]),
            "Batch",
        )
        for first in range(0, len(lines), 10)
    )
    report = jobs.report(job, is_final=True)
    await jobs.advance(store, dataclasses.replace(report, batches=batches))


async def search(client: httpx.AsyncClient, who: Account, job_id: UUID, **query: Any) -> Any:
    answer = await client.get(f"/jobs/{job_id}/results", params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def expected(**wanted: Any) -> list[int]:
    """The rows that match, told from what was stored."""
    found = []
    for row in range(45):
        stored = line(row)
        prediction = stored.get("prediction", {})
        is_other_label = "label" in wanted and prediction.get("label") != wanted["label"]
        is_high = "below" in wanted and prediction.get("score", 1e9) >= wanted["below"]
        if is_other_label or is_high or ("error" in stored) is not wanted.get("errors", "error" in stored):
            continue
        found.append(row)
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        {"label": "negative"},
        {"label": "nobody"},
        {"below": 0.2},
        {"errors": True},
        {"errors": False},
        {"label": "positive", "below": 0.3},
        {"label": "positive", "errors": True},
    ],
)
async def test_only_rows_that_match_every_filter_are_returned(
    client: httpx.AsyncClient, alice: Account, store: Database, wanted: dict[str, Any]
) -> None:
    job = await completed(store, alice)

    page = await search(client, alice, job.id, **wanted)

    assert [item["index"] for item in page["items"]] == expected(**wanted)
    assert all(item.items() >= line(item["index"]).items() for item in page["items"])
    assert (page["scanned_through"], page["next_cursor"]) == (45, None)


async def test_pages_of_rows_that_match_return_each_once(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await completed(store, alice)
    found: list[int] = []
    through: list[int] = []
    query: dict[str, Any] = {"errors": "false", "limit": 7}

    while True:
        page = await search(client, alice, job.id, **query)
        found += [item["index"] for item in page["items"]]
        through.append(page["scanned_through"])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert found == expected(errors=False)
    assert through == sorted(through)
    assert through[-1] == 45
    later = await search(client, alice, job.id, errors="true", first_row=28)
    assert [item["index"] for item in later["items"]] == [37]


async def test_a_request_searches_a_bounded_number_of_rows(store: Database, alice: Account) -> None:
    claimed = await completed(store, alice)
    async with store.connection() as connection:
        job = await queries.job(connection, claimed.id)
    assert job is not None
    read: list[int] = []

    async def pieces() -> Any:
        for first in range(0, 45, 10):
            read.append(first)
            lines = [msgspec.json.encode(line(row)) for row in range(first, min(first + 10, 45))]
            yield ResultBatch(first // 10, first, b"\n".join(lines))

    found = await scanning.search(
        Snapshot.of_job(job),
        pieces(),
        RowFilter(errors=True),
        BEGINNING,
        write=views.result_rows,
        limit=100,
        is_whole=True,
        max_rows=25,
    )

    assert [json.loads(item)["index"] for item in found.items] == [7, 17]
    assert (found.scanned_through, found.next_position) == (25, Position(0, 2, 5))
    assert read == [0, 10, 20]  # no further piece was read


def test_one_request_searches_at_most_a_hundred_thousand_rows() -> None:
    assert scanning.MAX_ROWS == 100_000


async def test_a_running_job_is_searched_as_far_as_it_has_come_and_then_further(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job)

    first = await search(client, alice, job.id, label="positive", below=0.005)
    again = await search(client, alice, job.id, label="positive", below=0.012, cursor=first["next_cursor"])
    await jobs.commit(store, job, first=1)
    more = await search(client, alice, job.id, label="positive", below=0.012, cursor=again["next_cursor"])

    assert [item["index"] for item in first["items"]] == [0, 1, 2, 3, 4]
    assert (again["items"], again["scanned_through"]) == ([], 10)
    assert [item["index"] for item in more["items"]] == [10, 11]
    nothing = await search(client, alice, job.id, label="positive", first_row=22)
    assert (nothing["items"], nothing["scanned_through"]) == ([], 20)


async def test_rows_that_match_come_with_their_input(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await completed(store, alice)
    texts = [f"text {row}" for row in range(45)]
    payload = msgspec.json.encode(texts)
    await rows.execute(
        store,
        "INSERT INTO job_payloads VALUES ($1, $2) ON CONFLICT (job_id) DO UPDATE SET rows = $2",
        job.id,
        payload,
    )

    page = await search(client, alice, job.id, errors="true", include="input")

    assert [(item["index"], item["input"]) for item in page["items"]] == [
        (row, f"text {row}") for row in expected(errors=True)
    ]


async def test_predictions_of_other_shapes_are_searched_by_what_they_have(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    lines: list[dict[str, Any]] = [
        {"prediction": {"value": 3.5}},
        {"prediction": {"value": -1}},
        {"prediction": 0},
        {"prediction": ["negative"]},
        {"prediction": "negative"},
        {"prediction": {"label": True, "score": True}},
        {"prediction": {"label": 4, "score": "low"}},
        {"prediction": None},
    ]
    job = await jobs.running(store, alice.id, rows=len(lines))
    await store_lines(store, job, lines)

    async def found(**query: Any) -> list[int]:
        return [item["index"] for item in (await search(client, alice, job.id, **query))["items"]]

    assert await found(below=3) == [1]
    assert await found(label="negative") == []
    assert await found(label="true") == [5]
    assert await found(label="4") == [6]
    assert await found(errors="false") == list(range(len(lines)))


@pytest.mark.parametrize("with_input", [False, True])
async def test_a_download_has_the_rows_that_match_with_their_numbers_and_the_columns_of_all(
    client: httpx.AsyncClient, alice: Account, store: Database, with_input: bool
) -> None:
    job = await completed(store, alice)
    included = {"include": "input"} if with_input else {}

    async def download(**query: Any) -> httpx.Response:
        params = {**query, **included}
        answer = await client.get(f"/jobs/{job.id}/results", params=params, headers=alice.headers)
        assert answer.status_code == 200, answer.text
        return answer

    for wanted in ({"label": "negative"}, {"below": 0.25}, {"errors": "true"}, {"label": "none"}):
        lines = (await download(**wanted, format="ndjson")).text.splitlines()
        table = list(csv.DictReader(io.StringIO((await download(**wanted, format="csv")).text)))
        parquet = pq.read_table(io.BytesIO((await download(**wanted, format="parquet")).content))
        whole = pq.read_table(io.BytesIO((await download(format="parquet")).content))
        pages = (await search(client, alice, job.id, **wanted, **included, limit=100))["items"]

        assert [msgspec.json.decode(line) for line in lines] == pages
        assert [int(row["index"]) for row in table] == [row["index"] for row in pages]
        assert parquet.column("index").to_pylist() == [row["index"] for row in pages]
        assert parquet.column_names == whole.column_names
        if with_input and pages:
            column = "input" if "input" in table[0] else "input.text"
            assert [row[column] for row in table] == [str(inputs_of(row)) for row in pages]


def inputs_of(row: dict[str, Any]) -> Any:
    given = row["input"]
    return given["text"] if isinstance(given, dict) else given


async def test_a_filtered_table_has_a_name_and_an_etag_of_its_own(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await completed(store, alice)

    async def headers(**query: Any) -> tuple[str, str]:
        params = {**query, "format": "csv"}
        answer = await client.get(f"/jobs/{job.id}/results", params=params, headers=alice.headers)
        return answer.headers["etag"], answer.headers["content-disposition"]

    found = [await headers(), await headers(label="negative"), await headers(label="neutral")]

    assert len({etag for etag, _ in found}) == 3
    assert await headers(label="negative") == found[1]
    assert [name for _, name in found] == [
        f'attachment; filename="{job.id}.csv"',
        *[f'attachment; filename="{job.id}-filtered.csv"'] * 2,
    ]


async def test_filters_are_checked_and_of_the_owner_alone(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job = await completed(store, alice)
    path = f"/jobs/{job.id}/results"

    async def asked(who: Account, **query: Any) -> httpx.Response:
        return await client.get(path, params=query, headers=who.headers)

    assert_problem(await asked(alice, below="NaN"), 422, "validation_error")
    assert_problem(await asked(alice, errors="maybe"), 422, "validation_error")
    assert_problem(await asked(alice, label="x" * 1001), 422, "validation_error")
    assert_problem(await asked(mallory, errors="true"), 403, "not_your_job")
    assert_problem(await asked(mallory, errors="true", format="csv"), 403, "not_your_job")
    assert "scanned_through" not in await search(client, alice, job.id)
