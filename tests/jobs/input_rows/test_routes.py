"""The input rows of a job over HTTP."""

from typing import Any
from uuid import UUID

import httpx

from app.core.database import Database
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account

FILE = b"id,review,price\na,Fine,3.10\nb,Bad,0.560\nc,Ok,2\n"


async def page(client: httpx.AsyncClient, who: Account, job_id: UUID | str, **params: Any) -> Any:
    answer = await client.get(f"/jobs/{job_id}/input", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def submit(client: httpx.AsyncClient, who: Account, **body: Any) -> str:
    answer = await client.post("/jobs/batch-predict", json=body, headers=who.headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def upload(client: httpx.AsyncClient, who: Account) -> str:
    answer = await client.post(
        "/datasets?name=reviews.csv", content=FILE, headers={**who.headers, "Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["dataset_id"])


async def test_rows_of_the_request_come_as_they_were_submitted(
    client: httpx.AsyncClient, alice: Account
) -> None:
    texts = await submit(client, alice, texts=["fine", "bad", "ok"])
    objects = await submit(client, alice, instances=[{"text": "fine", "n": 1}, {"text": "bad"}])

    assert await page(client, alice, texts, first_row=1, limit=1) == {
        "source": "inline",
        "dataset_id": None,
        "first_row": 1,
        "total": 3,
        "rows": ["bad"],
    }
    assert (await page(client, alice, texts, first_row=3))["rows"] == []
    assert (await page(client, alice, objects))["rows"] == [{"text": "fine", "n": 1}, {"text": "bad"}]


async def test_rows_of_a_dataset_come_from_the_dataset(client: httpx.AsyncClient, alice: Account) -> None:
    dataset_id = await upload(client, alice)
    job_id = await submit(client, alice, dataset_id=dataset_id, column="review")

    found = await page(client, alice, job_id, first_row=1, limit=5)

    assert (found["source"], found["dataset_id"], found["total"]) == ("dataset", dataset_id, 3)
    assert found["rows"] == [
        {"id": "b", "review": "Bad", "price": "0.560"},
        {"id": "c", "review": "Ok", "price": "2"},
    ]


async def test_a_page_ends_before_the_row_that_would_make_it_too_large(
    client: httpx.AsyncClient, alice: Account
) -> None:
    job_id = await submit(client, alice, texts=["a" * 90_000] * 30)

    found = await page(client, alice, job_id, limit=100)

    assert len(found["rows"]) == 1024 * 1024 // 90_002
    rest = await page(client, alice, job_id, first_row=len(found["rows"]), limit=100)
    assert len(rest["rows"]) == len(found["rows"])


async def test_input_that_is_gone_is_an_error_that_says_why(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    dataset_id = await upload(client, alice)
    of_dataset = await submit(client, alice, dataset_id=dataset_id, column="review")
    await jobs.cancel(store, UUID(of_dataset))
    deleted = await client.delete(f"/datasets/{dataset_id}", headers=alice.headers)
    assert deleted.status_code == 204
    answer = await client.get(f"/jobs/{of_dataset}/input", headers=alice.headers)
    problem = assert_problem(answer, 409, "input_gone")
    assert problem["detail"] == f"The dataset of job {of_dataset} was deleted, and its rows with it."

    pruned = await submit(client, alice, texts=["fine"])
    await jobs.cancel(store, UUID(pruned))
    await rows.execute(store, "DELETE FROM job_payloads WHERE job_id = $1", UUID(pruned))
    await rows.execute(store, "UPDATE jobs SET pruned_at = now() WHERE id = $1", UUID(pruned))
    answer = await client.get(f"/jobs/{pruned}/input", headers=alice.headers)
    assert_problem(answer, 410, "results_expired")

    others = await submit(client, alice, texts=["mine"])
    answer = await client.get(f"/jobs/{others}/input", headers=mallory.headers)
    assert_problem(answer, 403, "not_your_job")
