"""Runs Prometheus and Alertmanager for tests, on free ports of the loopback; neither outlives its context."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.support.processes import Process
from tests.support.prometheus import alertmanager_path, prometheus_path
from tests.support.waiting import until

Json = dict[str, Any]

ANY_PORT: Final = "127.0.0.1:0"
SCRAPE_SECONDS: Final = 1
START_SECONDS: Final = 60.0
RESULT_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.2
"""Each poll evaluates a query."""

_LISTENING: Final = re.compile(r'"address":"(127\.0\.0\.1:\d+)".*"msg":"Listening on"')

TEMPLATES: Final = b"/usr/share/prometheus/alertmanager"
HERE: Final = b"/proc/self/cwd".ljust(len(TEMPLATES), b"/")
"""As long as the path of the templates."""


@dataclass(frozen=True)
class Sample:
    """One series of a result."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus. `addresses` are what it scrapes; changes take effect with `scrape`."""

    client: httpx.AsyncClient
    folder: Path
    addresses: set[str]

    def scrape(self, *addresses: str) -> None:
        """Scrape these addresses too."""
        self.addresses.update(addresses)
        self._write_targets()

    def forget(self, *addresses: str) -> None:
        """Scrape these addresses no longer, as when their pods are gone."""
        self.addresses.difference_update(addresses)
        self._write_targets()

    def _write_targets(self) -> None:
        draft = self.folder / "targets.draft"
        draft.write_text(json.dumps([{"targets": sorted(self.addresses)}]), encoding="ascii")
        draft.replace(self.folder / "targets.json")  # whole, because Prometheus watches the file

    async def until(self, expression: str, *, seconds: float = RESULT_SECONDS) -> list[Sample]:
        """Wait until an expression has a result, and return it. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                if found := await self.query(expression):
                    return found
                await asyncio.sleep(POLL_SECONDS)

    async def query(self, expression: str) -> list[Sample]:
        """Evaluate an expression now. A number that is none, as of a quantile of nothing, is left out."""
        data = await self._get("query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        samples = [Sample(found["metric"], float(found["value"][1])) for found in data["result"]]
        return [sample for sample in samples if not math.isnan(sample.value)]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        found = (await self._get("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    async def broken_rules(self) -> list[str]:
        """What went wrong in the last evaluation of each rule."""
        groups = (await self._get("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert rules
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule.get("lastError")]

    async def are_rules_evaluated(self) -> bool:
        """Whether each rule has been evaluated."""
        groups = (await self._get("rules"))["groups"]
        return bool(groups) and all(
            rule["health"] != "unknown" for group in groups for rule in group["rules"]
        )

    async def _get(self, path: str, **params: str) -> Any:
        answer = await self.client.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


def metrics_address(process: Process) -> str:
    """Where a process of ours, started with a metrics port of 0, serves its metrics."""
    return f"127.0.0.1:{process.metrics_port}"


@asynccontextmanager
async def prometheus(
    folder: Path, *, rules: Json, alertmanager: str | None = None
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that evaluates these rules. It scrapes nothing yet."""
    folder.mkdir()
    (folder / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    job = {"job_name": "headrace", "file_sd_configs": [{"files": ["targets.json"]}]}
    config: Json = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [job],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (folder / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        str(prometheus_path()),
        "--config.file=config.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={ANY_PORT}",
        "--rules.alert.resend-delay=1s",
        "--log.format=json",
    ]
    async with _running(command, folder) as client:
        yield Prometheus(client, folder, set())


@asynccontextmanager
async def alertmanager(folder: Path, *, webhook: str) -> AsyncIterator[str]:
    """Run Alertmanager, which tells the webhook at once what fires and what is over; yield its address."""
    folder.mkdir()
    receiver = {"name": "webhook", "webhook_configs": [{"url": webhook, "send_resolved": True}]}
    route = {
        "receiver": "webhook",
        "group_by": ["..."],
        "group_wait": "0s",
        "group_interval": "1s",
        "repeat_interval": "1h",
    }
    config = {"route": route, "receivers": [receiver]}
    (folder / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        str(_without_templates(folder)),
        "--config.file=config.yml",
        "--storage.path=data",
        f"--web.listen-address={ANY_PORT}",
        "--cluster.listen-address=",
        "--log.format=json",
    ]
    async with _running(command, folder) as client:
        yield f"{client.base_url.host}:{client.base_url.port}"


def _without_templates(folder: Path) -> Path:
    """Copy Alertmanager so that it finds empty templates.

    Debian's reads them from a folder that exists only if the package is installed. A webhook needs none.
    """
    program = alertmanager_path().read_bytes()
    if TEMPLATES not in program:  # they are in the program
        return alertmanager_path()
    for name in ("default.tmpl", "email.tmpl"):
        (folder / name).touch()
    copy = folder / "alertmanager"
    copy.write_bytes(program.replace(TEMPLATES, HERE))
    copy.chmod(0o755)
    return copy


@asynccontextmanager
async def _running(command: Sequence[str], folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run a server in a folder, ready, and yield its client; on exit, kill it."""
    log_path = folder / "log"
    with log_path.open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    process = Process(started, log_path)
    try:
        address = await until(lambda: _address(process), seconds=START_SECONDS)
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as client:
            await until(lambda: _is_ready(client), seconds=START_SECONDS)
            yield client
    finally:
        if process.is_running:
            await process.kill()


async def _address(process: Process) -> str | None:
    assert process.is_running, process.log
    found = _LISTENING.search(process.log)
    return None if found is None else found[1]


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/-/ready")).status_code == 200
