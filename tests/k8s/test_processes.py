"""Our services of `compose.yaml` and our pods, run as they say: their commands, their environment, a job."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from app.core.config import Settings
from tests.conftest import Servers
from tests.e2e.support import short_texts, submit, wait_for_end
from tests.k8s.rendering import WITH_NOTIFY, containers, environment, main_container, named, pod, rendered
from tests.k8s.test_compose import services
from tests.support import processes
from tests.support.processes import START_SECONDS, Process

pytestmark = pytest.mark.long  # whole systems

PASSPHRASE = "a long enough passphrase"
SERVE = ["app", "serve", "--host", "0.0.0.0", "--port", "8000"]
"""The command of the image."""


@pytest.fixture
def database(servers: Servers) -> str:
    """A database in which there is nothing at all."""
    return servers.databases.blank()


class System:
    """The processes of a deployment, on servers of the test's own."""

    def __init__(self, database_url: str, settings: Settings, folder: Path) -> None:
        self._replaced = {
            "DATABASE_URL": database_url,
            "REDIS_URL": settings.redis_url,
            "STORAGE_URL": settings.storage_url,
            "SECRET_KEY": "made up for a test, and long enough",
            "WORKER_NAME": "worker-of-the-test",
        }
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]

    def environment(self, own: Mapping[str, str], **more: str) -> dict[str, str]:
        """The variables of a service, with the addresses of our servers instead of its own."""
        replaced = {name: self._replaced.get(name, value) for name, value in own.items()}
        outside = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**outside, **replaced, **more}

    async def run_to_end(self, command: list[str], own: Mapping[str, str]) -> None:
        """Run a command that ends by itself, with success."""
        path = self._folder / "ended.log"
        async with processes.python("-m", *command, env=self.environment(own), log_path=path) as process:
            assert await process.wait(START_SECONDS) == 0, process.log

    async def complete_a_job(self, api: Mapping[str, str], worker: Mapping[str, str]) -> None:
        """Start the API and a worker, complete a job as a user, and stop them."""
        serve = [str(self.port) if word == "8000" else word for word in SERVE]
        async with (
            processes.python(
                *("-m", *serve),
                env=self.environment(api, METRICS_PORT="0"),
                log_path=self._folder / "api.log",
            ) as running,
            processes.python(
                *("-m", "worker"),
                env=self.environment(worker, WORKER_PORT="0"),
                log_path=self._folder / "worker.log",
            ) as working,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client,
        ):
            await working.wait_for_log("worker_started")
            await _until_it_answers(client)
            created = await client.post("/users", json={"username": "ada", "password": PASSPHRASE})
            assert created.status_code == 201, created.text
            signed_in = await client.post("/token", data={"username": "ada", "password": PASSPHRASE})
            client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
            job = await wait_for_end(client, await submit(client, short_texts(5)))
            assert job["status"] == "completed"
            await self._check_ports(running, client)
            for process in (running, working):
                process.send(signal.SIGTERM)
                assert await process.wait() == 0, process.log

    async def _check_ports(self, running: Process, client: httpx.AsyncClient) -> None:
        """The probes of the pod answer on their port, and the public one has no metrics."""
        url = f"http://127.0.0.1:{running.metrics_port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as private:
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert (await private.get(path)).status_code == 200, path
        assert (await client.get("/metrics")).status_code == 404


async def _until_it_answers(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def test_the_services_of_compose_complete_a_job(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    system = System(database, settings, tmp_path)
    found = services()

    await system.run_to_end(found["migrate"]["command"], found["migrate"]["environment"])
    await system.complete_a_job(found["api"]["environment"], found["worker"]["environment"])


async def test_the_pods_complete_a_job(settings: Settings, database: str, tmp_path: Path) -> None:
    system = System(database, settings, tmp_path)
    manifests = rendered("production")
    (migrate,) = [item for item in manifests if item["kind"] == "Job"]
    api = named(manifests, "Deployment", "headrace-api")
    worker = named(manifests, "Deployment", "headrace-worker")

    container = main_container(migrate)
    await system.run_to_end(container["args"], environment(manifests, container))
    for workload in (api, worker):
        (schema,) = pod(workload)["initContainers"]
        await system.run_to_end(schema["args"], environment(manifests, schema))
    assert [container["name"] for container in containers(worker)] == ["schema", "worker"]
    await system.complete_a_job(
        environment(manifests, main_container(api)),
        environment(manifests, main_container(worker)),
    )


async def test_the_deliverer_runs_as_its_pod_says_without_redis(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    system = System(database, settings, tmp_path)
    manifests = rendered(WITH_NOTIFY)
    (migrate,) = [item for item in manifests if item["kind"] == "Job"]
    notify = named(manifests, "Deployment", "headrace-notify")
    own = environment(manifests, main_container(notify))

    container = main_container(migrate)
    await system.run_to_end(container["args"], environment(manifests, container))
    (schema,) = pod(notify)["initContainers"]
    await system.run_to_end(schema["args"], environment(manifests, schema))
    async with processes.python(
        *("-m", *main_container(notify)["args"]),
        env=system.environment(own, METRICS_PORT="0", REDIS_URL=own["REDIS_URL"]),
        log_path=tmp_path / "notify.log",
    ) as running:
        await running.wait_for_log("notify_started")
        url = f"http://127.0.0.1:{running.metrics_port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await _until_it_answers(client)
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert (await client.get(path)).status_code == 200, path
        running.send(signal.SIGTERM)
        assert await running.wait() == 0, running.log
