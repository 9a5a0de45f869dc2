"""API and worker processes are replaced one by one while clients use them."""

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.core.database import Database
from tests.faults.balancer import Backend, Balancer, balancing
from tests.faults.conftest import System
from tests.faults.support import assert_consistent, wait_until_all_ended
from tests.k8s.rendering import environment, main_container, named, pod, rendered
from tests.support import rows, sse
from tests.support.apis import Api

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

PROCESSES = 2
CLIENTS = 4
FOLLOWERS = 2
SPREAD_SECONDS = 1.0
"""How long a balancer still sends connections to a pod that is to stop."""

WAIT_SECONDS = 10

UNENDING = 100_000
"""Batches of a job that runs until it is cancelled."""


@dataclass(frozen=True)
class Times:
    """What the manifest of the API says about stopping."""

    pre_stop_seconds: float
    stop_seconds: str
    grace_seconds: float

    @classmethod
    def from_manifest(cls) -> "Times":
        """Read the Deployment of the API."""
        manifests = rendered("production")
        deployment = named(manifests, "Deployment", "headrace-api")
        container = main_container(deployment)
        return cls(
            float(container["lifecycle"]["preStop"]["sleep"]["seconds"]),
            environment(manifests, container)["STOP_SECONDS"],
            float(pod(deployment)["terminationGracePeriodSeconds"]),
        )


@dataclass
class Clients:
    """Clients that submit, poll, wait for and follow jobs through a balancer, and note every answer."""

    url: str
    headers: dict[str, str]
    job_ids: list[UUID] = field(default_factory=list)
    followed: dict[UUID, list[int]] = field(default_factory=dict)
    cancelled: list[UUID] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    moves: Counter[UUID] = field(default_factory=Counter)
    """How often the stream of a job ended before the job."""

    are_done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Work until `are_done` is set, and then until the last streams have ended."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with (
            httpx.AsyncClient(
                base_url=self.url, headers=self.headers, timeout=120, limits=limits, trust_env=False
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(CLIENTS):
                group.create_task(self._submit_and_wait(client))
            for _ in range(FOLLOWERS):
                group.create_task(self._submit_and_follow(client))
            group.create_task(self._follow_throughout(client))

    async def _submit_and_wait(self, client: httpx.AsyncClient) -> None:
        while not self.are_done.is_set():
            job_id = await self._submit(client, batches=5)
            job: dict[str, Any] = {}
            while job.get("status") not in ("completed", "failed", "cancelled"):
                await self._request(client, "GET", f"/jobs/{job_id}")
                job = (await self._request(client, "GET", f"/jobs/{job_id}?wait={WAIT_SECONDS}")).json()

    async def _submit_and_follow(self, client: httpx.AsyncClient) -> None:
        while not self.are_done.is_set():
            job_id = await self._submit(client, batches=60)
            await self._follow_to_the_end(client, job_id)

    async def _follow_throughout(self, client: httpx.AsyncClient) -> None:
        """Follow one job all the time, so that its stream is open in a process that stops."""
        job_id = await self._submit(client, batches=UNENDING)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_to_the_end(client, job_id))
            await self.are_done.wait()
            self.cancelled.append(job_id)
            await self._request(client, "POST", f"/jobs/{job_id}/cancel")

    async def _follow_to_the_end(self, client: httpx.AsyncClient, job_id: UUID) -> None:
        seen = self.followed[job_id] = []
        while not await self._follow(client, job_id, seen):
            pass

    async def _submit(self, client: httpx.AsyncClient, *, batches: int) -> UUID:
        key = {"Idempotency-Key": str(uuid4())}
        body = {"batches": batches, "work_ms": 20}
        answer = await self._request(client, "POST", "/jobs/count", json=body, headers=key)
        job_id = UUID(answer.json()["job_id"])
        self.job_ids.append(job_id)
        return job_id

    async def _request(
        self, client: httpx.AsyncClient, method: str, path: str, **more: Any
    ) -> httpx.Response:
        """Send a request until it succeeds. A 503 may be repeated if it says when; nothing else may."""
        while True:
            try:
                answer = await client.request(method, path, **more)
            except httpx.TransportError as error:
                self.failures.append(f"{method} {path}: {error!r}")
                continue
            self.answers[answer.status_code] += 1
            if answer.is_success:
                return answer
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
            await asyncio.sleep(float(answer.headers.get("retry-after", 1)))

    async def _follow(self, client: httpx.AsyncClient, job_id: UUID, seen: list[int]) -> bool:
        """Follow a job from where the last stream ended. Returns whether the job has ended."""
        last = {"Last-Event-ID": str(seen[-1])} if seen else {}
        try:
            async with client.stream("GET", f"/jobs/{job_id}/stream", headers=last) as response:
                self.answers[response.status_code] += 1
                if response.status_code == 503 and "retry-after" in response.headers:
                    await asyncio.sleep(float(response.headers["retry-after"]))
                    return False
                if response.status_code != 200:
                    self.failures.append(f"stream of {job_id}: {response.status_code}")
                    return False
                async for event in sse.Stream(response).events():
                    if event.event in ("update", "complete"):
                        seen.append(event.json()["seq"])
                    if event.event == "complete":
                        return True
                self.moves[job_id] += 1
        except httpx.TransportError as error:
            self.failures.append(f"stream of {job_id}: {error!r}")
        return False


