"""A kind of a plugin has jobs like any other."""

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core.config import Settings
from app.core.database import Database
from tests.conftest import MakePlugin
from tests.support import jobs, processes, rows
from tests.support.accounts import Account

KINDS = """
import msgspec
from pydantic import Field

from app.core.errors import Unprocessable
from app.jobs.kinds.kind import Kind, RetryPolicy, JobPlan
from app.jobs.requests import JobOptions


class TooWordy(Unprocessable):
    '''There are {words} words, more than the limit of {limit}.'''

    code = "too_wordy"
    title = "Too wordy"


class CountWordsRequest(JobOptions):
    '''Count the words of a text.'''

    text: str = Field(min_length=1)
    model: str = "by spaces"


def plan(request, found):
    words = len(request.text.split())
    if words > 5:
        raise TooWordy(words=words, limit=5)
    return JobPlan(msgspec.json.encode({"text": request.text, "model": request.model}), total=1)


KINDS = {
    "count_words": Kind(
        name="count_words",
        summary="Count words",
        request=CountWordsRequest,
        plan=plan,
        message="Counting job created",
        errors=(TooWordy(words=6, limit=5),),
        examples={"a text": {"value": {"text": "one two"}}},
        queue="words",
        max_attempts=5,
        soft_limit_seconds=10,
        time_limit_seconds=20,
        retry=RetryPolicy(base_seconds=2.0, never=frozenset({"no_words"})),
    )
}
"""

HANDLERS = """
def count_words(job):
    count = len(job.params["text"].split())
    job.commit([count], step="Counted", is_last=True)
    return {"words": count}


HANDLERS = {"count_words": count_words}
"""

CREATE = "/jobs/count-words"
BULK = "/jobs/bulk"


@pytest.fixture
def settings(settings: Settings, make_plugin: MakePlugin) -> Settings:
    """Settings that name a plugin."""
    name = make_plugin("wordy", kinds=KINDS, handlers=HANDLERS)
    return settings.model_copy(update={"plugins": (name,)})


async def create(client: httpx.AsyncClient, who: Account, **body: Any) -> httpx.Response:
    return await client.post(CREATE, json=body, headers=who.headers)


# One job


