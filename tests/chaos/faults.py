"""Faults that a drill injects into real processes and servers.

Each fault records when it was injected and which jobs it affected, and repairs what it broke.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final, TypeAlias
from uuid import UUID

import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.errors import DatabaseUnavailable
from tests.chaos.cluster import STOP_SECONDS, Cluster, ManagedProcess, Server
from tests.support import rows
from tests.support.waiting import until

START_SECONDS: Final = 60.0
LOST_REPLY_SECONDS: Final = 10.0
"""Timeout for the worker to execute the statement whose reply is lost."""

_RUNNING_ON: Final = """
SELECT j.id, j.attempt FROM jobs j JOIN workers w ON w.id = j.worker_id
WHERE j.status = 'running' AND w.pid = $1"""
_RUNNING: Final = "SELECT id, attempt FROM jobs WHERE status = 'running' AND shards IS NULL"
_WAITING: Final = (
    "SELECT id, attempt FROM jobs WHERE status = 'pending' AND run_at <= now() AND shards IS NULL"
)


class Recovery(Enum):
    """When an affected job counts as recovered."""

    ELSEWHERE = auto()  # a later attempt has started, or the job has ended
    PROGRESS = auto()  # it has started, committed something or ended
    STARTED = auto()  # the first of the waiting jobs has started
    ANSWER = auto()  # no job was affected: the API accepts jobs again


@dataclass
class Injection:
    """One injected fault and the affected jobs, each with the attempt that was running."""

    fault: str
    at: datetime
    recovery: Recovery
    hit: dict[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultContext:
    """Input of a fault: the system, its random numbers, and where to record what happened."""

    cluster: Cluster
    fault: str
    number: int
    share: float
    injections: list[Injection]
    surprises: list[str]

    @property
    def longer_than_a_lease(self) -> float:
        return self.cluster.settings.lease_seconds * (1.6 + self.share)

    async def prepare(self, recovery: Recovery, query: str, *arguments: object) -> Injection:
        """Create the record with the jobs that will be affected; none if Postgres is unavailable too."""
        injection = Injection(self.fault, datetime.now(UTC), recovery)
        with suppress(DatabaseUnavailable):
            for row in await rows.fetch(self.cluster.database, query, *arguments):
                injection.hit[row["id"]] = row["attempt"]
        return injection

    def record(self, injection: Injection) -> None:
        """Record that the fault has been injected now."""
        injection.at = datetime.now(UTC)
        self.injections.append(injection)


# Workers


async def kill_worker(worker: ManagedProcess, context: FaultContext) -> None:
    """Kill the worker and restart it."""
    injection = await context.prepare(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    await worker.kill()
    context.record(injection)
    await asyncio.sleep(2 * context.share)
    await worker.start()


async def stop_worker(worker: ManagedProcess, context: FaultContext) -> None:
    """Send SIGTERM, as in a deployment, and restart the worker."""
    await until(worker.is_up, seconds=START_SECONDS)
    injection = await context.prepare(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    worker.send(signal.SIGTERM)
    context.record(injection)
    if (exit_code := await worker.wait()) != 0:
        context.surprises.append(f"{worker.name}: exit code {exit_code} within {STOP_SECONDS} s of SIGTERM")
        await worker.kill()
    await worker.start()


async def freeze_worker(worker: ManagedProcess, context: FaultContext) -> None:
    """Send SIGSTOP and, after more than the lease, SIGCONT."""
    injection = await context.prepare(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    worker.send(signal.SIGSTOP)
    context.record(injection)
    try:
        await asyncio.sleep(context.longer_than_a_lease)
    finally:
        worker.send(signal.SIGCONT)


async def kill_child(worker: ManagedProcess, context: FaultContext) -> None:
    """Kill one child process."""
    await _kill_one(worker.children()[1:], worker, context)


async def kill_fork_server(worker: ManagedProcess, context: FaultContext) -> None:
    """Kill the worker's fork server and, with it, all its children."""
    await _kill_one(worker.children()[:1], worker, context)


async def _kill_one(victims: list[psutil.Process], worker: ManagedProcess, context: FaultContext) -> None:
    if not victims:  # they are still starting
        return
    # The victim's job is unknown, so all jobs of the worker count as affected; unaffected ones recover with
    # their next batch.
    injection = await context.prepare(Recovery.PROGRESS, _RUNNING_ON, worker.pid)
    with suppress(psutil.NoSuchProcess):
        victims[int(context.share * len(victims))].kill()
    context.record(injection)


