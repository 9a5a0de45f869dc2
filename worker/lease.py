"""Keeps this worker's lease, and with it knows which running jobs are still its own.

One statement a second says "alive" and hears back what Postgres thinks is running here. A job missing from
the answer belongs to somebody else by now; one with a cancel is to be stopped; one that nobody here knows
of was claimed by a statement whose reply was lost, and is given back.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog
from redis.asyncio import ConnectionPool, Redis

from app.core import database, keys, metrics
from app.core.backoff import delay_seconds
from app.core.errors import DatabaseUnavailable
from app.core.redis import UNREACHABLE, Availability
from app.core.signing import HintSigner
from app.jobs import leases
from app.jobs.leases import HeldJob, WorkerIdentity

log = structlog.get_logger(__name__)


class Revocable(Protocol):
    """A job that runs here and can be taken away."""

    def revoke_as_fenced(self) -> None:
        """Stop at once: the attempt is no longer ours."""

    def revoke_as_cancelled(self) -> None:
        """Stop at once: the job is to be cancelled."""


class GiveBack(Protocol):
    """Gives a job back that is ours by mistake."""

    async def release(self, job_id: UUID, attempt: int) -> None:
        """Give a job back unfinished."""


@dataclass
class Lease:
    """The lease of one worker and the jobs that hang on it."""

    worker: WorkerIdentity
    database_url: str
    heartbeat_seconds: float
    report_writer: GiveBack
    lease_seconds: float = field(kw_only=True)
    clock: Callable[[], float] = field(default=monotonic, kw_only=True)
    _held: dict[tuple[UUID, int], Revocable] = field(default_factory=dict)
    _settling: set[tuple[UUID, int]] = field(default_factory=set)
    _claimed: set[tuple[UUID, int]] = field(default_factory=set)
    _unknown: set[tuple[UUID, int]] = field(default_factory=set)
    _look: asyncio.Event = field(default_factory=asyncio.Event)
    _connection: asyncpg.Connection | None = None
    _renewed_at: float | None = None

    @contextmanager
    def knowing(self, job_id: UUID, attempt: int) -> Iterator[None]:
        """Have this attempt count as ours during the body, also while it waits to start."""
        self._claimed.add((job_id, attempt))
        try:
            yield
        finally:
            self._claimed.remove((job_id, attempt))

    @contextmanager
    def holding(self, job_id: UUID, attempt: int, revocable: Revocable) -> Iterator[None]:
        """Have this attempt watched during the body."""
        self._held[job_id, attempt] = revocable
        try:
            yield
        finally:
            del self._held[job_id, attempt]
            self._settling.discard((job_id, attempt))

    def settling(self, job_id: UUID, attempt: int) -> None:
        """Note that the statement which ends this attempt is on its way.

        That the attempt is no longer listed then is most likely its own doing. If it is not, the answer to
        that statement says so.
        """
        self._settling.add((job_id, attempt))

    @property
    def held(self) -> int:
        """How many attempts run here."""
        return len(self._held)

    @property
    def is_current(self) -> bool:
        """Whether the last renewal is recent enough for this worker to keep its jobs."""
        return self._renewed_at is not None and self.clock() - self._renewed_at < self.lease_seconds

    async def register(self) -> None:
        """Make the worker known. It must be, before it claims: a job of an unknown worker is rescued."""
        await self._renew()

    async def keep_forever(self) -> None:
        """Renew the lease each heartbeat, and at once when told to look, until cancelled."""
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
                        await self._look.wait()
                self._look.clear()
        finally:
            self._disconnect()

    async def listen_forever(
        self, pool: ConnectionPool, availability: Availability, signer: HintSigner
    ) -> None:
        """Look at once when a hint says that something about a job here has changed, until cancelled."""
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
                            self._look.set()
            except DatabaseUnavailable:
                await asyncio.sleep(self.heartbeat_seconds)
            except UNREACHABLE as error:
                availability.failed(error)
                await asyncio.sleep(self.heartbeat_seconds)

    async def _renew(self) -> None:
        # Only what was held before the question can be missing from the answer.
        asked = dict(self._held)
        asked_at = self.clock()
        with database.unavailability():
            answer = await leases.renew(await self._connected(), self.worker)
        self._renewed_at = asked_at
        listed = {(job.id, job.attempt): job for job in answer}
        for key, revocable in asked.items():
            if key not in self._held:
                continue
            if key not in listed:
                if key in self._settling:
                    continue
                log.warning("attempt_fenced", job_id=key[0], attempt=key[1])
                revocable.revoke_as_fenced()
            elif listed[key].is_cancel_requested:
                revocable.revoke_as_cancelled()
        await self._give_back_unknown(listed)

    async def _give_back_unknown(self, listed: dict[tuple[UUID, int], HeldJob]) -> None:
        """Twice in a row unknown here means that no claim of it is still on its way."""
        unknown = listed.keys() - self._held.keys() - self._claimed
        for job_id, attempt in unknown & self._unknown:
            log.warning("claim_reply_lost", job_id=job_id, attempt=attempt)
            await self.report_writer.release(job_id, attempt)
        self._unknown = unknown - self._unknown

    async def _connected(self) -> asyncpg.Connection:
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
