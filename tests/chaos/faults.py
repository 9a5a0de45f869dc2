"""What goes wrong in a drill, done to real processes and servers.

Each fault takes its victim, notes the moment it strikes with the jobs it hits, and mends what it broke.
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
from tests.chaos.world import STOP_SECONDS, Part, Server, World
from tests.support import rows
from tests.support.waiting import until

START_SECONDS: Final = 60.0
LOST_REPLY_SECONDS: Final = 10.0
"""How long the worker may take to come to the statement whose reply is lost."""

_RUNNING_ON: Final = """
SELECT j.id, j.attempt FROM jobs j JOIN workers w ON w.id = j.worker_id
WHERE j.status = 'running' AND w.pid = $1"""
_RUNNING: Final = "SELECT id, attempt FROM jobs WHERE status = 'running'"
_WAITING: Final = "SELECT id, attempt FROM jobs WHERE status = 'pending' AND run_at <= now()"


class Recovery(Enum):
    """When a job that was hit counts as well again."""

    ELSEWHERE = auto()  # a later attempt has started, or the job has ended
    PROGRESS = auto()  # it has started, committed something, or ended
    STARTED = auto()  # the first of those that wait has started
    ANSWER = auto()  # no job was hit: the API acknowledges work again


@dataclass
class Strike:
    """One fault that happened, and the jobs that it hit, each with the attempt that ran then."""

    fault: str
    at: datetime
    recovery: Recovery
    hit: dict[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Blow:
    """All that a fault needs: where it strikes, and its share of chance."""

    world: World
    fault: str
    number: int
    share: float
    strikes: list[Strike]
    surprises: list[str]

    @property
    def longer_than_a_lease(self) -> float:
        return self.world.settings.lease_seconds * (1.6 + self.share)

    async def about_to(self, recovery: Recovery, query: str, *arguments: object) -> Strike:
        """A strike, with those it is going to hit; nobody is known if Postgres is away as well."""
        strike = Strike(self.fault, datetime.now(UTC), recovery)
        with suppress(DatabaseUnavailable):
            for row in await rows.fetch(self.world.database, query, *arguments):
                strike.hit[row["id"]] = row["attempt"]
        return strike

    def happened(self, strike: Strike) -> None:
        """It has struck, just now."""
        strike.at = datetime.now(UTC)
        self.strikes.append(strike)


# Workers


async def kill_worker(worker: Part, blow: Blow) -> None:
    """SIGKILL."""
    strike = await blow.about_to(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    await worker.kill()
    blow.happened(strike)
    await asyncio.sleep(2 * blow.share)
    await worker.start()


async def stop_worker(worker: Part, blow: Blow) -> None:
    """SIGTERM, as in a deploy."""
    await until(worker.is_up, seconds=START_SECONDS)
    strike = await blow.about_to(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    worker.send(signal.SIGTERM)
    blow.happened(strike)
    if (exit_code := await worker.wait()) != 0:
        blow.surprises.append(f"{worker.name}: exit code {exit_code} within {STOP_SECONDS} s of SIGTERM")
        await worker.kill()
    await worker.start()


async def freeze_worker(worker: Part, blow: Blow) -> None:
    """SIGSTOP for longer than the lease, then SIGCONT."""
    strike = await blow.about_to(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    worker.send(signal.SIGSTOP)
    blow.happened(strike)
    try:
        await asyncio.sleep(blow.longer_than_a_lease)
    finally:
        worker.send(signal.SIGCONT)


async def kill_child(worker: Part, blow: Blow) -> None:
    """SIGKILL to one process that runs jobs."""
    await _kill_one(worker.children()[1:], worker, blow)


async def kill_fork_server(worker: Part, blow: Blow) -> None:
    """SIGKILL to the process that all children of a worker come from, and with it to all of them."""
    await _kill_one(worker.children()[:1], worker, blow)


async def _kill_one(victims: list[psutil.Process], worker: Part, blow: Blow) -> None:
    if not victims:  # they are just being started
        return
    # Which job a process runs is not known: the others go on, and count as recovered with their next batch.
    strike = await blow.about_to(Recovery.PROGRESS, _RUNNING_ON, worker.pid)
    with suppress(psutil.NoSuchProcess):
        victims[int(blow.share * len(victims))].kill()
    blow.happened(strike)


# The network between one worker and Postgres


async def cut_connections(worker: Part, blow: Blow) -> None:
    """Every connection is reset; new ones are welcome."""
    strike = await blow.about_to(Recovery.PROGRESS, _RUNNING_ON, worker.pid)
    blow.world.network.cut()
    blow.happened(strike)


async def lose_reply(worker: Part, blow: Blow) -> None:
    """The connection breaks between a COMMIT and its reply."""
    text = ("WITH reports AS", "WITH next AS")[blow.number % 2]
    strike = await blow.about_to(Recovery.PROGRESS, _RUNNING_ON, worker.pid)
    happened = blow.world.network.lose_reply(text)
    with suppress(TimeoutError):
        async with asyncio.timeout(LOST_REPLY_SECONDS):
            await happened.wait()
            blow.happened(strike)


async def partition(worker: Part, blow: Blow) -> None:
    """For longer than the lease nothing gets through: refused, or swallowed without a word."""
    network = blow.world.network
    strike = await blow.about_to(Recovery.ELSEWHERE, _RUNNING_ON, worker.pid)
    try:
        if blow.number % 2:
            network.swallow()
        else:
            await network.refuse()
        blow.happened(strike)
        await asyncio.sleep(blow.longer_than_a_lease)
    finally:
        network.flow()
        await network.accept()


# Servers and APIs


async def flush_redis(_valkey: Server, blow: Blow) -> None:
    """FLUSHALL."""
    strike = await blow.about_to(Recovery.STARTED, _WAITING)
    with suppress(RedisError, OSError):
        async with Redis.from_url(blow.world.settings.redis_url) as redis:
            await redis.flushall()
    blow.happened(strike)


async def restart_redis(valkey: Server, blow: Blow) -> None:
    """It is killed, and comes back with nothing in it."""
    strike = await blow.about_to(Recovery.STARTED, _WAITING)
    await valkey.kill()
    blow.happened(strike)
    try:
        await asyncio.sleep(3 * blow.share)
    finally:
        await valkey.start()


async def restart_postgres(postgres: Server, blow: Blow) -> None:
    """It is killed with all its backends, and recovers from its log."""
    strike = await blow.about_to(Recovery.PROGRESS, _RUNNING)
    await postgres.kill()
    blow.happened(strike)
    try:
        await asyncio.sleep(2 * blow.share)
    finally:
        await postgres.start()


async def restart_api(api: Part, blow: Blow) -> None:
    """SIGKILL to an API process, and to its streams with it."""
    await api.kill()
    blow.happened(Strike(blow.fault, datetime.now(UTC), Recovery.ANSWER))
    await asyncio.sleep(blow.share)
    await api.start()


# Who can be hit by what


def _any_worker(world: World, number: int) -> Part:
    return world.workers[number % len(world.workers)]


def _far_worker(world: World, _number: int) -> Part:
    return world.far_worker


def _any_api(world: World, number: int) -> Part:
    return world.apis[number % len(world.apis)]


@dataclass(frozen=True)
class ProcessFault:
    """A fault of a process."""

    victim: Callable[[World, int], Part]
    strike: Callable[[Part, Blow], Awaitable[None]]


@dataclass(frozen=True)
class ServerFault:
    """A fault of a server."""

    victim: Callable[[World, int], Server]
    strike: Callable[[Server, Blow], Awaitable[None]]


Fault: TypeAlias = ProcessFault | ServerFault

FAULTS: Final[dict[str, Fault]] = {
    "SIGKILL a worker": ProcessFault(_any_worker, kill_worker),
    "SIGTERM a worker": ProcessFault(_any_worker, stop_worker),
    "freeze a worker": ProcessFault(_any_worker, freeze_worker),
    "kill a child": ProcessFault(_any_worker, kill_child),
    "kill a fork server": ProcessFault(_any_worker, kill_fork_server),
    "cut connections": ProcessFault(_far_worker, cut_connections),
    "lose a reply": ProcessFault(_far_worker, lose_reply),
    "cut a worker off": ProcessFault(_far_worker, partition),
    "FLUSHALL": ServerFault(lambda world, _: world.valkey, flush_redis),
    "restart Valkey": ServerFault(lambda world, _: world.valkey, restart_redis),
    "restart Postgres": ServerFault(lambda world, _: world.postgres, restart_postgres),
    "SIGKILL an API": ProcessFault(_any_api, restart_api),
}
