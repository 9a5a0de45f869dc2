"""Models over HTTP: what can be seen, named, shown, downloaded and deleted, and by whom."""

import hashlib
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.database import Database
from app.core.storage import Storage
from app.models.versions import InputColumn, Task
from tests.models import versions
from tests.support import rows
from tests.support.accounts import Account, sign_in

Answer = httpx.Response


async def publish(client: httpx.AsyncClient, who: Account, name: str = "churn") -> Answer:
    return await client.patch(f"/models/{name}", json={"visibility": "public"}, headers=who.headers)


async def names(client: httpx.AsyncClient, who: Account, **query: Any) -> list[str]:
    """The names of the models on all pages."""
    found: list[str] = []
    while True:
        answer = await client.get("/models", params=query, headers=who.headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [model["name"] for model in page["items"]]
        assert len(page["items"]) <= query.get("limit", 20)
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_at_first_there_is_the_model_that_is_built_in(
    client: httpx.AsyncClient, alice: Account
) -> None:
    assert await names(client, alice) == ["sentiment"]
    model = (await client.get("/models/sentiment", headers=alice.headers)).json()
    version = (await client.get("/models/sentiment/versions/1", headers=alice.headers)).json()
    listed = (await client.get("/models/sentiment/versions", headers=alice.headers)).json()

    assert (model["is_built_in"], model["is_own"], model["latest_version"]) == (True, False, 1)
    assert (version["model"], version["runtime"], version["links"]["artifact"]) == (
        "sentiment@1",
        "vader",
        None,
    )
    assert listed == {"items": [version], "next_cursor": None}
    assert_problem(
        await client.get("/models/sentiment/versions/1/artifact", headers=alice.headers),
        404,
        "artifact_not_found",
    )
    assert_problem(
        await client.get("/models/sentiment/versions/2", headers=alice.headers), 404, "model_not_found"
    )


async def test_a_version_says_what_it_is_and_where_it_comes_from(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    made = await versions.register(
        store,
        alice.id,
        task=Task.CLASSIFICATION,
        columns=[InputColumn("age", "number")],
        classes=["no", "yes"],
        metrics={"accuracy": 0.9},
        params={"algorithm": "ridge"},
        lineage={"job_id": "j", "dataset_sha256": "d", "library_versions": {"scikit-learn": "1.9.1"}},
    )

    answer = await client.get("/models/churn/versions/1", headers=alice.headers)

    version = answer.json()
    assert version["created_at"] is not None
    del version["created_at"]
    assert version == {
        "model": "churn@1",
        "model_id": str(made.id),
        "owner": "alice",
        "name": "churn",
        "version": 1,
        "aliases": [],
        "runtime": "sklearn",
        "task": "classification",
        "columns": [{"name": "age", "type": "number"}],
        "classes": ["no", "yes"],
        "metrics": {"accuracy": 0.9},
        "params": {"algorithm": "ridge"},
        "lineage": {"job_id": "j", "dataset_sha256": "d"},
        "library_versions": {"scikit-learn": "1.9.1"},
        "description": None,
        "tags": {},
        "bytes": versions.FILE.bytes,
        "sha256": versions.FILE.sha256,
        "links": {
            "self": "/models/churn/versions/1",
            "model": "/models/churn",
            "artifact": "/models/churn/versions/1/artifact",
            "card": "/models/churn/versions/1/card",
            "report": None,
            "history": None,
            "plots": None,
        },
    }


async def test_pages_hold_every_model_once_newest_first(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    for number in range(5):
        await versions.register(store, alice.id, f"m{number}")

    for limit in (1, 2, 3, 5, 6, 7):
        found = await names(client, alice, limit=limit)
        assert found == ["m4", "m3", "m2", "m1", "m0", "sentiment"]
    assert_problem(
        await client.get("/models", params={"cursor": "x"}, headers=alice.headers), 400, "invalid_cursor"
    )


async def test_models_are_found_by_the_beginning_of_their_name(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    for name in ("churn", "Churn_june", "churn-x", "sales"):
        await versions.register(store, alice.id, name)
    await versions.register(store, mallory.id, "churn_private")
    await versions.register(store, mallory.id, "churn_public")
    await publish(client, mallory, "churn_public")

    assert await names(client, alice, q="CHURN") == ["churn_public", "churn-x", "Churn_june", "churn"]
    assert await names(client, alice, q="churn_", limit=1) == ["churn_public", "Churn_june"]
    assert await names(client, alice, q="%") == []
    assert await names(client, alice, q="s") == ["sales", "sentiment"]
    assert await names(client, alice, q="sentiment-") == []
    refused = await client.get("/models", params={"q": "x" * 201}, headers=alice.headers)
    assert_problem(refused, 422, "validation_error")


async def test_a_list_includes_the_scores_of_the_latest_versions_on_request(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    for number in range(23):
        await versions.register(store, alice.id, metrics={"accuracy": number / 100, "f1_macro": 0.5})
    await versions.register(store, alice.id, metrics={})
    await versions.register(store, alice.id, metrics={"accuracy": None})
    await versions.register(store, alice.id, "homes", metrics={"accuracy": 0.5})
    await versions.register(store, alice.id, "homes", metrics={"r2": 0.75, "rmse": 3})
    await versions.register(store, alice.id, "uploaded")
    await versions.register(store, mallory.id, "secret", metrics={"accuracy": 0.9})

    listed = (await client.get("/models", params={"include": "scores"}, headers=alice.headers)).json()
    plain = (await client.get("/models", headers=alice.headers)).json()

    found = {model["name"]: model["scores"] for model in listed["items"]}
    latest = await rows.fetch(
        store,
        """SELECT version, (metrics ->> 'accuracy')::float8 AS value FROM model_versions v
        JOIN models m ON m.id = v.model_id WHERE m.name = 'churn' AND metrics ->> 'accuracy' IS NOT NULL
        ORDER BY version DESC LIMIT 20""",
    )
    assert found == {
        "churn": {"metric": "accuracy", "versions": [dict(row) for row in reversed(latest)]},
        "homes": {"metric": "r2", "versions": [{"version": 2, "value": 0.75}]},
        "uploaded": None,
        "sentiment": None,
    }
    assert not any("scores" in model for model in plain["items"])


async def test_pages_hold_every_version_once_newest_first(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    for _ in range(5):
        await versions.register(store, alice.id)

    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (
            await client.get("/models/churn/versions", params={"limit": 2, **cursor}, headers=alice.headers)
        ).json()
        found += [version["version"] for version in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert found == [5, 4, 3, 2, 1]
    for wrong in ("x", "-1", "9" * 12):
        answer = await client.get("/models/churn/versions", params={"cursor": wrong}, headers=alice.headers)
        assert_problem(answer, 400, "invalid_cursor")


async def test_an_alias_is_set_moved_and_forgotten(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    for _ in range(2):
        await versions.register(store, alice.id)
    best = "/models/churn/aliases/best"

    first = await client.put(best, json={"version": 1}, headers=alice.headers)
    transition = await client.put(best, json={"version": 2}, headers=alice.headers)
    version = await client.get("/models/churn/versions/2", headers=alice.headers)
    unknown = await client.put(best, json={"version": 3}, headers=alice.headers)

    assert (first.json()["aliases"], transition.json()["aliases"]) == ({"best": 1}, {"best": 2})
    assert version.json()["aliases"] == ["best"]
    assert_problem(unknown, 404, "model_not_found")
    assert (await client.delete(best, headers=alice.headers)).status_code == 204
    assert_problem(await client.delete(best, headers=alice.headers), 404, "alias_not_found")


@pytest.mark.parametrize("alias", ["1", "1st", "a@b", "-x", "a b", "a" * 101, "ä"])
async def test_an_alias_is_a_word_and_no_number(
    client: httpx.AsyncClient, store: Database, alice: Account, alias: str
) -> None:
    await versions.register(store, alice.id)

    answer = await client.put(f"/models/churn/aliases/{alias}", json={"version": 1}, headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


async def test_a_job_is_sent_to_the_version_that_an_alias_means(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    for _ in range(2):
        await versions.of_texts(store, alice.id)
    await client.put("/models/churn/aliases/best", json={"version": 1}, headers=alice.headers)

    sent = await client.post(
        "/jobs/batch-predict", json={"texts": ["x"], "model": "churn@best"}, headers=alice.headers
    )

    job = await client.get(f"/jobs/{sent.json()['job_id']}", headers=alice.headers)
    assert job.json()["model"] == "churn@1"


async def test_what_is_private_is_unknown_to_others_what_is_public_can_be_used_and_not_changed(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account, mallory: Account
) -> None:
    await versions.register(
        store, alice.id, file=await versions.stored(storage, b"model"), lineage={"job_id": "j"}
    )
    here, query = "/models/churn", "?owner=alice"
    reads = [
        f"{path}{query}"
        for path in (here, f"{here}/versions", f"{here}/versions/1", f"{here}/versions/1/artifact")
    ]
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", here, {"visibility": "public"}),
        ("PATCH", f"{here}/versions/1", {"description": "mine"}),
        ("PUT", f"{here}/aliases/best", {"version": 1}),
        ("DELETE", f"{here}/aliases/best", None),
        ("DELETE", f"{here}/versions/1", None),
        ("DELETE", here, None),
    ]

    async def of_changes(who: dict[str, str]) -> set[int]:
        return {
            (await client.request(method, path, json=body, headers=who)).status_code
            for method, path, body in changes
        }

    async def of_reads(who: dict[str, str]) -> set[int]:
        return {(await client.get(path, headers=who)).status_code for path in reads}

    assert await of_reads({}) == await of_changes({}) == {401}
    assert await of_reads(mallory.headers) == await of_changes(mallory.headers) == {404}
    assert await names(client, mallory) == ["sentiment"]
    assert await of_reads(alice.headers) == {200}

    assert (await publish(client, alice)).json()["visibility"] == "public"

    assert await of_reads({}) == {401}
    assert await of_reads(mallory.headers) == {200}
    assert await of_changes(mallory.headers) == {404}
    assert await names(client, mallory) == ["churn", "sentiment"]
    seen = (await client.get(f"{here}/versions/1{query}", headers=mallory.headers)).json()
    assert (seen["lineage"], seen["model"], seen["owner"]) == (None, "alice/churn@1", "alice")
    assert (await client.get(seen["links"]["artifact"], headers=mallory.headers)).content == b"model"
    model = (await client.get(here + query, headers=mallory.headers)).json()
    assert (model["is_own"], model["reference"]) == (False, "alice/churn")
    assert (await client.get(model["links"]["versions"], headers=mallory.headers)).status_code == 200
    without_owner = await client.get(here, headers=mallory.headers)
    assert_problem(without_owner, 404, "model_not_found")
    assert without_owner.json()["public"] == ["alice/churn"]
    assert await of_changes(alice.headers) <= {200, 204}


async def test_public_models_of_one_name_are_told_apart_by_their_owners(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await versions.register(store, alice.id)
    await versions.register(store, mallory.id)

    assert (await publish(client, alice)).status_code == 200
    assert (await publish(client, mallory)).status_code == 200

    for who in (alice, mallory):
        listed = (await client.get("/models", headers=who.headers)).json()["items"]
        assert [model["reference"] for model in listed] == ["mallory/churn", "alice/churn", "sentiment"]
        for model in listed:
            assert (await client.get(model["links"]["self"], headers=who.headers)).json() == model


async def test_a_name_that_is_hidden_for_a_moment_never_comes_to_mean_another_users_model(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    carol = await sign_in(app, "carol")
    theirs = await versions.of_texts(store, alice.id)
    await publish(client, alice)

    async def ask(model: str) -> httpx.Response:
        body = {"texts": ["x"], "model": model}
        return await client.post("/jobs/batch-predict", json=body, headers=carol.headers)

    assert (await ask("alice/churn")).status_code == 202
    assert (await ask("ALICE/churn@1")).status_code == 202
    await client.patch("/models/churn", json={"visibility": "private"}, headers=alice.headers)
    await versions.of_texts(store, mallory.id)
    await publish(client, mallory)

    for reference in ("alice/churn", "alice/churn@1", "churn", "churn@1", "churn@best", "nobody/churn"):
        assert_problem(await ask(reference), 404, "model_not_found")
    refused = (await ask("churn")).json()
    assert refused["public"] == ["mallory/churn"]
    assert refused["detail"] == (
        "You have no model 'churn'. To use another user's public model, name its owner: mallory/churn."
    )
    await publish(client, alice)
    of_two = (await ask("churn")).json()
    assert of_two["detail"].endswith("name its owner: alice/churn, mallory/churn.")
    used = await rows.fetch(store, "SELECT DISTINCT model_version_id FROM jobs")
    assert [row[0] for row in used] == [theirs.id]
    listed = (await client.get("/jobs", params={"model": "alice/churn"}, headers=carol.headers)).json()
    assert [job["model"] for job in listed["items"]] == ["alice/churn@1"] * 2


async def test_an_owner_may_have_any_name_in_a_reference(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    odd = await sign_in(app, "a/b@c d?&#%")
    await versions.of_texts(store, odd.id)
    await publish(client, odd)
    model = (await client.get("/models", headers=alice.headers)).json()["items"][0]

    sent = await client.post(
        "/jobs/batch-predict",
        json={"texts": ["x"], "model": f"{model['reference']}@1"},
        headers=alice.headers,
    )

    assert sent.status_code == 202, sent.text
    assert (await client.get(model["links"]["self"], headers=alice.headers)).json() == model


async def test_what_is_built_in_cannot_be_changed(client: httpx.AsyncClient, alice: Account) -> None:
    here = "/models/sentiment"
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", here, {"visibility": "private"}),
        ("PATCH", f"{here}/versions/1", {"description": "mine"}),
        ("PUT", f"{here}/aliases/best", {"version": 1}),
        ("DELETE", f"{here}/aliases/best", None),
        ("DELETE", f"{here}/versions/1", None),
        ("DELETE", here, None),
        ("POST", f"{here}/versions", None),
    ]
    for method, path, body in changes:
        answer = await client.request(method, path, json=body, headers=alice.headers)
        assert_problem(answer, 409, "name_reserved")


async def test_a_file_is_downloaded_as_it_came(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account
) -> None:
    content = bytes(range(256)) * 40_000  # more than one block
    file = await versions.stored(storage, content)
    await versions.register(store, alice.id, runtime="onnx", file=file)

    answer = await client.get("/models/churn/versions/1/artifact", headers=alice.headers)

    assert answer.content == content
    assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer.headers["Content-Length"] == str(len(content))
    assert 'filename="churn-1.onnx"' in answer.headers["Content-Disposition"]


async def test_a_file_that_is_gone_is_an_error_and_not_half_an_answer(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await versions.register(store, alice.id)

    answer = await client.get("/models/churn/versions/1/artifact", headers=alice.headers)

    assert_problem(answer, 404, "file_missing")


async def test_with_a_version_go_its_aliases_and_its_file(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account
) -> None:
    kept, gone = await versions.stored(storage, b"1"), await versions.stored(storage, b"2")
    await versions.register(store, alice.id, file=kept)
    await versions.register(store, alice.id, file=gone)
    await client.put("/models/churn/aliases/best", json={"version": 2}, headers=alice.headers)

    assert (await client.delete("/models/churn/versions/2", headers=alice.headers)).status_code == 204

    model = (await client.get("/models/churn", headers=alice.headers)).json()
    assert (model["latest_version"], model["versions"], model["aliases"]) == (1, 1, {})
    assert [found.key async for found in storage.list("artifacts")] == [kept.key]
    assert_problem(
        await client.delete("/models/churn/versions/2", headers=alice.headers), 404, "model_not_found"
    )
    assert (await client.delete("/models/churn", headers=alice.headers)).status_code == 204
    assert [found async for found in storage.list("artifacts")] == []
    assert_problem(await client.get("/models/churn", headers=alice.headers), 404, "model_not_found")


@pytest.mark.parametrize("path", ["/models/churn", "/models/churn/versions/1"])
async def test_a_model_is_not_deleted_while_a_job_needs_it(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account, path: str
) -> None:
    file = await versions.stored(storage, b"model")
    await versions.register(
        store, alice.id, file=file, task=Task.CLASSIFICATION, columns=[InputColumn("text", "text")]
    )
    sent = await client.post(
        "/jobs/batch-predict", json={"texts": ["x"], "model": "churn"}, headers=alice.headers
    )

    refused = await client.delete(path, headers=alice.headers)

    assert_problem(refused, 409, "model_in_use")
    assert refused.json()["jobs"] == 1
    assert await storage.get(file) == b"model"
    await client.post(f"/jobs/{sent.json()['job_id']}/cancel", headers=alice.headers)
    assert (await client.delete(path, headers=alice.headers)).status_code == 204


@pytest.mark.parametrize("name", ["1st", "-x", "a" * 101, "a b", "a@1", ".hidden", "ü"])
async def test_a_name_that_no_model_can_have_is_refused(
    client: httpx.AsyncClient, alice: Account, name: str
) -> None:
    answer = await client.get(f"/models/{name}", headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


@pytest.mark.parametrize(
    "body",
    [{}, {"visibility": "secret"}, {"visibility": None}, {"visibility": "public", "owner_id": "x"}],
)
async def test_a_change_has_no_other_fields(
    client: httpx.AsyncClient, store: Database, alice: Account, body: Any
) -> None:
    await versions.register(store, alice.id)

    answer = await client.patch("/models/churn", json=body, headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


async def test_a_job_of_another_user_keeps_a_public_model_too(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await versions.of_texts(store, alice.id)
    await publish(client, alice)
    sent = await client.post(
        "/jobs/batch-predict", json={"texts": ["x"], "model": "alice/churn"}, headers=mallory.headers
    )
    assert sent.status_code == 202, sent.text

    assert_problem(await client.delete("/models/churn", headers=alice.headers), 409, "model_in_use")


async def test_no_user_may_ask_for_an_inspection(client: httpx.AsyncClient, alice: Account) -> None:
    body = {"name": "x", "runtime": "onnx", "alias": None, "bytes": 1, "sha256": "0", "key": "datasets/other"}

    alone = await client.post("/jobs/inspect-model", json=body, headers=alice.headers)
    in_bulk = await client.post(
        "/jobs/bulk", json={"jobs": [{"kind": "inspect_model", **body}]}, headers=alice.headers
    )

    assert alone.status_code in (404, 405)
    assert in_bulk.status_code == 422
    assert "inspect" not in str((await client.get("/openapi.json")).json()["paths"].keys()).lower()
    assert await jobs_of(client, alice) == []


async def jobs_of(client: httpx.AsyncClient, who: Account) -> list[Any]:
    """The jobs of a user."""
    items: list[Any] = (await client.get("/jobs", headers=who.headers)).json()["items"]
    return items
