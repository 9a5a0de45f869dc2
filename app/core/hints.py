"""Hints to other processes, through Redis: "there is work", "this happened", "look at this job".

A hint is best effort by design: it is sent after the commit it announces, never waited for, and dropped while
Redis is unavailable. Postgres is the source of truth; the maintenance loops and the hub recover lost hints.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from redis.asyncio import ConnectionPool

from app.core import keys, metrics, queue
from app.core.errors import DatabaseUnavailable
from app.core.redis import (
    UNREACHABLE,
    Availability,
    Command,
    DedicatedConnection,
    Operation,
    first_error,
)
from app.core.signing import HintSigner

MAX_WAITING = 10_000
MAX_TOKENS_AT_ONCE = 1000
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class _Request:
    """Commands that are no hints, and the replies that a caller waits for, unless it was cancelled."""

    commands: Sequence[Command]
    replies: asyncio.Future[list[Any]]

    def answer(self, replies: Iterator[Any]) -> None:
        """Take the replies to its commands, which are the next ones."""
        own = list(islice(replies, len(self.commands)))
        if not self.replies.done():
            self.replies.set_result(own)

    def fail(self, error: Exception) -> None:
        """Have the caller raise an error."""
        if not self.replies.done():
            self.replies.set_exception(error)


class Hints:
    """Queues hints without waiting, and sends all queued ones in one write."""

    def __init__(self, pool: ConnectionPool, availability: Availability, signer: HintSigner) -> None:
        self._connection = DedicatedConnection(pool)
        self._signer = signer
        self._availability = availability
        self._messages: list[tuple[str, bytes]] = []
        self._tokens: Counter[str] = Counter()
        self._requests: list[_Request] = []
        self._waiting = asyncio.Event()
        self._flushing = asyncio.Lock()
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

    async def request(self, *commands: Command) -> list[Any]:
        """Send commands together with the hints that are queued, and return their replies.

        The reply to a command that fails is an error. Raises UNREACHABLE.
        """
        request = _Request(commands, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._waiting.set()
        return await request.replies

    async def let_wakes_leave(self) -> None:
        """Let the event loop write the wake tokens that are queued, without waiting for Redis.

        The sender runs in the loop's next iteration, and what it writes leaves at the end of that.
        """
        if self._tokens:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Send what is queued now, and wait for what is on its way.

        Hints that Redis does not accept are dropped and counted.
        """
        async with self._flushing:
            requests, self._requests = self._requests, []
            try:
                await self._flush(requests)
            finally:
                for request in requests:
                    request.replies.cancel()  # does nothing to one that is answered

    async def _flush(self, requests: Sequence[_Request]) -> None:
        messages, self._messages = self._messages, []
        tokens, self._tokens = self._tokens, Counter()
        if messages and not await self._can_sign():
            metrics.HINTS_DROPPED.inc(len(messages))
            messages = []
        hints = self._commands(messages, tokens)
        commands = [*hints, *(command for request in requests for command in request.commands)]
        if not commands:
            return
        try:
            replies = await self._connection.execute(commands)
        except UNREACHABLE as error:
            for request in requests:
                request.fail(error)
            failure: Exception | None = error
        else:
            failure = first_error(replies[: len(hints)])
            left = iter(replies[len(hints) :])
            for request in requests:
                request.answer(left)
        if failure is not None:
            metrics.HINTS_DROPPED.inc(len(messages) + tokens.total())
            self._availability.failed(failure, Operation.PUBLISH)
        elif hints:
            self._availability.succeeded(Operation.PUBLISH)

    def _commands(self, messages: Iterable[tuple[str, bytes]], tokens: Counter[str]) -> list[Command]:
        commands: list[Command] = []
        for name, count in tokens.items():
            commands += queue.token_commands(name, count)
        for channel, message in messages:
            commands.append(("PUBLISH", channel, self._signer.sign(channel.encode(), message)))
        if not self._availability.is_up:
            # A Redis that is read-only or out of memory still delivers messages.
            commands.append(("PSETEX", keys.PROBE, keys.PROBE_LIFETIME_SECONDS * 1000, b""))
        return commands
