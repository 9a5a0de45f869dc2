"""Renews this worker's lease, and learns which running jobs are still its own.

One statement a second renews the lease and returns the jobs that run here according to Postgres. A job that
is missing from the result is lost; one whose cancellation is requested is stopped; one that is unknown here
was claimed by a statement whose reply was lost, and is released.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

import asyncpg
import structlog
from redis.asyncio import ConnectionPool, Redis

from app.core import database, keys, metrics
from app.core.backoff import delay_seconds
from app.core.errors import DatabaseUnavailable
from app.core.redis import UNREACHABLE, Availability
from app.core.signing import HintSigner
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import UNKNOWN_LOAD, HeldJob, WorkerIdentity, WorkerLoad
from app.jobs.workers.states import EngineState

LOAD_SECONDS: Final = 5.0
"""How often the load is measured: that takes longer than a renewal."""

log = structlog.get_logger(__name__)


class Revocable(Protocol):
    """A running attempt that can be stopped from outside."""

    def revoke_as_fenced(self) -> None:
        """Stop at once: the worker has lost the attempt."""

    def revoke_as_cancelled(self) -> None:
        """Stop at once: the job is being cancelled."""


class Releaser(Protocol):
    """Releases a job that runs here by mistake."""

    async def release(self, job_id: UUID, attempt: int) -> None:
        """End an attempt unfinished, so that the job is pending again."""


@dataclass
class Lease:
    """The lease of one worker, and the attempts that it covers."""

    worker: WorkerIdentity
    database_url: str
    heartbeat_seconds: float
    report_writer: Releaser
    lease_seconds: float = field(kw_only=True)
    clock: Callable[[], float] = field(default=monotonic, kw_only=True)
    measure_load: Callable[[], WorkerLoad] = field(default=lambda: UNKNOWN_LOAD, kw_only=True)
    engine_state: Callable[[], EngineState] = field(default=lambda: EngineState.READY, kw_only=True)
    load_seconds: float = field(default=LOAD_SECONDS, kw_only=True)
    _held: dict[tuple[UUID, int], Revocable] = field(default_factory=dict)
    _ending: set[tuple[UUID, int]] = field(default_factory=set)
    _claimed: set[tuple[UUID, int]] = field(default_factory=set)
    _claiming: dict[object, float] = field(default_factory=dict)
    """When each claim that is in flight was sent."""

    _unknown: dict[tuple[UUID, int], float] = field(default_factory=dict)
    """When a renewal first listed each attempt that this worker does not know."""

    _renew_now: asyncio.Event = field(default_factory=asyncio.Event)
    _connection: asyncpg.Connection | None = None
    _load: WorkerLoad = UNKNOWN_LOAD
    _load_measured_at: float = -math.inf
    _renewed_at: float | None = None

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Record during the body that a claim is in flight: the attempts that it starts are not known yet."""
        claim = object()
        self._claiming[claim] = self.clock()
        try:
            yield
        finally:
            del self._claiming[claim]

    @contextmanager
    def tracking_claim(self, job_id: UUID, attempt: int) -> Iterator[None]:
        """Record during the body that this worker has claimed the attempt, which may not have started yet."""
        self._claimed.add((job_id, attempt))
        try:
            yield
        finally:
            self._claimed.remove((job_id, attempt))

    @contextmanager
    def holding(self, job_id: UUID, attempt: int, revocable: Revocable) -> Iterator[None]:
        """Revoke this attempt during the body if the worker loses it."""
        self._held[job_id, attempt] = revocable
        try:
            yield
        finally:
            del self._held[job_id, attempt]
            self._ending.discard((job_id, attempt))

    def mark_ending(self, job_id: UUID, attempt: int) -> None:
        """Record that the statement that ends this attempt has been sent.

        If the attempt is missing from a later renewal, it has most likely ended itself. If not, the result
        of that statement tells.
        """
        self._ending.add((job_id, attempt))

    @property
    def held(self) -> int:
        """The number of attempts that run here."""
        return len(self._held)

    @property
    def is_current(self) -> bool:
        """Whether the last renewal is recent enough for this worker to keep its jobs."""
        return self._renewed_at is not None and self.clock() - self._renewed_at < self.lease_seconds

    @property
    def age_seconds(self) -> float:
        """The time since the last renewal; NaN before the first."""
        return math.nan if self._renewed_at is None else self.clock() - self._renewed_at

    async def register(self) -> None:
        """Register the worker, which it must do before it claims: jobs of unknown workers are rescued."""
        metrics.LEASE_AGE_SECONDS.set_function(lambda: self.age_seconds)
        await self._renew()

    async def keep_forever(self) -> None:
        """Renew the lease every heartbeat, and at once after a hint, until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    await self._renew()
                except DatabaseUnavailable as error:
                    failures += 1
                    if failures == 1:
                        log.warning("lease_not_renewed", error=repr(error.__cause__))
                    self._disconnect()
                    await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=self.heartbeat_seconds))
                    continue
                if failures:
                    log.info("lease_renewed", failures=failures)
                    failures = 0
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.heartbeat_seconds):
                        await self._renew_now.wait()
                self._renew_now.clear()
        finally:
            self._disconnect()

    async def listen_forever(
        self, pool: ConnectionPool, availability: Availability, signer: HintSigner
    ) -> None:
        """Renew at once when a hint says that a job here has changed, until cancelled."""
        while True:
            try:
                async with Redis(connection_pool=pool).pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(keys.worker(self.worker.id))
                    availability.succeeded()
                    while True:
                        message = await channel.get_message(timeout=2.0)
                        if message is None:
                            continue
                        await signer.load()
                        if signer.verify(message["channel"], message["data"]) is None:
                            metrics.HINTS_REFUSED.inc()
                        else:
                            self._renew_now.set()
            except DatabaseUnavailable:
                await asyncio.sleep(self.heartbeat_seconds)
            except UNREACHABLE as error:
                availability.failed(error)
                await asyncio.sleep(self.heartbeat_seconds)

    async def _renew(self) -> None:
        # Only attempts that were held before the statement was sent can be missing from its result.
        asked = dict(self._held)
        asked_at = self.clock()
        with database.unavailability():
            running = await workers.renew(
                await self._connect(), self.worker, self._current_load(), self.engine_state()
            )
        self._renewed_at = asked_at
        listed = {(job.id, job.attempt): job for job in running}
        for key, revocable in asked.items():
            if key not in self._held:
                continue
            if key not in listed:
                if key in self._ending:
                    continue
                log.warning("attempt_fenced", job_id=key[0], attempt=key[1])
                revocable.revoke_as_fenced()
            elif listed[key].is_cancel_requested:
                revocable.revoke_as_cancelled()
        await self._release_unknown(listed)

    def _current_load(self) -> WorkerLoad:
        """Return the load, which is measured less often than the lease is renewed."""
        if self.clock() - self._load_measured_at >= self.load_seconds:
            self._load_measured_at = self.clock()
            self._load = self.measure_load()
        return self._load

    async def _release_unknown(self, listed: dict[tuple[UUID, int], HeldJob]) -> None:
        """Release jobs that were unknown twice in a row and that no claim in flight can have started."""
        now = self.clock()
        oldest_claim = min(self._claiming.values(), default=math.inf)
        unknown = listed.keys() - self._held.keys() - self._claimed
        lost = {key for key in unknown if self._unknown.get(key, math.inf) < oldest_claim}
        self._unknown = {key: self._unknown.get(key, now) for key in unknown - lost}
        for job_id, attempt in lost:
            log.warning("claim_reply_lost", job_id=job_id, attempt=attempt)
            await self.report_writer.release(job_id, attempt)

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            # Shorter than the lease: a renewal that hangs must fail while there is still time for another.
            self._connection = await database.connect(
                self.database_url, command_timeout=2 * self.heartbeat_seconds
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
