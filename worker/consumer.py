"""Consume wake tokens from the Redis queues and call `run_next` for each.

A subclass of ARQ's worker that changes how tokens are consumed:

-   ARQ polls every half second. This blocks in BZMPOP until a token arrives, so that a job starts within
    milliseconds, and an idle worker sends one command per second.
-   ARQ leaves the ids of running jobs in its sorted set, where every idle worker tries them again. Here a
    token is removed from the set, atomically, when it is taken.
-   ARQ counts a slot as used before a pipeline that may raise. Here the tasks are counted.
-   ARQ reads the content of a token. Here it is ignored, because anyone with access to Redis can forge it.
    Only the queue of a token matters. Other keys that belong to it are deleted unread.
-   ARQ takes tokens one by one from one loop. Here each slot takes the next token as soon as it is free,
    and many at once while tokens turn out to have no job.

While Redis is unavailable, free slots claim from Postgres directly, once per second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final, cast

import structlog
from arq.constants import job_key_prefix, retry_key_prefix
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool

from app.core import keys, metrics, queue
from app.core.hints import Hints
from app.core.redis import UNREACHABLE, Availability, Command, DedicatedConnection, Operation, first_error

BLOCK_SECONDS: Final = 1.0
POLL_SECONDS: Final = 1.0
"""How often to claim from Postgres, and to retry Redis, while Redis is unavailable."""

EMPTY_SECONDS: Final = 0.002
"""Backoff after a token without a job, times the number of such tokens in a row."""

MANY_EMPTY: Final = 20
"""After this many tokens in a row without a job, take TOKENS_AT_ONCE."""

TOKENS_AT_ONCE: Final = 1000
_NO_TIMEOUT_SECONDS: Final = 10 * 366 * 86_400
_TOKEN_KEY_PREFIXES: Final = (job_key_prefix.encode(), retry_key_prefix.encode())

log = structlog.get_logger(__name__)


class Consumer(Worker):
    """Runs `run_next(queue)` for each token, in at most `slots` tasks at a time."""

    def __init__(
        self,
        *,
        pool: ConnectionPool,
        availability: Availability,
        hints: Hints,
        queues: Sequence[str],
        slots: int,
        run_next: Callable[[str], Awaitable[bool]],
        max_empty_seconds: float = 0.5,
    ) -> None:
        """`max_empty_seconds` limits the backoff of a slot after tokens without a job."""
        self._availability = availability
        self._hints = hints
        self._waiting = DedicatedConnection(pool)
        self._queues = list(queues)
        self._slots = slots
        self._run_next = run_next
        self._max_empty_seconds = max_empty_seconds
        self._slot_freed = asyncio.Event()
        self._is_consuming = False
        self._empty_claims = 0
        self._task_numbers = count()
        super().__init__(
            functions=[func(cast("WorkerCoroutine", self._run_slot), name=queue.FUNCTION, keep_result=0)],
            redis_pool=queue.client(pool),
            queue_name=keys.queue(self._queues[0]),
            max_jobs=slots,
            job_timeout=_NO_TIMEOUT_SECONDS,  # jobs have time limits of their own
            keep_result=0,
            retry_jobs=False,
            allow_abort_jobs=False,
            handle_signals=False,
            log_results=False,
            job_serializer=queue.serialize,
            job_deserializer=queue.deserialize,
        )

    async def consume_forever(self) -> None:
        """Consume tokens while slots are free, until cancelled. Jobs that run then keep running."""
        claiming = asyncio.create_task(self._claim_without_redis())
        self._is_consuming = True
        try:
            while True:
                await self._wait_for_free_slot()
                try:
                    tokens = await self._take_tokens(self._free_slots)
                except UNREACHABLE as error:
                    if not await self._repair_queue_keys(error):
                        self._availability.failed(error, Operation.CONSUME)
                        await asyncio.sleep(POLL_SECONDS)
                    continue
                self._availability.succeeded(Operation.CONSUME)
                for name, token in tokens:
                    self._start(self._run_slot(name, token))
                # The slots send their claims in the loop's next iteration, and before this asks for more.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        finally:
            self._is_consuming = False
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)

    async def wait_idle(self) -> None:
        """Wait until no slot is in use."""
        while self.tasks:
            await asyncio.wait(self.tasks.values())

    @property
    def _free_slots(self) -> int:
        return self._slots - len(self.tasks)

    async def _wait_for_free_slot(self) -> None:
        while self._free_slots <= 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()

    async def _take_tokens(self, limit: int) -> list[tuple[str, bytes]]:
        """Wait up to BLOCK_SECONDS for tokens, and take at most `limit`. Returns (queue, token) pairs."""
        names = self._rotate_queues()
        command: Command = ("BZMPOP", BLOCK_SECONDS, len(names), *names, "MIN", "COUNT", limit)
        popped, *_ = _without_error(await self._waiting.execute([command]))
        if popped is None:
            return []
        name = keys.queue_name(popped[0])
        return [(name, token) for token, _score in popped[1]]

    def _rotate_queues(self) -> list[str]:
        """Return the keys of the queues, rotated by one: Redis serves the first that has tokens."""
        self._queues.append(self._queues.pop(0))
        return [keys.queue(name) for name in self._queues]

    async def _take_next(self, done: Sequence[bytes]) -> tuple[str, list[bytes]] | None:
        """Take tokens of one queue without waiting, and delete the keys of the tokens that are done.

        Takes one token, or many if there was no job for many in a row. Returns the queue and the tokens, or
        None.
        """
        unlink: Command = ("UNLINK", *_token_keys(done))
        if not self._is_consuming:
            with suppress(*UNREACHABLE):
                await self._hints.request(unlink)
            return None
        names = self._rotate_queues()
        limit = 1 if self._empty_claims < MANY_EMPTY else TOKENS_AT_ONCE
        pop: Command = ("ZMPOP", len(names), *names, "MIN", "COUNT", limit)
        try:
            popped, *_ = _without_error(await self._hints.request(pop, unlink))
        except UNREACHABLE as error:
            if not await self._repair_queue_keys(error):
                self._availability.failed(error, Operation.CONSUME)
            return None
        if popped is None:
            return None
        return keys.queue_name(popped[0]), [token for token, _score in popped[1]]

    async def _repair_queue_keys(self, error: Exception) -> bool:
        """Delete queue keys that are not sorted sets. Returns whether that was the cause of the error."""
        if not str(error).startswith("WRONGTYPE"):
            return False
        try:
            for name in self._queues:
                if await self.pool.type(keys.queue(name)) not in (b"zset", b"none"):
                    await self.pool.unlink(keys.queue(name))
        except UNREACHABLE:
            return False
        log.warning("queue_key_of_wrong_type", error=str(error)[:200])
        metrics.TOKENS_REFUSED.inc()
        return True

    async def _claim_without_redis(self) -> None:
        """Claim from Postgres for every free slot, once per POLL_SECONDS, while Redis is unavailable."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._availability.is_up:
                continue
            for slot in range(self._free_slots):
                name = self._queues[slot % len(self._queues)]
                self._start(self._drain_queue(name))

    async def _drain_queue(self, name: str) -> None:
        while not self._availability.is_up and await self._run_next(name):
            pass

    def _start(self, work: Awaitable[None]) -> None:
        key = str(next(self._task_numbers))
        task = asyncio.ensure_future(work)
        self.tasks[key] = task
        task.add_done_callback(partial(self._task_done, key))

    def _task_done(self, key: str, task: asyncio.Future[None]) -> None:
        del self.tasks[key]
        self._slot_freed.set()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, UNREACHABLE):
            # Harmless: the state of the job is in Postgres.
            self._availability.failed(error, Operation.CONSUME)
        else:
            log.error("slot_failed", exc_info=error)

    async def _run_slot(self, name: str, token: bytes) -> None:
        """Run a job of the token's queue, then take the next tokens, until there are none."""
        done = [token]
        await self._run_one(name)
        while (taken := await self._take_next(done)) is not None:
            name, done = taken
            await self._run_one(name)

    async def _run_one(self, name: str) -> None:
        if await self._run_next(name):
            self._empty_claims = 0
        else:
            # A single token without a job is normal. Many in a row mean that the queue holds jobs of kinds
            # that this worker does not run: maintenance adds a new token for each as fast as this takes
            # them.
            self._empty_claims += 1
            await asyncio.sleep(min(self._max_empty_seconds, EMPTY_SECONDS * self._empty_claims))


def _without_error(replies: list[Any]) -> list[Any]:
    """Return the replies. Raises the first of them that is an error."""
    if (error := first_error(replies)) is not None:
        raise error
    return replies


def _token_keys(tokens: Sequence[bytes]) -> list[bytes]:
    """Return the keys that ARQ may have written for tokens."""
    return [prefix + token for token in tokens for prefix in _TOKEN_KEY_PREFIXES]
