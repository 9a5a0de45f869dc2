"""Tickets for downloads: one path, once, for as long as the session lasts."""

from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.download_tickets import commands
from app.core import ids
from app.core.database import Database
from tests.conftest import SignUp
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import state_of


async def issue(client: httpx.AsyncClient, who: Account, path: str) -> str:
    answer = await client.post("/download-tickets", json={"path": path}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["url"])


async def completed(store: Database, who: Account) -> UUID:
    job = await jobs.running(store, who.id, rows=12)
    await jobs.complete(store, job)
    return job.id


async def test_a_ticket_opens_its_download_once(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await completed(store, alice)
    url = await issue(client, alice, f"/jobs/{job_id}/results?format=csv")

    first, second = await client.get(url), await client.get(url)

    assert first.status_code == 200
    assert first.headers["content-type"].startswith("text/csv")
    assert_problem(second, 401, "invalid_token")


async def test_a_ticket_opens_no_other_path(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id, other_id = await completed(store, alice), await completed(store, alice)
    url = await issue(client, alice, f"/jobs/{job_id}/results?format=csv")

    for changed in (
        url.replace(str(job_id), str(other_id)),
        url.replace("format=csv", "format=ndjson"),
        f"{url}&include=input",
        url.replace("/results", ""),
    ):
        assert_problem(await client.get(changed), 401, "invalid_token")
    assert (await client.get(url)).status_code == 200


async def test_a_ticket_gives_no_more_than_its_holder_may_read(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    url = await issue(client, mallory, f"/jobs/{await completed(store, alice)}/results")

    assert_problem(await client.get(url), 403, "not_your_job")


async def test_a_ticket_downloads_datasets_and_models(
    client: httpx.AsyncClient, alice: Account, app: FastAPI
) -> None:
    content = b"text\nfine\n"
    uploaded = await client.post(
        "/datasets?name=a.csv", content=content, headers={**alice.headers, "Content-Type": "text/csv"}
    )
    dataset_id = uploaded.json()["dataset_id"]

    answer = await client.get(await issue(client, alice, f"/datasets/{dataset_id}/content"))
    missing = await client.get(await issue(client, alice, "/models/none/versions/1/artifact"))

    assert answer.content == content
    assert_problem(missing, 404, "model_not_found")


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE download_tickets SET expires_at = now() - interval '1 ms'",
        "UPDATE download_tickets SET token_expires_at = now() - interval '1 ms'",
        "UPDATE users SET is_active = false",
        "UPDATE sessions SET ended_at = now()",
    ],
)
async def test_a_ticket_is_worth_nothing_once_it_or_its_credential_has_ended(
    client: httpx.AsyncClient, sign_up: SignUp, store: Database, spoil: str
) -> None:
    headers = await sign_up("ada")
    who = Account(await rows.value(store, "SELECT id FROM users WHERE username = 'ada'"), headers)
    url = await issue(client, who, f"/jobs/{await completed(store, who)}/results")

    await rows.execute(store, spoil)

    assert_problem(await client.get(url), 401, "invalid_token")


async def test_a_bearer_token_counts_more_than_a_ticket(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    url = await issue(client, alice, f"/jobs/{await completed(store, alice)}/results")

    assert_problem(await client.get(url, headers=mallory.headers), 403, "not_your_job")
    assert (await client.get(url)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/users/me",
        "/jobs/019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d",
        "https://example.com/",
        "//example.com/results",
        "",
        "/jobs/x/results",
    ],
)
async def test_there_are_tickets_for_downloads_only(
    client: httpx.AsyncClient, alice: Account, path: str
) -> None:
    answer = await client.post("/download-tickets", json={"path": path}, headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


async def test_expired_tickets_are_pruned(client: httpx.AsyncClient, alice: Account, app: FastAPI) -> None:
    await issue(client, alice, f"/jobs/{ids.new_id()}/results")
    store = state_of(app).resources.database
    kept = await issue(client, alice, f"/jobs/{ids.new_id()}/results")
    await rows.execute(
        store,
        """UPDATE download_tickets SET expires_at = now() - interval '1 ms'
        WHERE ticket_hash = (SELECT min(ticket_hash) FROM download_tickets)""",
    )

    async with store.connection() as connection:
        await commands.prune(connection)

    assert kept
    assert await rows.value(store, "SELECT count(*) FROM download_tickets") == 1
