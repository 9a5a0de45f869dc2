"""Summaries of results over HTTP, computed once for the results that a job has."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from app.core import ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.errors import JobNotEnded, ResultsExpired
from app.jobs.result_summaries import service
from app.jobs.result_summaries.service import MAX_LABEL_LENGTH, LabelCounts
from app.jobs.results import ResultBatch
from tests.jobs.result_filters.test_scanning import completed, line
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account


async def ask(client: httpx.AsyncClient, who: Account, job_id: UUID) -> httpx.Response:
    return await client.get(f"/jobs/{job_id}/results/summary", headers=who.headers)


async def test_a_summary_counts_the_rows_that_are_stored(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await completed(store, alice)
    lines = [line(row) for row in range(45)]

    summary = (await ask(client, alice, job.id)).json()

    labels = Counter(one["prediction"]["label"] for one in lines if "prediction" in one)
    stored = await rows.value(store, "SELECT sum(row_count) FROM job_batches WHERE job_id = $1", job.id)
    assert summary == {
        "rows": int(stored),
        "errors": sum("error" in one for one in lines),
        "labels": dict(labels),
        "others": 0,
    }
    assert summary["rows"] == summary["errors"] + sum(summary["labels"].values())


async def test_a_summary_is_computed_once_and_again_after_a_retry(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job)
    await jobs.fail(store, job, is_retryable=False)
    assert (await ask(client, alice, job.id)).json()["labels"] == {"positive": 10}
    await rows.execute(
        store,
        "UPDATE job_batches SET output ="
        " convert_to(replace(convert_from(output, 'UTF8'), 'positive', 'other'), 'UTF8')",
    )
    kept = (await ask(client, alice, job.id)).json()
    assert kept["labels"] == {"positive": 10}  # the results are not read again

    await jobs.retry(store, job.id)
    assert_problem(await ask(client, alice, job.id), 409, "job_not_ended")
    again = await jobs.claim(store)
    await jobs.complete(store, again)

    assert (await ask(client, alice, job.id)).json() == {
        "rows": 25,
        "errors": 0,
        "labels": {"positive": 15, "other": 10},
        "others": 0,
    }


async def test_a_summary_is_its_owners_alone_and_of_results_that_are_complete(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    assert_problem(await ask(client, alice, job.id), 409, "job_not_ended")
    await jobs.complete(store, job)
    assert_problem(await ask(client, mallory, job.id), 403, "not_your_job")
    assert_problem(await ask(client, alice, ids.new_id()), 404, "job_not_found")
    await ask(client, alice, job.id)
    await rows.execute(store, "UPDATE jobs SET pruned_at = now() WHERE id = $1", job.id)
    assert_problem(await ask(client, alice, job.id), 410, "results_expired")


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "not yet read"])
@pytest.mark.parametrize("is_pruned", [True, False], ids=["pruned", "retried"])
async def test_results_that_are_deleted_while_they_are_counted_leave_no_summary(
    resources: Resources,
    alice: Account,
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    is_pruned: bool,
    is_counted: bool,
) -> None:
    """Their summary would lack rows, and outlive them."""
    claimed = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, claimed)
    await jobs.fail(store, claimed, is_retryable=False)
    read = await jobs.read(store, claimed.id)
    loop = asyncio.get_running_loop()
    counted = []

    async def delete() -> None:
        if is_pruned:
            await rows.execute(store, "UPDATE jobs SET pruned_at = now() WHERE id = $1", claimed.id)
            await rows.execute(store, "DELETE FROM job_batches WHERE job_id = $1", claimed.id)
        else:
            await jobs.retry(store, claimed.id, from_start=True)

    class DeletedOnceCounted(LabelCounts):
        def add(self, piece: ResultBatch) -> None:
            super().add(piece)
            asyncio.run_coroutine_threadsafe(delete(), loop).result()
            counted.append(piece.index)

    if is_counted:
        monkeypatch.setattr(service, "LabelCounts", DeletedOnceCounted)
    else:
        await delete()

    with pytest.raises(ResultsExpired if is_pruned else JobNotEnded):
        await service.get(resources, read)

    assert counted == ([0] if is_counted else [])
    assert await rows.value(store, "SELECT count(*) FROM job_result_summaries") == 0


async def test_results_that_several_ask_for_at_once_are_read_once(
    resources: Resources, alice: Account, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await jobs.read(store, (await completed(store, alice)).id)
    counted = []

    class Seen(LabelCounts):
        def add(self, piece: ResultBatch) -> None:
            counted.append(piece.index)
            super().add(piece)

    monkeypatch.setattr(service, "LabelCounts", Seen)
    summaries = await asyncio.gather(*(service.get(resources, job) for _ in range(4)))

    assert counted == [0, 1, 2, 3, 4]
    assert [summary["rows"] for summary in summaries] == [45] * 4


def test_labels_without_room_are_counted_together() -> None:
    counts = LabelCounts(max_labels=2)
    labels: list[Any] = ["a", "b", "c", "a", "x" * (MAX_LABEL_LENGTH + 1)]
    lines = [msgspec.json.encode({"prediction": {"label": label}}) for label in labels]
    lines += [msgspec.json.encode({"prediction": {"value": 1}}), msgspec.json.encode({"prediction": [1]})]

    counts.add(ResultBatch(0, 0, b"\n".join(lines)))

    assert counts.summary == {"rows": 7, "errors": 0, "labels": {"a": 2, "b": 1}, "others": 4}
