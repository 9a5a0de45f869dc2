"""The logs of a running system: one JSON record a line, no secret, no noise."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.config import Settings
from app.core.database import Database
from app.core.version import VERSION
from app.embedded.valkey import EmbeddedValkey
from tests.support import apis, processes, rows
from tests.support.processes import Process
from tests.support.waiting import until

CANARY = "canary-5b20-otter"
SECRET = f"{CANARY}-and-32-bytes-in-all-at-least"
OUTAGE_SECONDS = 30.0
INJECTION = 'bob\n{"event": "forged"}\r\n\u2028\x1b[31mred'

Record = dict[str, Any]


@dataclass(frozen=True)
class System:
    """An API and a worker as they run in production."""

    client: httpx.AsyncClient
    api: Process
    worker: Process

    def records(self, process: Process) -> list[Record]:
        """Return every line of the log of a process, each of which must be one record."""
        found: list[Record] = [json.loads(line) for line in process.log.splitlines()]
        assert all(isinstance(record, dict) for record in found)
        return found


@asynccontextmanager
async def production(settings: Settings, folder: Path, headers: dict[str, str]) -> AsyncIterator[System]:
    more = {"ENVIRONMENT": "production", "SECRET_KEY": SECRET, "LOG_LEVEL": "INFO"}
    async with (
        apis.api(settings, folder / "api.log", headers, **more, POD_NAME="api-0", METRICS_PORT="0") as api,
        processes.worker(settings, folder / "worker.log", **more, WORKER_NAME="one\ntwo") as worker,
    ):
        yield System(api.client, api.process, worker)


@pytest.fixture
def production_settings(settings: Settings) -> Settings:
    return Settings.model_validate({**settings.model_dump(), "secret_key": SECRET})


async def test_every_line_is_a_record_that_names_its_origin_and_holds_no_secret(
    production_settings: Settings, database: Database, tmp_path: Path
) -> None:
    headers = await apis.sign_in(production_settings, database)
    async with production(production_settings, tmp_path, headers) as system:
        client = system.client
        for username in ("eve", INJECTION, CANARY * 20):
            await client.post("/users", json={"username": username, "password": CANARY})
            await client.post("/token", data={"username": username, "password": CANARY})
        for path in ("/users/me", f"/jobs/stream?ticket={CANARY}"):
            await client.get(path, headers={"Authorization": f"Bearer {CANARY}"})
        await client.get("/%0A%7B%22event%22:%20%22forged%22%7D")
        created = await client.post("/jobs/batch-predict", json=["fine"])
        job_id = created.json()["job_id"]
        await until(
            lambda: rows.value(database, "SELECT status = 'completed' FROM jobs WHERE id = $1", job_id)
        )
        me = (await client.get("/users/me")).json()
        of_api, of_worker = system.records(system.api), system.records(system.worker)

    assert CANARY not in str(of_api)
    assert CANARY not in str(of_worker)
    assert "forged" not in {record["event"] for record in of_api}
    for records, service in ((of_api, "api"), (of_worker, "worker")):
        assert {(record["service"], record["version"]) for record in records} == {(service, VERSION)}
        assert all(record["timestamp"].endswith("Z") and record["level"] for record in records)
    assert {record["pod"] for record in of_api} == {"api-0"}
    assert "one\ntwo" in {record.get("worker") for record in of_worker}
    [line] = [record for record in of_api if record.get("path") == "/jobs/batch-predict"]
    assert (line["event"], line["route"], line["user_id"]) == (
        "request",
        "/jobs/batch-predict",
        me["user_id"],
    )
    [unmatched] = [record for record in of_api if "forged" in record.get("path", "")]
    assert (unmatched["route"], unmatched["status"]) == ("unmatched", 404)


async def test_probes_and_scrapes_leave_no_line(
    production_settings: Settings, database: Database, tmp_path: Path
) -> None:
    headers = await apis.sign_in(production_settings, database)
    async with production(production_settings, tmp_path, headers) as system:
        [listening] = [
            record for record in system.records(system.api) if record["event"] == "health_server_listening"
        ]
        before = len(system.records(system.api))
        async with httpx.AsyncClient(trust_env=False, timeout=apis.ANSWER_SECONDS) as prober:
            for _ in range(20):
                for path in ("/health/live", "/health/ready", "/metrics"):
                    private = await prober.get(f"http://127.0.0.1:{listening['port']}{path}")
                    assert private.status_code == 200
                for path in ("/health", "/health/live", "/health/ready"):
                    assert (await system.client.get(path)).status_code == 200
        await system.client.get("/users/me")
        lines = system.records(system.api)[before:]

    assert [line["path"] for line in lines] == ["/users/me"]


@pytest.fixture
def valkey(server_dir: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that may be stopped."""
    server = EmbeddedValkey(server_dir / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.mark.long  # a real outage of half a minute
async def test_half_a_minute_without_redis_is_three_lines_at_most(
    production_settings: Settings, database: Database, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    headers = await apis.sign_in(production_settings, database)
    away = production_settings.model_copy(update={"redis_url": valkey.url})
    async with production(away, tmp_path, headers) as system:
        before = {process: len(system.records(process)) for process in (system.api, system.worker)}
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(OUTAGE_SECONDS)
        lines = {process: system.records(process)[count:] for process, count in before.items()}

    for process, added in lines.items():
        assert [record["event"] for record in added].count("redis_unavailable") == 1, process.log
        assert len(added) <= 3, added
