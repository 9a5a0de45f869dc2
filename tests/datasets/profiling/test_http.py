"""The profile over HTTP: computed once, kept, and only for the owner."""

import asyncio

import httpx

from app.core.database import Database
from tests.datasets.conftest import Upload
from tests.support import rows
from tests.support.accounts import Account

TEXT = "label,x\na,1\nb,2\na,\n"


async def test_it_is_computed_once_and_kept(
    client: httpx.AsyncClient, alice: Account, upload: Upload, database: Database
) -> None:
    dataset_id = (await upload(TEXT.encode())).json()["dataset_id"]
    url = f"/datasets/{dataset_id}/profile"

    first, also = await asyncio.gather(*(client.get(url, headers=alice.headers) for _ in range(2)))
    kept = await client.get(url, headers=alice.headers)

    assert first.status_code == 200, first.text
    assert first.json() == also.json() == kept.json()
    profile = first.json()
    assert (profile["rows"], profile["duplicate_rows"]) == (3, 0)
    label, number = profile["columns"]
    assert label["most_frequent"] == [{"value": "a", "count": 2}, {"value": "b", "count": 1}]
    assert (number["missing"], number["min"], number["max"], number["mean"]) == (1, 1, 2, 1.5)
    assert await rows.value(database, "SELECT count(*) FROM dataset_profiles") == 1

    await client.delete(f"/datasets/{dataset_id}", headers=alice.headers)
    assert await rows.value(database, "SELECT count(*) FROM dataset_profiles") == 0


async def test_others_find_no_dataset(client: httpx.AsyncClient, mallory: Account, upload: Upload) -> None:
    dataset_id = (await upload(TEXT.encode())).json()["dataset_id"]

    refused = await client.get(f"/datasets/{dataset_id}/profile", headers=mallory.headers)

    assert (refused.status_code, refused.json()["code"]) == (404, "dataset_not_found")