# The network between one worker and Postgres


async def cut_connections(worker: ManagedProcess, context: FaultContext) -> None:
    """Reset all connections; new ones succeed."""
    injection = await context.prepare(Recovery.PROGRESS, _RUNNING_ON, worker.pid)
    context.cluster.network.cut()
    context.record(injection)


async def lose_reply(worker: ManagedProcess, context: FaultContext) -> None:
    """Break the connection between a COMMIT and its reply."""
    text = ("WITH reports AS", "WITH next AS")[context.number % 2]
    injection = await context.prepare(Recovery.PROGRESS, _RUNNING_ON, worker.pid)
    happened = context.cluster.network.lose_reply(text)
    with suppress(TimeoutError):
        async with asyncio.timeout(LOST_REPLY_SECONDS):
            await happened.wait()
            context.record(injection)


async def partition(worker: ManagedProcess, context: FaultContext) -> None:
    """Refuse or black-hole the connections for longer than the lease."""
    network = context.cluster.network
    injection = await context.prepare(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    try:
        if context.number % 2:
            network.blackhole()
        else:
            await network.refuse()
        context.record(injection)
        await asyncio.sleep(context.longer_than_a_lease)
    finally:
        network.resume()
        await network.accept()


# Servers and APIs


async def flush_redis(_valkey: Server, context: FaultContext) -> None:
    """Delete everything in Redis."""
    injection = await context.prepare(Recovery.STARTED, _WAITING)
    with suppress(RedisError, OSError):
        async with Redis.from_url(context.cluster.settings.redis_url) as redis:
            await redis.flushall()
    context.record(injection)


async def restart_redis(valkey: Server, context: FaultContext) -> None:
    """Kill Valkey; it restarts empty."""
    injection = await context.prepare(Recovery.STARTED, _WAITING)
    await valkey.kill()
    context.record(injection)
    try:
        await asyncio.sleep(3 * context.share)
    finally:
        await valkey.start()


async def restart_postgres(postgres: Server, context: FaultContext) -> None:
    """Kill Postgres with all its backends; it recovers from its WAL."""
    injection = await context.prepare(Recovery.PROGRESS, _RUNNING)
    await postgres.kill()
    context.record(injection)
    try:
        await asyncio.sleep(2 * context.share)
    finally:
        await postgres.start()


async def restart_api(api: ManagedProcess, context: FaultContext) -> None:
    """Kill an API process with its requests and streams."""
    await api.kill()
    context.record(Injection(context.fault, datetime.now(UTC), Recovery.ANSWER))
    await asyncio.sleep(context.share)
    await api.start()


# Victims


def _any_worker(cluster: Cluster, number: int) -> ManagedProcess:
    return cluster.workers[number % len(cluster.workers)]


def _proxied_worker(cluster: Cluster, _number: int) -> ManagedProcess:
    return cluster.proxied_worker


def _any_api(cluster: Cluster, number: int) -> ManagedProcess:
    return cluster.apis[number % len(cluster.apis)]


@dataclass(frozen=True)
class ProcessFault:
    """A fault that is injected into a process."""

    victim: Callable[[Cluster, int], ManagedProcess]
    inject: Callable[[ManagedProcess, FaultContext], Awaitable[None]]


@dataclass(frozen=True)
class ServerFault:
    """A fault that is injected into a server."""

    victim: Callable[[Cluster, int], Server]
    inject: Callable[[Server, FaultContext], Awaitable[None]]


Fault: TypeAlias = ProcessFault | ServerFault

FAULTS: Final[dict[str, Fault]] = {
    "SIGKILL a worker": ProcessFault(_any_worker, kill_worker),
    "SIGTERM a worker": ProcessFault(_any_worker, stop_worker),
    "freeze a worker": ProcessFault(_any_worker, freeze_worker),
    "kill a child": ProcessFault(_any_worker, kill_child),
    "kill a fork server": ProcessFault(_any_worker, kill_fork_server),
    "cut connections": ProcessFault(_proxied_worker, cut_connections),
    "lose a reply": ProcessFault(_proxied_worker, lose_reply),
    "cut a worker off": ProcessFault(_proxied_worker, partition),
    "FLUSHALL": ServerFault(lambda cluster, _: cluster.valkey, flush_redis),
    "restart Valkey": ServerFault(lambda cluster, _: cluster.valkey, restart_redis),
    "restart Postgres": ServerFault(lambda cluster, _: cluster.postgres, restart_postgres),
    "SIGKILL an API": ProcessFault(_any_api, restart_api),
}
