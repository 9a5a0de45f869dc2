"""Datasets whose files are in a bucket: the same story."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.storage import Storage, open_storage
from tests.datasets.conftest import Upload
from tests.support import buckets
from tests.support.accounts import Account
from tests.support.app_state import replace_state, state_of


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with buckets.serving() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with buckets.bucket() as url:
            yield settings.model_copy(update={"storage_url": url})


async def test_a_dataset_in_a_bucket_is_seen_fetched_and_deleted(
    client: httpx.AsyncClient, alice: Account, upload: Upload, storage: Storage
) -> None:
    content = b"n,t\n" + b"".join(b"%d,row %d\n" % (row, row) for row in range(30_000))

    created = await upload(content)
    links = created.json()["links"]
    preview = await client.get(f"{links['preview']}?rows=2", headers=alice.headers)
    whole = await client.get(links["content"], headers=alice.headers)
    part = await client.get(links["content"], headers={**alice.headers, "Range": "bytes=100-199"})
    deleted = await client.delete(links["self"], headers=alice.headers)

    assert (created.status_code, created.json()["rows"]) == (201, 30_000)
    assert preview.json()["rows"] == [{"n": 0, "t": "row 0"}, {"n": 1, "t": "row 1"}]
    assert whole.content == content
    assert part.content == content[100:200]
    assert deleted.status_code == 204
    assert [found async for found in storage.list("datasets")] == []


async def test_a_bucket_that_is_away_is_said_to_be(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, upload: Upload, settings: Settings
) -> None:
    links = (await upload(b"a\n1\n")).json()["links"]
    away = open_storage(settings.storage_url, call_seconds=0.0)
    replace_state(app, resources=replace(state_of(app).resources, storage=away))

    answer = await client.get(links["content"], headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0