async def test_a_job_has_the_defaults_of_its_kind(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await create(client, alice, text="one two")

    created = answer.json()
    assert answer.status_code == 202, answer.text
    assert created["message"] == "Counting job created"
    row = await rows.job(store, UUID(created["job_id"]))
    assert (row["kind"], row["queue"], row["max_attempts"], row["total"]) == ("count_words", "words", 5, 1)
    assert (row["soft_limit_seconds"], row["time_limit_seconds"]) == (10, 20)
    assert row["params"] == {"text": "one two", "model": "by spaces"}
    assert await rows.value(store, "SELECT count(*) FROM job_payloads") == 0


async def test_the_request_overrides_the_kind(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    wanted = {"queue": "other", "max_attempts": 2, "time_limit_seconds": 5, "priority": "high"}

    created = (await create(client, alice, text="one", **wanted)).json()

    row = await rows.job(store, UUID(created["job_id"]))
    assert {name: row[name] for name in wanted} == wanted
    assert row["soft_limit_seconds"] == 5


async def test_a_job_of_the_kind_is_listed_like_any_other(client: httpx.AsyncClient, alice: Account) -> None:
    """A field called `model` need not refer to a model version."""
    created = (await create(client, alice, text="one two")).json()
    await client.post("/jobs/batch-predict", json=["x"], headers=alice.headers)

    seen = await client.get(created["poll_url"], headers=alice.headers)
    listed = await client.get("/jobs", headers=alice.headers)
    narrowed = await client.get("/jobs?kind=count_words", headers=alice.headers)

    assert seen.status_code == listed.status_code == 200
    view = seen.json()
    assert (view["kind"], view["job_type"], view["queue"]) == ("count_words", "count_words", "words")
    assert view["model"] is None
    assert [job["kind"] for job in listed.json()["items"]] == ["batch_predict", "count_words"]
    assert [job["job_id"] for job in narrowed.json()["items"]] == [created["job_id"]]


async def test_an_error_of_the_kind_answers_the_request(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    shapeless = await create(client, alice, text="")
    unknown = await create(client, alice, text="one", owner_id="me")
    wordy = await create(client, alice, text="one two three four five six")

    for answer in (shapeless, unknown):
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    problem = wordy.json()
    assert (wordy.status_code, problem["code"], problem["words"]) == (422, "too_wordy", 6)
    assert problem["detail"] == "There are 6 words, more than the limit of 5."
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


async def test_the_same_key_for_another_kind_is_another_request(
    client: httpx.AsyncClient, alice: Account
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "order-7"}
    first = await client.post(CREATE, json={"text": "one"}, headers=headers)

    again = await client.post(CREATE, json={"text": "one"}, headers=headers)
    other = await client.post("/jobs/batch-predict", json=["one"], headers=headers)

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_worker_that_does_not_know_the_kind_leaves_its_jobs_alone(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    created = (await create(client, alice, text="one", queue="default")).json()
    worker = await jobs.worker(store)

    assert await jobs.claim_all(store, worker) == []
    explained = await client.get(f"{created['poll_url']}/explain", headers=alice.headers)
    assert explained.json()["code"] == "no_worker_knows_kind"


async def test_a_worker_with_the_plugin_does_the_job(
    client: httpx.AsyncClient, alice: Account, settings: Settings, plugins_path: Path, tmp_path: Path
) -> None:
    created = (await create(client, alice, text="one two three")).json()
    environment = {
        "PLUGINS": ",".join(settings.plugins),
        "PYTHONPATH": str(plugins_path),
        "WORKER_QUEUES": "default,words",
    }

    async with processes.worker(settings, tmp_path / "worker.log", **environment):
        view = (await client.get(f"{created['poll_url']}?wait=30", headers=alice.headers)).json()

    assert (view["status"], view["error"], view["step"]) == ("completed", None, "Counted")
    assert (view["result"]["words"], view["result"]["predictions"]) == (3, [3])


# Many jobs


async def test_jobs_of_several_kinds_are_created_together(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    requests = [
        {"kind": "count_words", "text": "one"},
        {"kind": "batch_predict", "texts": ["x"]},
        {"kind": "count_words", "text": "two", "queue": "default"},
    ]

    answer = await client.post(BULK, json={"jobs": requests}, headers=alice.headers)

    assert answer.status_code == 202, answer.text
    found = [await rows.job(store, UUID(job_id)) for job_id in answer.json()["job_ids"]]
    assert [row["kind"] for row in found] == ["count_words", "batch_predict", "count_words"]
    assert [row["queue"] for row in found] == ["words", "default", "default"]
    assert [row["max_attempts"] for row in found] == [5, 3, 5]


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ({"kind": "count_words"}, ["count_words", "text"]),
        ({"kind": "count_words", "texts": ["x"]}, ["count_words", "text"]),
        ({"kind": "batch_predict", "texts": [1]}, ["batch_predict", "texts", 0]),
        ({"kind": "paint_picture", "text": "x"}, []),
        ({"text": "x"}, []),
        (["x"], []),
        ("x", []),
    ],
    ids=str,
)
async def test_an_invalid_request_is_named_by_its_index_and_kind(
    client: httpx.AsyncClient, alice: Account, store: Database, bad: Any, place: list[Any]
) -> None:
    good = {"kind": "count_words", "text": "one"}

    answer = await client.post(BULK, json={"jobs": [good, bad, good]}, headers=alice.headers)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "validation_error")
    assert problem["errors"][0]["loc"] == ["body", "jobs", 1, *place]
    assert "paint_picture" not in answer.text
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


async def test_one_rejected_request_rejects_all(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    requests = [
        {"kind": "batch_predict", "texts": ["x"]},
        {"kind": "count_words", "text": "one two three four five six"},
    ]

    answer = await client.post(BULK, json={"jobs": requests}, headers=alice.headers)

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["words"]) == (422, "too_wordy", 6)
    assert problem["errors"][0]["loc"] == ["body", "jobs", 1]
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


# The document


async def test_the_kind_is_in_the_document_with_a_schema_of_its_own(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    operation = document["paths"][CREATE]["post"]
    assert (operation["operationId"], operation["summary"]) == ("createCountWordsJob", "Count words")
    content = operation["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/CountWordsRequest"}
    assert content["examples"] == {"a text": {"value": {"text": "one two"}}}
    schema = document["components"]["schemas"]["CountWordsRequest"]
    assert schema["required"] == ["text"]
    assert {"text", "model", "priority", "queue", "metadata"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    problems = operation["responses"]["422"]["content"]["application/problem+json"]["examples"]
    assert {"validation_error", "too_wordy", "idempotency_key_reused"} <= set(problems)
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


async def test_the_document_discriminates_the_kinds_of_a_bulk_request(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    schemas = document["components"]["schemas"]
    items = schemas["BulkRequest"]["properties"]["jobs"]["items"]
    assert items["discriminator"]["propertyName"] == "kind"
    assert items["discriminator"]["mapping"].items() >= {
        ("batch_predict", "#/components/schemas/BatchPredictInBulk"),
        ("count_words", "#/components/schemas/CountWordsInBulk"),
    }
    assert {one["$ref"] for one in items["oneOf"]} == set(items["discriminator"]["mapping"].values())
    assert schemas["CountWordsInBulk"]["properties"]["kind"]["const"] == "count_words"
    assert {"kind", "text"} <= set(schemas["CountWordsInBulk"]["required"])
    assert "kind" in schemas["BatchPredictInBulk"]["required"]
    examples = document["paths"][BULK]["post"]["responses"]["422"]["content"]["application/problem+json"][
        "examples"
    ]
    assert "too_wordy" in examples


async def test_the_versioned_path_is_the_same_route(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(f"/api/v1{CREATE}", json={"text": "one"}, headers=alice.headers)

    assert answer.status_code == 202
