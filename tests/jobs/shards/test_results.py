"""The results of a job with shards over HTTP: in input order, whatever order they are computed in."""

import csv
import io
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from tests.jobs.test_http import assert_problem
from tests.maintenance.test_prune import age, prune
from tests.support import jobs, rows, sharding
from tests.support.accounts import Account
from tests.support.serving import client_of, serving

pytestmark = pytest.mark.usefixtures("without_roll_up")

FORMATS = ("ndjson", "csv", "parquet")


async def page(client: httpx.AsyncClient, who: Account, job_id: UUID, **params: Any) -> Any:
    answer = await client.get(f"/jobs/{job_id}/results", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pages(client: httpx.AsyncClient, who: Account, job_id: UUID, **params: Any) -> list[Any]:
    """All items, page by page, until there is no cursor or a page has nothing new."""
    found: list[Any] = []
    query = dict(params)
    while True:
        read = await page(client, who, job_id, **query)
        found += read["items"]
        if read["next_cursor"] is None or not read["items"]:
            return found
        query = {**params, "cursor": read["next_cursor"]}


def indexes(items: list[Any]) -> list[int]:
    return [item["index"] for item in items]


async def exported(
    client: httpx.AsyncClient, who: Account, job_id: UUID, format_: str
) -> tuple[list[int], str | None]:
    """The indexes of all rows of an export, and its ETag."""
    answer = await client.get(f"/jobs/{job_id}/results", params={"format": format_}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    etag = answer.headers.get("etag")
    if format_ == "ndjson":
        return [msgspec.json.decode(line)["index"] for line in answer.content.splitlines()], etag
    if format_ == "csv":
        return [int(row["index"]) for row in csv.DictReader(io.StringIO(answer.text))], etag
    return pq.read_table(io.BytesIO(answer.content)).column("index").to_pylist(), etag


async def test_while_it_runs_rows_come_up_to_the_first_one_that_is_missing(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, third = await sharding.claim(store, job_id)
    await jobs.complete(store, third)
    await jobs.commit(store, second)

    empty = await page(client, alice, job_id)
    assert (empty["items"], empty["rows_ready"], empty["next_cursor"]) == ([], 0, "0.0.0")

    await jobs.commit(store, first)
    ten = await page(client, alice, job_id)
    assert (indexes(ten["items"]), ten["rows_ready"]) == (list(range(10)), 10)

    await jobs.commit(store, first, first=1)
    more = await page(client, alice, job_id, cursor=ten["next_cursor"])
    assert (indexes(more["items"]), more["rows_ready"]) == (list(range(10, 30)), 30)
    for format_ in FORMATS:
        assert (await exported(client, alice, job_id, format_))[0] == list(range(30))

    await jobs.commit(store, second, first=1)
    last = await page(client, alice, job_id, cursor=more["next_cursor"])
    assert (indexes(last["items"]), last["rows_ready"]) == (list(range(30, 45)), 45)
    assert last["next_cursor"] == "2.0.5"


async def test_after_it_ended_every_row_there_is_comes_with_its_index(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, third = await sharding.claim(store, job_id)
    await jobs.commit(store, first)
    await jobs.complete(store, third)
    await jobs.fail(store, first, is_retryable=False)
    await jobs.fail(store, second, is_retryable=False)
    before = await exported(client, alice, job_id, "csv")
    await sharding.end(store, job_id)
    there = [*range(10), *range(40, 45)]

    whole = await page(client, alice, job_id)
    assert (indexes(whole["items"]), whole["next_cursor"], whole["rows_ready"]) == (there, None, 10)
    assert [item["prediction"]["score"] for item in whole["items"][-5:]] == [
        row / 1000 for row in range(40, 45)
    ]
    assert indexes(await pages(client, alice, job_id, limit=4)) == there
    for format_ in FORMATS:
        assert (await exported(client, alice, job_id, format_))[0] == there
    after = await exported(client, alice, job_id, "csv")
    assert before[1] != after[1]  # more bytes, so another ETag, though no shard has stored anything since


async def test_a_page_may_begin_at_any_row(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, _ = await sharding.claim(store, job_id)
    await jobs.complete(store, first)
    await jobs.commit(store, second)

    found = await page(client, alice, job_id, first_row=18, limit=4)
    assert (indexes(found["items"]), found["next_cursor"]) == ([18, 19, 20, 21], "1.0.2")
    not_yet = await page(client, alice, job_id, first_row=33)
    assert (not_yet["items"], not_yet["next_cursor"]) == ([], "r33")

    await jobs.commit(store, second, first=1)
    assert indexes((await page(client, alice, job_id, cursor="r33"))["items"]) == list(range(33, 40))


async def test_filters_and_the_summary_are_over_all_shards(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    claimed = await sharding.claim(store, job_id)
    for shard in claimed:
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)

    found = await pages(client, alice, job_id, below="0.042", limit=4)
    assert indexes(found) == list(range(42))
    read = await page(client, alice, job_id, below="0.042")
    assert (read["scanned_through"], read["next_cursor"]) == (45, None)

    summary = await client.get(f"/jobs/{job_id}/results/summary", headers=alice.headers)
    assert summary.json() == {"rows": 45, "errors": 0, "labels": {"positive": 45}, "others": 0}


async def test_the_summary_waits_for_the_job_and_not_for_its_shards(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, job_id):
        await jobs.complete(store, shard)

    answer = await client.get(f"/jobs/{job_id}/results/summary", headers=alice.headers)

    assert_problem(answer, 409, "job_not_ended")


async def test_a_search_of_a_running_job_goes_on_where_its_rows_ended(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, _ = await sharding.claim(store, job_id)
    await jobs.complete(store, second)

    none = await page(client, alice, job_id, below="0.023")
    assert (none["items"], none["scanned_through"], none["next_cursor"]) == ([], 0, "0.0.0")
    await jobs.complete(store, first)
    found = await page(client, alice, job_id, below="0.023", cursor=none["next_cursor"])

    assert indexes(found["items"]) == list(range(23))
    assert (found["scanned_through"], found["next_cursor"]) == (40, "1.1.10")


async def test_results_of_a_shard_have_the_numbers_of_their_input_rows(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    _, second, _ = await sharding.claim(store, job_id)
    await jobs.commit(store, second)

    found = await page(client, alice, second.id)
    assert (indexes(found["items"]), found["rows_ready"]) == (list(range(20, 30)), 10)
    assert found["next_cursor"] == "0.10"
    assert indexes((await page(client, alice, second.id, first_row=25))["items"]) == list(range(25, 30))


async def test_a_cursor_names_a_shard_and_may_be_beyond_the_rows(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, job_id):
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)

    assert (await page(client, alice, job_id, cursor="999.0.0"))["items"] == []
    for cursor in ("0.0", "1.2.3.4"):
        path = f"/jobs/{job_id}/results"
        assert_problem(
            await client.get(path, params={"cursor": cursor}, headers=alice.headers), 400, "invalid_cursor"
        )


async def test_a_job_with_shards_never_carries_its_predictions(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, job_id):
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)

    job = (await client.get(f"/jobs/{job_id}", headers=alice.headers)).json()

    assert (job["status"], job["shards"], job["parent_id"]) == ("completed", 3, None)
    assert "predictions" not in job["result"]
    assert job["result"]["total"] == 45


async def test_results_that_are_deleted_during_a_download_break_it_off(
    client: httpx.AsyncClient, alice: Account, store: Database, resources: Resources
) -> None:
    """A client must not take the rows before for all rows."""
    job_id = await sharding.create(store, alice.id)
    shards = await sharding.claim(store, job_id)
    for shard in shards:
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)
    await rows.execute(store, "DELETE FROM job_batches WHERE job_id = $1", shards[1].id)

    answer = await client.get(f"/jobs/{job_id}/results", headers=alice.headers)

    assert_problem(answer, 410, "results_expired")


MANY = 40
"""Shards whose results are together more than the buffers between a server and its client hold."""

# A megabyte for each shard.
_ENLARGE = """
UPDATE job_batches SET output = convert_to(
    repeat('{"prediction":"' || repeat('x', 50000) || E'"}\\n', row_count), 'UTF8')"""


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_download_during_which_the_results_are_pruned_is_whole_or_breaks_off(
    app: FastAPI, alice: Account, store: Database, settings: Settings, format_: str
) -> None:
    """A client must be able to tell: what it has got must not look like a complete file."""
    total = MANY * sharding.SHARD_ROWS
    job_id = await sharding.create(store, alice.id, total=total)
    for shard in await sharding.claim(store, job_id):
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)
    await rows.execute(store, _ENLARGE)
    content = b""

    async with serving(app) as url, client_of(url) as client:
        path = f"/jobs/{job_id}/results"
        async with client.stream("GET", path, params={"format": format_}, headers=alice.headers) as answer:
            assert answer.status_code == 200
            chunks = answer.aiter_raw()
            content += await anext(chunks)
            await age(store, job_id, finished="1 hour", expired="1 second")
            await prune(store, settings)
            try:
                async for chunk in chunks:
                    content += chunk
            except httpx.RemoteProtocolError:
                is_whole = False
            else:
                is_whole = True
        later = await client.get(path, params={"format": format_}, headers=alice.headers)

    assert_problem(later, 410, "results_expired")
    assert is_whole is (format_ == "parquet"), "only Parquet is written before it is sent"
    if is_whole:
        assert pq.read_table(io.BytesIO(content)).column("index").to_pylist() == list(range(total))
    else:
        assert 0 < content.count(b"\n") < total


async def test_results_that_are_pruned_between_two_pages_are_an_error(
    client: httpx.AsyncClient, alice: Account, store: Database, settings: Settings
) -> None:
    job_id = await sharding.create(store, alice.id)
    for shard in await sharding.claim(store, job_id):
        await jobs.complete(store, shard)
    await sharding.end(store, job_id)
    first = await page(client, alice, job_id, limit=20)
    await age(store, job_id, finished="1 hour", expired="1 second")
    await prune(store, settings)

    second = await client.get(
        f"/jobs/{job_id}/results", params={"cursor": first["next_cursor"]}, headers=alice.headers
    )

    assert indexes(first["items"]) == list(range(20))
    assert_problem(second, 410, "results_expired")
