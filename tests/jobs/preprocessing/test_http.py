"""Preprocess jobs over HTTP: what is refused before there is a job, and which datasets they protect."""

from typing import Any

import httpx
import pytest

from tests.support.accounts import Account

STEPS: list[dict[str, Any]] = [{"step": "join", "dataset": "points", "on": ["label"]}]


async def upload(client: httpx.AsyncClient, who: Account, name: str, text: str) -> str:
    answer = await client.post(
        f"/datasets?name={name}", content=text.encode(), headers={"Content-Type": "text/csv", **who.headers}
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


@pytest.fixture
async def rows(client: httpx.AsyncClient, alice: Account) -> str:
    return await upload(client, alice, "rows.csv", "label,x\na,1\nb,2\n")


@pytest.fixture
async def points(client: httpx.AsyncClient, alice: Account) -> str:
    return await upload(client, alice, "points", "label,points\na,10\n")


async def create(
    client: httpx.AsyncClient, who: Account, dataset: str, steps: list[dict[str, Any]] = STEPS
) -> httpx.Response:
    body = {"dataset_id": dataset, "steps": steps}
    return await client.post("/jobs/preprocess-dataset", json=body, headers=who.headers)


async def test_a_step_that_does_not_fit_is_refused_before_there_is_a_job(
    client: httpx.AsyncClient, alice: Account, rows: str
) -> None:
    steps: list[dict[str, Any]] = [
        {"step": "deduplicate"},
        {"step": "cast", "columns": ["lable"], "to": "date"},
    ]

    refused = await create(client, alice, rows, steps)

    assert refused.status_code == 422
    problem = refused.json()
    found = {name: problem[name] for name in ("code", "step", "name", "field")}
    assert found == {"code": "bad_step", "step": 2, "name": "cast", "field": "columns"}
    assert "did you mean 'label'?" in problem["reason"]
    listed = await client.get("/jobs", headers=alice.headers)
    assert listed.json()["items"] == []


async def test_a_field_that_is_missing_is_named_with_its_path(
    client: httpx.AsyncClient, alice: Account, rows: str
) -> None:
    refused = await create(client, alice, rows, [{"step": "deduplicate"}, {"step": "cast", "columns": ["x"]}])

    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["loc"] == ["body", "steps", 1, "cast", "to"]


async def test_datasets_of_others_are_not_found(
    client: httpx.AsyncClient, alice: Account, mallory: Account, rows: str, points: str
) -> None:
    foreign = await create(client, mallory, rows, [{"step": "deduplicate"}])
    own = await upload(client, mallory, "own", "label\na\n")
    joined = await create(client, mallory, own, [{"step": "join", "dataset_id": points, "on": ["label"]}])

    assert [answer.json()["code"] for answer in (foreign, joined)] == ["dataset_not_found"] * 2


async def test_no_dataset_that_an_unfinished_job_reads_can_be_deleted(
    client: httpx.AsyncClient, alice: Account, rows: str, points: str
) -> None:
    created = await create(client, alice, rows)
    assert created.status_code == 202, created.text
    job_id = created.json()["job_id"]

    for dataset_id in (rows, points):
        refused = await client.delete(f"/datasets/{dataset_id}", headers=alice.headers)
        assert (refused.status_code, refused.json()["jobs"]) == (409, 1)

    await client.delete(f"/jobs/{job_id}", headers=alice.headers)
    deleted = await client.delete(f"/datasets/{points}", headers=alice.headers)
    assert deleted.status_code == 204
    retried = await client.post(f"/jobs/{job_id}/retry", headers=alice.headers)
    assert (retried.status_code, retried.json()["code"]) == (409, "input_gone")


async def test_an_upload_has_no_lineage(client: httpx.AsyncClient, alice: Account, rows: str) -> None:
    shown = (await client.get(f"/datasets/{rows}", headers=alice.headers)).json()

    assert shown["lineage"] is None
