"""Reports and cards over HTTP."""

import httpx
import pytest

from app.core.database import Database
from app.models.reports import commands
from app.models.reports.report import Report
from app.models.versions import Task
from tests.models import versions
from tests.models.reports.examples import BINARY, NUMBERS, as_stored
from tests.support import rows
from tests.support.accounts import Account

REPORT = "/models/churn/versions/1/report"
HISTORY = "/models/churn/versions/1/history"
CARD = "/models/churn/versions/1/card"


async def trained(store: Database, who: Account, report: Report = BINARY) -> None:
    version = await versions.register(store, who.id, task=Task.CLASSIFICATION, metrics={"accuracy": 0.85})
    assert version.id is not None
    async with store.transaction() as connection:
        await commands.store(connection, version.id, as_stored(report))


@pytest.mark.parametrize("report", [BINARY, NUMBERS])
async def test_the_report_is_as_the_training_wrote_it(
    client: httpx.AsyncClient, store: Database, alice: Account, report: Report
) -> None:
    await trained(store, alice, report)

    answer = await client.get(REPORT, headers=alice.headers)
    version = (await client.get("/models/churn/versions/1", headers=alice.headers)).json()

    assert answer.status_code == 200
    assert answer.json() == as_stored(report)
    assert (version["links"]["report"], version["links"]["card"]) == (REPORT, CARD)


@pytest.mark.parametrize(("report", "score"), [(BINARY, "valid_accuracy"), (NUMBERS, "valid_r2")])
async def test_the_history_has_the_epochs_of_the_report(
    client: httpx.AsyncClient, store: Database, alice: Account, report: Report, score: str
) -> None:
    await trained(store, alice, report)

    answer = await client.get(HISTORY, headers=alice.headers)
    version = (await client.get("/models/churn/versions/1", headers=alice.headers)).json()

    assert answer.status_code == 200, answer.text
    assert version["links"]["history"] == HISTORY
    assert answer.json() == {
        "best_epoch": report.best_epoch,
        "items": [
            {
                "epoch": scores.epoch,
                "train_loss": scores.train_loss,
                "valid_loss": scores.valid_loss,
                score: scores.valid_score,
                "seconds": scores.seconds,
            }
            for scores in report.learning_curve
        ],
    }


async def test_a_report_of_an_earlier_version_has_a_history_without_seconds(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await trained(store, alice)
    await rows.execute(
        store,
        """UPDATE model_reports SET report = jsonb_set(report, '{learning_curve}',
        (SELECT jsonb_agg(epoch - 'seconds') FROM jsonb_array_elements(report -> 'learning_curve') epoch))""",
    )

    answer = await client.get(HISTORY, headers=alice.headers)

    assert [item["seconds"] for item in answer.json()["items"]] == [None, None, None]


async def test_a_history_is_its_owners_alone(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await trained(store, alice)
    await versions.register(store, alice.id)
    await client.patch("/models/churn", json={"visibility": "public"}, headers=alice.headers)
    owner = {"owner": (await client.get("/models/churn", headers=alice.headers)).json()["owner"]}

    foreign = await client.get(HISTORY, params=owner, headers=mallory.headers)
    shown = await client.get("/models/churn/versions/1", params=owner, headers=mallory.headers)
    uploaded = await client.get("/models/churn/versions/2/history", headers=alice.headers)
    built_in = await client.get("/models/sentiment/versions/1/history", headers=alice.headers)

    assert (foreign.status_code, foreign.json()["code"]) == (404, "model_not_found")
    assert shown.json()["links"]["history"] is None
    assert (uploaded.status_code, uploaded.json()["code"]) == (404, "report_not_found")
    assert (built_in.status_code, built_in.json()["code"]) == (404, "report_not_found")


async def test_a_version_without_a_report_says_so(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await versions.register(store, alice.id)

    answer = await client.get(REPORT, headers=alice.headers)
    built_in = await client.get("/models/sentiment/versions/1/card", headers=alice.headers)
    version = (await client.get("/models/churn/versions/1", headers=alice.headers)).json()
    unknown = await client.get("/models/churn/versions/2/report", headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (404, "report_not_found")
    assert (built_in.status_code, built_in.json()["code"]) == (404, "report_not_found")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")
    assert version["links"]["report"] is None
    assert (await client.get(CARD, headers=alice.headers)).status_code == 200


async def test_the_card_is_markdown(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    await trained(store, alice)

    answer = await client.get(CARD, headers=alice.headers)

    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text.startswith("# churn, version 1")
    assert "## Warnings" in answer.text


async def test_a_public_model_shows_its_card_but_not_its_report(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await trained(store, alice)
    await client.patch("/models/churn", json={"visibility": "public"}, headers=alice.headers)
    own = (await client.get("/models/churn", headers=alice.headers)).json()
    owner = {"owner": own["owner"]}

    report = await client.get(REPORT, params=owner, headers=mallory.headers)
    shown = await client.get(CARD, params=owner, headers=mallory.headers)
    version = (await client.get("/models/churn/versions/1", params=owner, headers=mallory.headers)).json()

    assert (report.status_code, report.json()["code"]) == (404, "model_not_found")
    assert shown.status_code == 200
    assert "`accuracy`" in shown.text
    assert "counts as missing" not in shown.text
    assert version["links"]["report"] is None


async def test_the_report_is_deleted_with_its_version(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await trained(store, alice)

    await client.delete("/models/churn/versions/1", headers=alice.headers)

    async with store.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM model_reports") == 0
