"""The built image, and the pods of the overlay `dev` in it, on servers that listen on loopback ports."""

import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.conftest import PASSWORD, Servers
from tests.image import building, container
from tests.image.building import Image
from tests.image.container import Container, Volume
from tests.k8s.rendering import Manifest, environment, main_container, named, of_kind, pod, rendered
from tests.support import proxy
from tests.support.processes import START_SECONDS
from tests.support.waiting import until

TIME_LIMIT_SECONDS: Final = 1800
"""The first test makes the base and builds the image."""

API_PORT: Final = "8000"
_NOT_SET: Final = "secret:"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_SECONDS))


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image, built once. Skips where it cannot be built, except in CI."""
    if reason := building.missing():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with building.built() as found:
        yield found


@dataclass(frozen=True)
class Pods:
    """Runs the containers of the overlay `dev`, with the addresses of the test's servers."""

    image: Image
    manifests: list[Manifest]
    volume: Volume
    replaced: Mapping[str, str]
    folder: Path
    port: int

    def workload(self, name: str) -> Manifest:
        """The Deployment of this name, or the Job that migrates."""
        if name == "migrate":
            [job] = of_kind(self.manifests, "Job")
            return job
        return named(self.manifests, "Deployment", f"headrace-{name}")

    def grace_seconds(self, name: str) -> float:
        """How long Kubernetes waits between SIGTERM and SIGKILL."""
        return float(pod(self.workload(name))["terminationGracePeriodSeconds"])

    @asynccontextmanager
    async def running(self, name: str) -> AsyncIterator[Container]:
        """Run the main container of a workload during the body."""
        found = main_container(self.workload(name))
        arguments = found.get("args", self.image.config["Cmd"])
        own = {**environment(self.manifests, found), **self.replaced}
        async with container.running(
            self.image,
            # The port of the API is one of this machine here.
            [
                str(self.port) if word == API_PORT else word
                for word in (*self.image.config["Entrypoint"], *arguments)
            ],
            {variable: value for variable, value in own.items() if not value.startswith(_NOT_SET)},
            self.volume,
            self.folder / f"{name}.log",
        ) as started:
            yield started

    @asynccontextmanager
    async def client(self, api: Container) -> AsyncIterator[httpx.AsyncClient]:
        """Wait until the API is ready, create a user, and yield the user's client."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:

            async def is_ready() -> bool:
                assert api.process.is_running, api.process.log
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(is_ready, seconds=START_SECONDS)
            created = await client.post("/users", json={"username": "ada", "password": PASSWORD})
            assert created.status_code == 201, created.text
            signed_in = await client.post("/token", data={"username": "ada", "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
            yield client


@pytest.fixture
def empty_database(servers: Servers) -> str:
    """A database without any table."""
    return servers.databases.blank()


@pytest.fixture
async def pods(
    image: Image, servers: Servers, empty_database: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Pods]:
    """The containers, a database without any table, and an empty folder as the storage claim."""
    manifests = rendered("dev")
    [claimed] = [
        mount["mountPath"]
        for mount in main_container(named(manifests, "Deployment", "headrace-worker"))["volumeMounts"]
        if mount["name"] != "tmp"
    ]
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, *image.user)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with (
        proxy.proxy_postgres(servers.embedded.postgres) as postgres,
        proxy.proxy_valkey(servers.embedded.valkey) as valkey,
    ):
        replaced = {
            "DATABASE_URL": proxy.postgres_url(postgres, empty_database),
            "REDIS_URL": proxy.redis_url(valkey),
            "SECRET_KEY": "made up for a test, and long enough",
            "WORKER_NAME": "worker-of-the-test",
            "METRICS_PORT": "0",
            "WORKER_PORT": "0",
        }
        yield Pods(image, manifests, Volume(volume, claimed), replaced, tmp_path, port)
