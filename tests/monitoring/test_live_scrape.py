"""A real Prometheus scrapes a real API and a real worker: every panel has data, and no alert fires."""

import asyncio
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from app.core import background
from app.core.config import Settings
from app.core.database import Database
from tests.e2e.support import follow, short_texts, submit, wait_for_end
from tests.kinds_for_tests import PLUGIN
from tests.monitoring import dashboard_lint as lint
from tests.monitoring import rules
from tests.monitoring.servers import Prometheus, metrics_address, prometheus
from tests.monitoring.shortened import shortened
from tests.monitoring.test_dashboard import shipped
from tests.support import apis, processes
from tests.support.waiting import until

pytestmark = pytest.mark.long  # whole systems

PASSPHRASE: Final = "a long enough passphrase"
RATE_INTERVAL: Final = "2m"
"""More than the test takes: a rate sees everything that happened."""

MAY_BE_EMPTY: Final = {
    "Replicas wanted": "needs kube-state-metrics",
    "SMTP server usable": "needs a first message",
}

NOWHERE: Final = {
    "name": "nowhere",
    "channel": "webhook",
    "target": {"url": "https://hooks.headrace.invalid/"},
    "events": ["schedule.broken"],
}
"""A subscription that a test of it does not reach: a try that fails is a try."""

PANELS_SECONDS: Final = 180.0

LENGTHS: Final = [number * 7 % 20 for number in range(60)]
FLOWERS: Final = [{"length": length, "species": "long" if length > 9 else "short"} for length in LENGTHS]


def expressions() -> list[tuple[str, str]]:
    """The title of each panel with each of its queries, for all namespaces and queues."""
    return [(title, _with_values(target["expr"])) for title, target in lint.targets(shipped())]


def _with_values(expression: str) -> str:
    for variable, value in {
        "$__rate_interval": RATE_INTERVAL,
        "$namespace": ".*",
        "$queue": ".*",
    }.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


async def use_everything(client: httpx.AsyncClient) -> None:
    """Sign up and in, and run jobs of each shape, again and again: a rate needs more than one event."""
    job = {"kind": "batch_predict", "texts": ["again"]}
    every_second = {"name": "often", "trigger": {"every": {"seconds": 1}}, "job": job}
    scheduled = await client.post("/schedules", json=every_second)
    assert scheduled.status_code == 201, scheduled.text
    subscribed = await client.post("/subscriptions", json=NOWHERE)
    assert subscribed.status_code == 201, subscribed.text
    for number in count():
        await client.post(f"/subscriptions/{subscribed.json()['subscription_id']}/test")
        account = {"username": f"user-{number}", "password": PASSPHRASE}
        assert (await client.post("/users", json=account)).status_code == 201
        assert (await client.post("/token", data=account)).status_code == 200
        batch = await submit(client, short_texts(50))
        async for _ in follow(client, batch):
            pass
        await _train(client)
        delayed = await client.post("/jobs/batch-predict", json={"texts": ["later"], "delay_seconds": 3600})
        assert delayed.status_code == 202, delayed.text
        refused = await client.post("/jobs/refuse", json={})
        assert (await wait_for_end(client, refused.json()["job_id"]))["status"] == "failed"


async def _train(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {
        "rows": FLOWERS,
        "target": "species",
        "algorithm": "logistic_regression",
        "epochs": 2,
    }
    answer = await client.post("/jobs/train-model", json=body)
    assert answer.status_code == 202, answer.text
    job = await wait_for_end(client, answer.json()["job_id"])
    assert job["status"] == "completed", job["error"]


async def empty_panels(server: Prometheus) -> list[str]:
    """Titles and queries without a number."""
    found = [(title, query, await server.query(query)) for title, query in expressions()]
    return [
        f"{title}: {query}" for title, query, samples in found if not samples and title not in MAY_BE_EMPTY
    ]


async def test_every_panel_has_data_and_no_alert_fires(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    headers = await apis.sign_in(settings, database)
    ports = {"PLUGINS": PLUGIN, "METRICS_PORT": "0", "WORKER_PORT": "0"}
    faster = shortened(rules.shipped(), factor=1)
    async with (
        apis.api(settings, tmp_path / "api.log", headers, **ports) as api,
        processes.worker(settings, tmp_path / "worker.log", **ports) as worker,
        prometheus(tmp_path / "prometheus", rules=faster) as server,
        background.running(use_everything(api.client)),
    ):
        assert len({line.partition(":")[0] for line in await empty_panels(server)}) == 45, (
            "nothing is scraped"
        )
        server.scrape(metrics_address(api.process), metrics_address(worker))
        await server.until("count(up == 1) == 2")
        await until(server.are_rules_evaluated)
        assert await _until_none_is_empty(server) == []
        assert await server.broken_rules() == []
        assert await server.firing() == {"HeadraceWatchdog"}


async def _until_none_is_empty(server: Prometheus) -> list[str]:
    """Wait until every panel has data; return what is still empty after `PANELS_SECONDS`."""
    empty = await empty_panels(server)
    try:
        async with asyncio.timeout(PANELS_SECONDS):
            while empty:
                await asyncio.sleep(1)
                empty = await empty_panels(server)
    except TimeoutError:
        return empty
    return []


def test_only_panels_that_are_there_may_be_empty() -> None:
    assert MAY_BE_EMPTY.keys() <= {title for title, _ in expressions()}
    assert all(
        "kube_" in query or "headrace_mail_up" in query
        for title, query in expressions()
        if title in MAY_BE_EMPTY
    )
