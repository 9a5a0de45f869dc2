"""The kinds of jobs over HTTP."""

import httpx
import pytest
from pydantic import TypeAdapter

from app.core.config import Settings
from app.jobs.kind_list.schemas import KindList
from app.jobs.kinds import registry
from tests.support.accounts import Account


async def kinds_of(client: httpx.AsyncClient, who: Account) -> dict[str, dict[str, object]]:
    answer = await client.get("/kinds", headers=who.headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(KindList).validate_json(answer.content)
    return {kind["name"]: kind for kind in answer.json()["items"]}


async def test_every_kind_that_can_be_created_is_listed_with_its_schema(
    client: httpx.AsyncClient, alice: Account
) -> None:
    found = await kinds_of(client, alice)

    assert found.keys() == {name for name, kind in registry.BUILT_IN.items() if not kind.is_internal}
    kind = registry.BUILT_IN["evaluate_model"]
    assert found["evaluate_model"] == {
        "name": "evaluate_model",
        "path": "/jobs/evaluate-model",
        "summary": "Evaluate a model",
        "queue": "default",
        "request": kind.request.model_json_schema(),
    }
    assert found["send_email"]["queue"] == "emails"


class TestWithAPlugin:
    """Kinds of plugins are kinds like the others."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"plugins": ("examples.word_count",)})

    async def test_the_kind_of_a_plugin_is_listed(self, client: httpx.AsyncClient, alice: Account) -> None:
        found = (await kinds_of(client, alice))["word_count"]

        assert found["path"] == "/jobs/word-count"
        schema = found["request"]
        assert isinstance(schema, dict)
        assert {"texts", "top", "priority", "resubmitted_from"} <= schema["properties"].keys()


async def test_signing_in_is_needed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/kinds")).status_code == 401
