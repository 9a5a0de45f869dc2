"""Pages of results by row number, and formats by name."""

import csv
import io
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core.database import Database
from tests.jobs.test_http import assert_problem
from tests.support import jobs
from tests.support.accounts import Account


async def read(client: httpx.AsyncClient, who: Account, job_id: UUID, **params: Any) -> httpx.Response:
    return await client.get(f"/jobs/{job_id}/results", params=params, headers=who.headers)


@pytest.mark.parametrize("first_row", [0, 9, 10, 17, 24])
async def test_a_page_begins_with_any_row(
    client: httpx.AsyncClient, alice: Account, store: Database, first_row: int
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    page = (await read(client, alice, job.id, first_row=first_row, limit=3)).json()

    found = [row["index"] for row in page["items"]]
    assert found == list(range(first_row, min(first_row + 3, 25)))
    if page["next_cursor"] is not None:
        rest = (await read(client, alice, job.id, cursor=page["next_cursor"], limit=100)).json()
        assert [row["index"] for row in rest["items"]] == list(range(first_row + 3, 25))


@pytest.mark.parametrize("is_done", [False, True])
async def test_a_row_that_is_not_stored_gives_an_empty_page(
    client: httpx.AsyncClient, alice: Account, store: Database, is_done: bool
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job)
    if is_done:
        await jobs.cancel(store, job.id)
        await jobs.stop(store, job)

    page = (await read(client, alice, job.id, first_row=10)).json()

    assert page["items"] == []
    assert (page["next_cursor"] is None) is is_done
    if not is_done:
        await jobs.commit(store, job, first=1)
        rest = (await read(client, alice, job.id, cursor=page["next_cursor"])).json()
        assert [row["index"] for row in rest["items"]] == list(range(10, 20))


async def test_a_row_that_is_stored_later_is_where_the_page_goes_on(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=45)
    await jobs.commit(store, job)

    page = (await read(client, alice, job.id, first_row=23)).json()
    assert page["items"] == []
    again = (await read(client, alice, job.id, cursor=page["next_cursor"])).json()
    assert again["next_cursor"] == page["next_cursor"]
    await jobs.commit(store, job, first=1, count=3)
    rest = (await read(client, alice, job.id, cursor=page["next_cursor"])).json()

    assert [row["index"] for row in rest["items"]] == list(range(23, 40))


async def test_a_format_takes_the_place_of_accept(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=12)
    await jobs.complete(store, job)

    answer = await read(client, alice, job.id, format="csv")

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="{job.id}.csv"'
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 13
    types = {
        name: (await read(client, alice, job.id, format=name)).headers["content-type"].partition(";")[0]
        for name in ("json", "ndjson", "parquet")
    }
    assert types == {
        "json": "application/json",
        "ndjson": "application/x-ndjson",
        "parquet": "application/vnd.apache.parquet",
    }
    assert_problem(await read(client, alice, job.id, format="xlsx"), 422, "validation_error")


async def test_a_page_has_one_position(client: httpx.AsyncClient, alice: Account, store: Database) -> None:
    job = await jobs.running(store, alice.id)

    answer = await read(client, alice, job.id, first_row=1, cursor="0.1")

    assert assert_problem(answer, 422, "validation_error")["detail"] == (
        "Give `cursor` or `first_row`, not both."
    )


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("name", ["ndjson", "csv"])
async def test_a_compressed_download_has_the_same_rows(
    client: httpx.AsyncClient, alice: Account, store: Database, name: str, coding: str
) -> None:
    job = await jobs.running(store, alice.id, rows=2500)
    await jobs.complete(store, job)
    url = f"/jobs/{job.id}/results"

    plain, compressed = [
        await client.get(url, params={"format": name}, headers={**alice.headers, "Accept-Encoding": accepted})
        for accepted in ("identity", coding)
    ]

    assert plain.content == compressed.content
    assert compressed.headers["content-encoding"] == coding
    assert "content-encoding" not in plain.headers
    assert compressed.num_bytes_downloaded < len(plain.content) / 2
