"""Descriptions and tags of models and versions: changed by their owner, shown to all, found by tag."""

from typing import Any

import httpx
import pytest

from app.core.database import Database
from app.models import commands
from app.models.errors import ModelNotFound
from app.models.schemas import MAX_DESCRIPTION_CHARACTERS, MAX_TAGS
from tests.models import versions
from tests.support import rows
from tests.support.accounts import Account

MODEL = "/models/churn"
VERSION = "/models/churn/versions/1"


async def change(client: httpx.AsyncClient, who: Account, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.patch(path, json=body, headers=who.headers)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


@pytest.mark.parametrize("path", [MODEL, VERSION])
async def test_what_is_left_out_stays_and_null_removes(
    client: httpx.AsyncClient, store: Database, alice: Account, path: str
) -> None:
    await versions.register(store, alice.id)

    described = await change(client, alice, path, description="Who leaves?", tags={"team": "risk"})
    tagged = await change(client, alice, path, tags={"stage": "prod"})
    removed = await change(client, alice, path, description=None)
    empty = await change(client, alice, path, tags=None)

    assert (described["description"], described["tags"]) == ("Who leaves?", {"team": "risk"})
    assert (tagged["description"], tagged["tags"]) == ("Who leaves?", {"stage": "prod"})
    assert (removed["description"], removed["tags"]) == (None, {"stage": "prod"})
    assert (empty["description"], empty["tags"]) == (None, {})
    assert (await client.get(path, headers=alice.headers)).json() == empty


async def test_a_change_of_the_model_leaves_its_visibility_and_its_versions(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await versions.register(store, alice.id)
    await change(client, alice, MODEL, visibility="public")

    changed = await change(client, alice, MODEL, description="Who leaves?")

    version = (await client.get(VERSION, headers=alice.headers)).json()
    assert changed["visibility"] == "public"
    assert (version["description"], version["tags"]) == (None, {})


async def test_lists_are_filtered_by_tags(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    for name in ("a", "b", "c"):
        await versions.register(store, alice.id, name)
        await versions.register(store, alice.id, name)
    await change(client, alice, "/models/a", tags={"team": "risk", "stage": "prod"})
    await change(client, alice, "/models/b", tags={"team": "risk"})
    await change(client, alice, "/models/a/versions/2", tags={"data": "june"})

    async def found(path: str, **tags: str) -> list[Any]:
        params = {f"tags.{key}": value for key, value in tags.items()}
        answer = await client.get(path, params=params, headers=alice.headers)
        return [item.get("version", item["name"]) for item in answer.json()["items"]]

    assert await found("/models", team="risk") == ["b", "a"]
    assert await found("/models", team="risk", stage="prod") == ["a"]
    assert await found("/models", team="fraud") == []
    assert await found("/models/a/versions", data="june") == [2]
    assert await found("/models/b/versions", data="june") == []
    assert await found("/models/sentiment/versions", data="june") == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"description": "x" * (MAX_DESCRIPTION_CHARACTERS + 1)},
        {"description": "\0"},
        {"tags": {"": "x"}},
        {"tags": {"k" * 65: "x"}},
        {"tags": {"k": "x" * 257}},
        {"tags": {"k": 1}},
        {"tags": {str(n): "x" for n in range(MAX_TAGS + 1)}},
        {"metrics": {}},
    ],
    ids=lambda body: str(body)[:30],
)
@pytest.mark.parametrize("path", [MODEL, VERSION])
async def test_what_is_too_long_or_unknown_is_refused(
    client: httpx.AsyncClient, store: Database, alice: Account, path: str, body: Any
) -> None:
    await versions.register(store, alice.id)

    answer = await client.patch(path, json=body, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_a_version_that_does_not_exist_is_not_changed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await versions.register(store, alice.id)

    answer = await client.patch("/models/churn/versions/2", json={"tags": {}}, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    async with store.transaction() as connection:
        with pytest.raises(ModelNotFound):
            await commands.change_version(connection, alice.id, "churn", 2, tags={})


async def test_the_audit_log_says_which_members_changed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await versions.register(store, alice.id)

    await change(client, alice, MODEL, visibility="public", description="Who leaves?")
    await change(client, alice, VERSION, tags={"stage": "prod"})

    entries = await rows.fetch(
        store, "SELECT action, object_id, details FROM audit_log WHERE action LIKE 'model.%' ORDER BY id"
    )
    assert [tuple(entry) for entry in entries] == [
        ("model.changed", "churn", {"changed": ["description", "visibility"], "visibility": "public"}),
        ("model.version_changed", "churn@1", {"changed": ["tags"]}),
    ]