@dataclass
class Deployment:
    """The API processes behind a balancer."""

    system: System
    balancer: Balancer
    times: Times
    _running: list[tuple[Api, Backend, AsyncExitStack]] = field(default_factory=list)
    _started: int = 0

    async def start(self) -> None:
        """Start a process and wait until it is ready."""
        self._started += 1
        stack = AsyncExitStack()
        api = await stack.enter_async_context(
            self.system.api(f"api-{self._started}", METRICS_PORT="0", STOP_SECONDS=self.times.stop_seconds)
        )
        port = api.client.base_url.port
        assert port is not None
        backend = Backend(port, api.process.metrics_port)
        self._running.append((api, backend, stack))
        await self.balancer.add(backend)

    async def stop_oldest(self) -> None:
        """Stop a process as the kubelet does: it leaves the rotation while preStop sleeps, then SIGTERM."""
        api, backend, stack = self._running.pop(0)
        async with stack, asyncio.TaskGroup() as group:
            group.create_task(self.balancer.remove(backend, after_seconds=SPREAD_SECONDS))
            await asyncio.sleep(self.times.pre_stop_seconds)
            api.process.send(signal.SIGTERM)
            assert await api.process.wait(self.times.grace_seconds) == 0, api.process.log
            assert "Traceback" not in api.process.log, api.process.log

    async def close(self) -> None:
        """Stop all processes."""
        while self._running:
            await self.stop_oldest()


async def test_replacing_every_api_process_and_every_worker_loses_no_job_and_no_event(
    system: System, database: Database
) -> None:
    async with balancing() as balancer, AsyncExitStack() as old_workers:
        api = Deployment(system, balancer, Times.from_manifest())
        for _ in range(PROCESSES):
            await api.start()
        names = [f"old-{number}" for number in range(PROCESSES)]
        workers = [await old_workers.enter_async_context(system.worker(name)) for name in names]
        clients = Clients(balancer.url, system.headers)
        using = asyncio.create_task(clients.run())
        try:
            async with AsyncExitStack() as new_workers:
                for number, worker in enumerate(workers):
                    await api.start()
                    await api.stop_oldest()
                    await new_workers.enter_async_context(system.worker(f"new-{number}"))
                    worker.send(signal.SIGTERM)
                    assert await worker.wait() == 0, worker.log
                clients.are_done.set()
                await using
                await wait_until_all_ended(database, clients.job_ids)
        finally:
            using.cancel()
            await asyncio.gather(using, return_exceptions=True)
        await api.close()

    assert clients.failures == []
    assert set(clients.answers) <= {200, 202, 503}
    assert len(clients.job_ids) > CLIENTS + FOLLOWERS
    [followed_throughout] = clients.cancelled
    assert clients.moves[followed_throughout] > 0, "no stream was moved to another process"
    for job_id, seen in clients.followed.items():
        job = await rows.job(database, job_id)
        assert seen == list(range(1, job["last_seq"] + 1)), job_id
    for job_id in clients.job_ids:
        job = await rows.job(database, job_id)
        status = "cancelled" if job_id in clients.cancelled else "completed"
        assert (job["status"], job["failures"]) == (status, 0), dict(job)
    await assert_consistent(database, clients.job_ids)
