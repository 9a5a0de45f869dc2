"""Plots over HTTP."""

import hashlib

import httpx

from app.core.database import Database
from tests.models import versions
from tests.models.reports.examples import NUMBERS
from tests.models.reports.test_http import trained
from tests.support.accounts import Account

PLOTS = "/models/churn/versions/1/plots"


async def test_the_plots_of_a_report_are_listed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await trained(store, alice, NUMBERS)

    answer = await client.get(PLOTS, headers=alice.headers)
    version = (await client.get("/models/churn/versions/1", headers=alice.headers)).json()

    assert [item["plot"] for item in answer.json()["items"]] == [
        "learning_curve",
        "importance",
        "predicted_actual",
        "errors",
    ]
    assert answer.json()["items"][0]["links"] == {
        "png": f"{PLOTS}/learning_curve",
        "svg": f"{PLOTS}/learning_curve?format=svg",
    }
    assert version["links"]["plots"] == PLOTS


async def test_a_plot_is_an_image_with_a_tag(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await trained(store, alice)

    image = await client.get(f"{PLOTS}/roc", params={"format": "svg"}, headers=alice.headers)
    tag = image.headers["etag"]
    again = await client.get(
        f"{PLOTS}/roc", params={"format": "svg"}, headers={**alice.headers, "If-None-Match": tag}
    )

    assert image.status_code == 200, image.text
    assert image.headers["content-type"] == "image/svg+xml"
    assert tag == f'"{hashlib.sha256(image.content).hexdigest()}"'
    assert "script-src" not in image.headers["content-security-policy"]
    assert "default-src 'none'" in image.headers["content-security-policy"]
    assert again.status_code == 304


async def test_what_cannot_be_drawn_is_named(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await trained(store, alice, NUMBERS)
    await versions.register(store, alice.id)

    absent = await client.get(f"{PLOTS}/roc", headers=alice.headers)
    unknown = await client.get(f"{PLOTS}/pie", headers=alice.headers)
    other_format = await client.get(f"{PLOTS}/errors", params={"format": "gif"}, headers=alice.headers)
    no_report = await client.get("/models/churn/versions/2/plots/roc", headers=alice.headers)
    foreign = await client.get(f"{PLOTS}/errors", headers=mallory.headers)

    assert (absent.status_code, absent.json()["code"]) == (404, "plot_not_found")
    assert "predicted_actual" in absent.json()["detail"]
    assert unknown.status_code == 422
    assert "plot" in unknown.text
    assert other_format.status_code == 422
    assert (no_report.status_code, no_report.json()["code"]) == (404, "report_not_found")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "model_not_found")
