"""The request of a job over HTTP, and jobs that are submitted in the place of others."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from app.auth.roles import Role
from app.core.config import Settings
from app.core.database import Database
from app.jobs import lane
from app.jobs.resubmissions.schemas import JobRequest
from tests.jobs.test_http import assert_problem
from tests.support import accounts, jobs, rows
from tests.support.accounts import Account

PREDICT = "/jobs/batch-predict"
BAD_KIND = """
from app.jobs.kinds.kind import JobPlan, Kind
from app.jobs.requests import JobOptions
KIND = Kind("silent", "Say nothing", JobOptions, lambda request, found: JobPlan(b"{}"))
KINDS = {KIND.name: KIND}
"""


async def create(client: httpx.AsyncClient, who: Account, path: str, body: dict[str, Any]) -> str:
    answer = await client.post(path, json=body, headers=who.headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def request_of(client: httpx.AsyncClient, who: Account, job_id: str | UUID) -> Any:
    answer = await client.get(f"/jobs/{job_id}/request", headers=who.headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(JobRequest).validate_json(answer.content)
    return answer.json()


async def test_the_request_comes_back_without_its_rows_and_defaults(
    client: httpx.AsyncClient, alice: Account
) -> None:
    body = {"texts": ["fine", "bad"], "batch_size": 1, "priority": "high", "metadata": {"team": "search"}}
    job_id = await create(client, alice, PREDICT, body)

    assert await request_of(client, alice, job_id) == {
        "job_id": job_id,
        "kind": "batch_predict",
        "path": PREDICT,
        "request": {"batch_size": 1, "priority": "high", "metadata": {"team": "search"}},
        "rows_member": "texts",
    }


async def test_options_of_every_kind_come_back_if_they_differ_from_those_of_today(
    client: httpx.AsyncClient, alice: Account
) -> None:
    options = {
        "queue": "mine",
        "max_attempts": 5,
        "soft_limit_seconds": 60,
        "time_limit_seconds": 90,
        "expires_in_seconds": 7200,
    }
    plain = await create(client, alice, PREDICT, {"texts": ["fine"], "delay_seconds": 60})
    other = await create(client, alice, PREDICT, {"texts": ["fine"], **options})

    assert (await request_of(client, alice, plain))["request"] == {}
    assert (await request_of(client, alice, other))["request"] == options


async def test_a_job_made_of_the_request_is_like_the_first(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    upload = await client.post(
        "/datasets?name=reviews.csv",
        content=b"id,review\n1,Fine\n",
        headers={**alice.headers, "Content-Type": "text/csv"},
    )
    body = {"dataset": "reviews.csv", "max_row_errors": 3, "priority": "low"}
    first = await create(client, alice, PREDICT, body)

    found = await request_of(client, alice, first)
    again = await create(client, alice, found["path"], found["request"])

    assert found["request"]["dataset_id"] == upload.json()["dataset_id"]
    same = ("params", "dataset_id", "files", "queue", "priority", "max_attempts", "time_limit_seconds")
    one, other = await rows.job(store, UUID(first)), await rows.job(store, UUID(again))
    assert [one[name] for name in same] == [other[name] for name in same]


async def test_a_synchronous_prediction_is_restored_without_the_lane(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, queue=lane.QUEUE)

    assert "queue" not in (await request_of(client, alice, job_id))["request"]


async def test_rows_that_were_deleted_do_not_come_back(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    await rows.execute(store, "DELETE FROM job_payloads WHERE job_id = $1", job_id)

    assert_problem(await client.get(f"/jobs/{job_id}/request", headers=alice.headers), 410, "results_expired")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("inspect_model", "no request of its own"), ("gone", "does not know its kind")],
)
async def test_a_job_without_a_request_says_why(
    client: httpx.AsyncClient, alice: Account, store: Database, kind: str, reason: str
) -> None:
    job_id = await jobs.create(store, alice.id, kind=kind)

    problem = assert_problem(
        await client.get(f"/jobs/{job_id}/request", headers=alice.headers), 409, "request_not_restored"
    )
    assert reason in problem["detail"]


async def test_params_of_another_version_are_not_guessed_at(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, kind="train_model")

    problem = assert_problem(
        await client.get(f"/jobs/{job_id}/request", headers=alice.headers), 409, "request_not_restored"
    )
    assert "another version" in problem["detail"]


class TestWithAPlugin:
    """A kind of a plugin that offers no inverse."""

    @pytest.fixture
    def settings(self, settings: Settings, make_plugin: Any) -> Settings:
        return settings.model_copy(update={"plugins": (make_plugin("silent_plugin", kinds=BAD_KIND),)})

    async def test_a_kind_without_an_inverse_says_so(self, client: httpx.AsyncClient, alice: Account) -> None:
        job_id = await create(client, alice, "/jobs/silent", {})

        problem = assert_problem(
            await client.get(f"/jobs/{job_id}/request", headers=alice.headers), 409, "request_not_restored"
        )
        assert "does not offer that" in problem["detail"]


async def test_the_request_of_another_user_is_not_shown(
    client: httpx.AsyncClient, alice: Account, mallory: Account, app: FastAPI
) -> None:
    job_id = await create(client, alice, PREDICT, {"texts": ["secret"], "metadata": {"team": "search"}})
    path = f"/jobs/{job_id}/request"

    assert_problem(await client.get(path, headers=mallory.headers), 403, "not_your_job")
    assert_problem(await client.get(f"/jobs/{uuid4()}/request", headers=alice.headers), 404, "job_not_found")
    operator = await accounts.sign_in(app, "olga", Role.OPERATOR)
    assert (await client.get(path, headers=operator.headers)).status_code == 200


# Submitted in the place of another job


async def test_a_job_says_in_whose_place_it_was_submitted(client: httpx.AsyncClient, alice: Account) -> None:
    first = await create(client, alice, PREDICT, {"texts": ["fine"]})
    second = await create(client, alice, PREDICT, {"texts": ["bad"], "resubmitted_from": first})

    details = (await client.get(f"/jobs/{second}", headers=alice.headers)).json()
    listed = (await client.get("/jobs?view=row", headers=alice.headers)).json()["items"]

    assert details["resubmitted_from"] == first
    assert [job["resubmitted_from"] for job in listed] == [first, None]
    assert "resubmitted_from" not in (await request_of(client, alice, second))["request"]


async def test_each_job_of_a_group_says_it_too(client: httpx.AsyncClient, alice: Account) -> None:
    first = await create(client, alice, PREDICT, {"texts": ["fine"]})
    body = {
        "rows": [{"x": n, "y": n % 2} for n in range(20)],
        "target": "y",
        "algorithm": "random_forest",
        "search": {"params": {"min_samples_leaf": [1, 2]}},
        "resubmitted_from": first,
    }

    group = await client.post("/jobs/train-model", json=body, headers=alice.headers)

    assert group.status_code == 202, group.text
    for job_id in group.json()["job_ids"]:
        job = (await client.get(f"/jobs/{job_id}", headers=alice.headers)).json()
        assert job["resubmitted_from"] == first


@pytest.mark.parametrize("dry_run", ["true", "false"])
async def test_only_a_job_of_the_same_owner_can_be_replaced(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, dry_run: str
) -> None:
    hers = await create(client, alice, PREDICT, {"texts": ["fine"]})

    async def refused(job_id: Any, path: str, **body: Any) -> httpx.Response:
        return await client.post(
            f"{path}?dry_run={dry_run}",
            json={**body, "resubmitted_from": str(job_id)},
            headers=mallory.headers,
        )

    assert_problem(await refused(hers, PREDICT, texts=["bad"]), 403, "not_your_job")
    assert_problem(await refused(uuid4(), PREDICT, texts=["bad"]), 404, "job_not_found")
    search = {"algorithm": "random_forest", "search": {"params": {"min_samples_leaf": [1, 2]}}}
    training = {"rows": [{"x": 1, "y": 1}, {"x": 2, "y": 0}], "target": "y", **search}
    problem = assert_problem(await refused(hers, "/jobs/train-model", **training), 403, "not_your_job")
    assert "errors" not in problem, "the body has no list of jobs"
    assert await rows.value(store, "SELECT count(*) FROM jobs WHERE owner_id = $1", mallory.id) == 0


async def test_in_bulk_too(client: httpx.AsyncClient, alice: Account, mallory: Account) -> None:
    hers = await create(client, alice, PREDICT, {"texts": ["fine"]})
    jobs_in_bulk = [
        {"kind": "batch_predict", "texts": ["bad"]},
        {"kind": "batch_predict", "texts": ["bad"], "resubmitted_from": hers},
    ]

    answer = await client.post("/jobs/bulk", json={"jobs": jobs_in_bulk}, headers=mallory.headers)

    assert assert_problem(answer, 403, "not_your_job")["errors"][0]["loc"] == ["body", "jobs", 1]


async def test_a_schedule_cannot_replace_a_job(client: httpx.AsyncClient, alice: Account) -> None:
    job_id = await create(client, alice, PREDICT, {"texts": ["fine"]})
    schedule = {
        "name": "nightly",
        "trigger": {"every": {"hours": 1}},
        "job": {"kind": "batch_predict", "texts": ["fine"], "resubmitted_from": job_id},
    }

    answer = await client.post("/schedules", json=schedule, headers=alice.headers)

    problem = assert_problem(answer, 422, "start_in_template")
    assert "resubmitted_from" in problem["detail"]
