"""Outages of Redis: jobs are still accepted, start and complete exactly once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis

from app.core.config import Settings
from app.core.database import Database
from app.embedded.valkey import EmbeddedValkey
from tests.faults.conftest import System
from tests.faults.support import (
    END_SECONDS,
    assert_consistent,
    outcomes,
    submit,
    until_job,
    wait_until_all_ended,
    wait_until_ended,
)
from tests.support import proxy, rows
from tests.support.proxy import Proxy
from tests.support.waiting import until

SUBMIT_SECONDS = 15.0
"""For five jobs. An attempt to reach Redis times out after about three seconds, which delays a request."""

Outage = Callable[[EmbeddedValkey, Proxy], AbstractAsyncContextManager[None]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with a lease that no busy machine lets expire: no worker is lost here."""
    return settings.model_copy(update={"lease_seconds": 60.0})


@asynccontextmanager
async def killed(valkey: EmbeddedValkey, _network: Proxy) -> AsyncIterator[None]:
    """Valkey restarts empty."""
    await asyncio.to_thread(valkey.kill)
    yield
    await asyncio.to_thread(valkey.start)


@asynccontextmanager
async def refused(_valkey: EmbeddedValkey, network: Proxy) -> AsyncIterator[None]:
    await network.refuse()
    yield
    await network.accept()


@asynccontextmanager
async def blackholed(_valkey: EmbeddedValkey, network: Proxy) -> AsyncIterator[None]:
    network.blackhole()
    yield
    network.resume()


@asynccontextmanager
async def slow(_valkey: EmbeddedValkey, network: Proxy) -> AsyncIterator[None]:
    network.delay_seconds = 1.0
    yield
    network.delay_seconds = 0.0


@asynccontextmanager
async def out_of_memory(valkey: EmbeddedValkey, _network: Proxy) -> AsyncIterator[None]:
    """Valkey serves reads and subscriptions, but no writes."""
    async with Redis.from_url(valkey.url) as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", "1")
        yield
        await client.config_set("maxmemory", "0")


@asynccontextmanager
async def read_only(valkey: EmbeddedValkey, _network: Proxy) -> AsyncIterator[None]:
    """Valkey is a replica of a missing primary, as after a failed failover."""
    async with Redis.from_url(valkey.url) as client:
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        yield
        await client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.fixture
def behind_network(system: System, redis_proxy: Proxy) -> System:
    """The system with the proxy between it and Redis."""
    url = proxy.redis_url(redis_proxy)
    return replace(system, settings=system.settings.model_copy(update={"redis_url": url}))


@pytest.mark.parametrize("outage", [killed, refused, blackholed, slow, out_of_memory, read_only])
async def test_jobs_are_accepted_and_run_during_any_outage_of_redis(
    behind_network: System,
    database: Database,
    valkey: EmbeddedValkey,
    redis_proxy: Proxy,
    outage: Outage,
) -> None:
    async with behind_network.api() as api, behind_network.worker() as worker:
        before = await submit(api.client, batches=3)
        await wait_until_ended(database, before)
        async with outage(valkey, redis_proxy):
            async with asyncio.timeout(SUBMIT_SECONDS):
                during = [await submit(api.client, batches=20, work_ms=30) for _ in range(5)]
            for job in await wait_until_all_ended(database, during):
                assert await outcomes(database, job["id"]) == ["completed"]
            stuck = await submit(api.client, "loop", batches=1)
            await until_job(database, stuck, "next_batch = 1")
            answer = await api.client.delete(f"/jobs/{stuck}")
            assert (answer.status_code, answer.json()["message"]) == (200, "Job cancelled")
        after = [await submit(api.client, batches=3) for _ in range(5)]
        for job in await wait_until_all_ended(database, after):
            assert (job["status"], job["attempt"]) == ("completed", 1)
        await _until_redis_recovers(api.client)
        assert worker.is_running
        for process in (worker, api.process):
            changes = process.log.count("redis_unavailable"), process.log.count("redis_recovered")
            # One line per change; a process that did not use Redis meanwhile may have noticed neither.
            assert changes in ((1, 1), (1, 0), (0, 0)), process.log
            assert "Traceback" not in process.log

    await assert_consistent(database, [before, *during, stuck, *after])


async def _until_redis_recovers(client: httpx.AsyncClient) -> None:
    async def is_connected() -> bool:
        return bool((await client.get("/health")).json()["redis_connected"])

    await until(is_connected)


async def test_a_system_that_starts_without_redis_works_and_connects_later(
    behind_network: System, database: Database, redis_proxy: Proxy
) -> None:
    await redis_proxy.refuse()
    async with behind_network.api() as api, behind_network.worker():
        without = [await submit(api.client, batches=3) for _ in range(5)]
        await wait_until_all_ended(database, without)
        await redis_proxy.accept()
        await _until_redis_recovers(api.client)
        found = await submit(api.client, batches=3)
        await wait_until_ended(database, found)

    await assert_consistent(database, [*without, found])


async def test_flushing_redis_with_hundreds_of_jobs_in_the_queue_loses_none(
    system: System, database: Database, valkey: EmbeddedValkey
) -> None:
    async with system.api() as api, system.worker() as worker:
        answer = await api.client.post(
            "/jobs/bulk", json={"jobs": [{"kind": "count", "batches": 2, "work_ms": 5} for _ in range(300)]}
        )
        assert answer.status_code == 202, answer.text
        job_ids = [row["id"] for row in await rows.fetch(database, "SELECT id FROM jobs")]
        assert len(job_ids) == 300
        async with Redis.from_url(valkey.url) as client:
            for ended_jobs in (5, 50, 120):
                await _until_ended(database, ended_jobs)
                await client.flushall()
        jobs = await wait_until_all_ended(database, job_ids)
        # The worker does not mistake the end of its own attempt for a lost lease.
        assert "attempt_fenced" not in worker.log

    assert {(job["status"], job["attempt"]) for job in jobs} == {("completed", 1)}
    await assert_consistent(database, job_ids)


async def _until_ended(database: Database, jobs: int) -> None:
    async def are_completed() -> bool:
        completed: int = await rows.value(database, "SELECT count(*) FROM jobs WHERE status = 'completed'")
        return completed >= jobs

    await until(are_completed, seconds=END_SECONDS)


async def test_foreign_tokens_in_the_queue_are_dropped(
    system: System, database: Database, valkey: EmbeddedValkey
) -> None:
    """Tokens without a payload, with a pickle or with garbage are neither run nor do they block the queue."""
    async with system.api() as api, system.worker() as worker, Redis.from_url(valkey.url) as client:
        key = "headrace:queue:default"
        for number, payload in enumerate((b"\x80\x04N.", b"{}", b"\xff\xfe", b'{"f": "os.system"}', None)):
            if payload is not None:
                await client.set(f"arq:job:stranger-{number}", payload)
            await client.zadd(key, {f"stranger-{number}": 0})
        jobs: list[UUID] = [await submit(api.client, batches=3) for _ in range(5)]
        for job in await wait_until_all_ended(database, jobs):
            assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running

    await assert_consistent(database, jobs)
