"""Hints to other processes, through Redis: "there is work", "this happened", "look at this job".

A hint is best effort by design: it is sent after the commit it announces, never waited for, and dropped while
Redis is unavailable. Postgres is the source of truth; the maintenance loops and the hub recover lost hints.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from redis.asyncio import ConnectionPool

from app.core import keys, metrics, queue
from app.core.errors import DatabaseUnavailable
from app.core.redis import UNREACHABLE, Availability, Operation
from app.core.signing import HintSigner

MAX_WAITING = 10_000
MAX_TOKENS_AT_ONCE = 1000
PROBE_SECONDS = 1.0


class Hints:
    """Queues hints without waiting, and sends all queued ones in one pipeline."""

    def __init__(self, pool: ConnectionPool, availability: Availability, signer: HintSigner) -> None:
        self._client = queue.client(pool)
        self._signer = signer
        self._availability = availability
        self._messages: list[tuple[str, bytes]] = []
        self._tokens: Counter[str] = Counter()
        self._waiting = asyncio.Event()
        self._last_success = metrics.LOOP_LAST_SUCCESS.labels("hints")

    def wake(self, queue_name: str, tokens: int = 1) -> None:
        """Announce that `tokens` jobs wait in a queue."""
        room = MAX_TOKENS_AT_ONCE - self._tokens[queue_name]
        self._tokens[queue_name] += min(tokens, room)
        self._waiting.set()

    def publish_events(self, owner_id: UUID, events: Iterable[bytes]) -> None:
        """Publish events, which must be committed."""
        self._publish(keys.events(owner_id), events)

    def notify_worker(self, worker_id: UUID, job_id: UUID) -> None:
        """Tell a worker that one of its running jobs has changed."""
        self._publish(keys.worker(worker_id), (job_id.bytes,))

    def _publish(self, channel: str, messages: Iterable[bytes]) -> None:
        for message in messages:
            if len(self._messages) >= MAX_WAITING:
                metrics.HINTS_DROPPED.inc()
                continue
            self._messages.append((channel, message))
        self._waiting.set()

    async def _can_sign(self) -> bool:
        try:
            await self._signer.load()
        except DatabaseUnavailable:
            return False
        return True

    async def send_forever(self) -> None:
        """Send queued hints until cancelled. While Redis is unavailable, probe it every second."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._waiting.wait()
            self._waiting.clear()
            await self.flush()
            if self._availability.is_up:
                self._last_success.set_to_current_time()

    async def flush(self) -> None:
        """Send the hints that are queued now. What Redis does not accept is dropped and counted."""
        messages, self._messages = self._messages, []
        tokens, self._tokens = self._tokens, Counter()
        is_away = not self._availability.is_up
        if messages and not await self._can_sign():
            metrics.HINTS_DROPPED.inc(len(messages))
            messages = []
        if not messages and not tokens and not is_away:
            return
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for name, count in tokens.items():
                    queue.add_tokens(pipe, name, count)
                for channel, message in messages:
                    pipe.publish(channel, self._signer.sign(channel.encode(), message))
                if is_away:
                    # A Redis that is read-only or out of memory still delivers messages.
                    pipe.psetex(keys.PROBE, keys.PROBE_LIFETIME_SECONDS * 1000, b"")
                await pipe.execute()
        except UNREACHABLE as error:
            metrics.HINTS_DROPPED.inc(len(messages) + tokens.total())
            self._availability.failed(error, Operation.PUBLISH)
        else:
            self._availability.succeeded(Operation.PUBLISH)
