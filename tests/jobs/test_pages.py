"""Whatever a job holds, what is sent of it at once is bounded; the rest is on the next page."""

from typing import Any

import httpx
import msgspec
import pytest

from app.core import paging
from app.core.database import Database
from app.jobs import queries, results, snapshots
from app.jobs.transition_types import Batch, Report
from tests.support import jobs, rows
from tests.support.accounts import Account

ROWS = 30
TEXT = "x" * 400_000


async def large_job(store: Database, owner_id: Any, *, is_final: bool = True) -> Any:
    """A job whose only batch has 12 MB."""
    job = await jobs.running(store, owner_id, rows=ROWS)
    lines = [msgspec.json.encode({"prediction": {"n": n, "text": TEXT}}) + b"\n" for n in range(ROWS)]
    report = Report(
        job.id,
        job.attempt,
        0,
        (Batch(0, ROWS, b"".join(lines), "Batch 1"),),
        result=b"{}" if is_final else None,
    )
    await jobs.advance(store, report)
    return job


async def pages_of(client: httpx.AsyncClient, path: str, who: Account) -> list[Any]:
    pages: list[Any] = []
    cursor: str | None = None
    while cursor is not None or not pages:
        params = {"limit": "1000" if "results" in path else "100"} | ({"cursor": cursor} if cursor else {})
        answer = await client.get(path, params=params, headers=who.headers)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < paging.PAGE_BYTES + 500_000
        pages.append(answer.json()["items"])
        cursor = answer.json()["next_cursor"]
    return pages


async def test_a_page_of_results_ends_early_and_none_is_lost(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    job = await large_job(store, alice.id)

    pages = await pages_of(client, f"/jobs/{job.id}/results", alice)

    assert len(pages) > 2
    assert [row["index"] for page in pages for row in page] == list(range(ROWS))
    assert all(row["prediction"] == {"n": row["index"], "text": TEXT} for page in pages for row in page)


async def test_a_job_carries_its_predictions_only_if_they_are_small(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    large = await large_job(store, alice.id)
    small = await jobs.running(store, alice.id, rows=10)
    await jobs.complete(store, small)

    shown = [
        (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()["result"]
        for job in (large, small)
    ]

    assert "predictions" not in shown[0]
    assert shown[0]["results_url"] == f"/jobs/{large.id}/results"
    assert len(shown[1]["predictions"]) == 10


async def test_a_large_batch_is_read_in_pieces_of_whole_lines(store: Database, alice: Account) -> None:
    job = await large_job(store, alice.id)

    async with store.connection() as connection:
        found = await queries.job(connection, job.id)
        assert found is not None
        snapshot = await snapshots.take(connection, found)
    pieces = [piece async for piece in results.read(store, None, snapshot)]  # type: ignore[arg-type]  # no part files

    assert len(pieces) > 5
    assert all(len(piece.output) <= queries.MAX_BATCH_BYTES + len(TEXT) + 100 for piece in pieces)
    assert [piece.first_row for piece in pieces] == [piece.first_in_batch for piece in pieces]
    numbers = [msgspec.json.decode(line)["prediction"]["n"] for piece in pieces for line in piece.lines]
    assert numbers == list(range(ROWS))


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "text/csv", "application/vnd.apache.parquet"])
async def test_an_export_of_large_rows_is_whole(
    client: httpx.AsyncClient, store: Database, alice: Account, media_type: str
) -> None:
    job = await large_job(store, alice.id)

    answer = await client.get(f"/jobs/{job.id}/results", headers={**alice.headers, "Accept": media_type})

    assert answer.status_code == 200
    if media_type != "application/vnd.apache.parquet":
        assert answer.content.count(TEXT.encode()) == ROWS


async def test_lists_of_jobs_and_dead_letters_end_early_and_none_is_lost(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = []
    for _ in range(12):
        job = await jobs.running(store, alice.id, rows=1)
        await rows.execute(
            store,
            """UPDATE jobs SET status = 'failed', worker_id = NULL, finished_at = now(), error = $2
            WHERE id = $1""",
            job.id,
            {"code": "x", "message": TEXT * 2, "retryable": False, "attempt": 1},
        )
        created.append(str(job.id))

    for path in ("/jobs", "/dead-letters"):
        pages = await pages_of(client, path, alice)
        assert len(pages) > 2
        assert [job["job_id"] for page in pages for job in page] == created[::-1]


async def test_a_page_of_events_ends_early_and_a_stream_shows_them_all(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=200)
    for index in range(20):
        data = msgspec.json.encode({"note": TEXT})
        batch = Batch(index * 10, 10, jobs.output(index * 10, 10), "Batch", data)
        await jobs.advance(
            store,
            Report(job.id, job.attempt, index, (batch,), result=b"{}" if index == 19 else None),
        )
    seen: list[int] = []
    last_seq = 1
    while not seen or seen[-1] < last_seq:
        params = {"after": str(seen[-1] if seen else 0), "limit": "500"}
        answer = await client.get(f"/jobs/{job.id}/events", params=params, headers=alice.headers)
        assert len(answer.content) < paging.PAGE_BYTES + 10_000
        seen += [event["seq"] for event in answer.json()["items"]]
        last_seq = answer.json()["last_seq"]
    streamed = await client.get(f"/jobs/{job.id}/stream", headers=alice.headers)

    assert seen == list(range(1, 24))
    assert [line for line in streamed.text.splitlines() if line.startswith("id: ")] == [
        f"id: {seq}" for seq in seen
    ]
