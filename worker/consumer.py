"""The ARQ worker, consumer's side: takes wake tokens and runs `run_next` for each.

A subclass of ARQ's worker that keeps its way of running a function and changes how it takes tokens:

-   ARQ polls each half second; this blocks in BZMPOP until a token is there, so that pick-up takes
    milliseconds, and an idle worker sends one command a second.
-   ARQ leaves the ids of running jobs in its sorted set, where each idle worker tries each of them again;
    here a token leaves the set, atomically, when it is taken.
-   ARQ counts a slot before a pipeline that may raise; here a slot is counted by its task.
-   ARQ reads what a token says; here nobody does: whoever can write to Redis can say anything. Which queue
    the token was in is all that counts. What else belongs to it is removed unread.
-   ARQ takes tokens one by one; here a slot that is done takes the next one, if there is one, by itself, and
    many at once where they turn out to be for nothing.

While Redis is away, free slots claim straight from Postgres once a second.
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
from app.core.redis import UNREACHABLE, Availability, Operation

BLOCK_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 1.0
EMPTY_SECONDS: Final = 0.002
_LONGER_THAN_ANY_JOB_SECONDS: Final = 10 * 366 * 86_400
MANY_EMPTY: Final = 20
TOKENS_AT_ONCE: Final = 1000
_KEYS_OF_A_TOKEN: Final = (job_key_prefix.encode(), retry_key_prefix.encode())

log = structlog.get_logger(__name__)


class Consumer(Worker):
    """Runs `run_next(queue)` for each token, in at most `slots` tasks at a time."""

    def __init__(
        self,
        *,
        pool: ConnectionPool,
        availability: Availability,
        queues: Sequence[str],
        slots: int,
        run_next: Callable[[str], Awaitable[bool]],
        max_empty_seconds: float = 0.5,
    ) -> None:
        """`max_empty_seconds` is the longest pause of a slot whose tokens turn out to be for nothing."""
        self._availability = availability
        self._queues = list(queues)
        self._slots = slots
        self._run_next = run_next
        self._max_empty_seconds = max_empty_seconds
        self._slot_freed = asyncio.Event()
        self._is_taking = False
        self._empty_claims = 0
        self._numbers = count()
        super().__init__(
            functions=[func(cast("WorkerCoroutine", self._on_token), name=queue.FUNCTION, keep_result=0)],
            redis_pool=queue.client(pool),
            queue_name=keys.queue(self._queues[0]),
            max_jobs=slots,
            job_timeout=_LONGER_THAN_ANY_JOB_SECONDS,
            keep_result=0,
            retry_jobs=False,
            allow_abort_jobs=False,
            handle_signals=False,
            log_results=False,
            job_serializer=queue.serialize,
            job_deserializer=queue.deserialize,
        )

    async def consume_forever(self) -> None:
        """Take tokens while there are free slots, until cancelled. What runs then goes on running."""
        away = asyncio.create_task(self._claim_while_away())
        self._is_taking = True
        try:
            while True:
                await self._until_free()
                try:
                    tokens = await self._take_tokens(self._free)
                except UNREACHABLE as error:
                    if not await self._is_mended(error):
                        self._availability.failed(error, Operation.CONSUME)
                        await asyncio.sleep(AWAY_SECONDS)
                    continue
                self._availability.succeeded(Operation.CONSUME)
                for name, token in tokens:
                    self._start(self._on_token(name, token))
        finally:
            self._is_taking = False
            away.cancel()
            await asyncio.gather(away, return_exceptions=True)

    async def until_idle(self) -> None:
        """Wait until nothing runs."""
        while self.tasks:
            await asyncio.wait(self.tasks.values())

    @property
    def _free(self) -> int:
        return self._slots - len(self.tasks)

    async def _until_free(self) -> None:
        while self._free <= 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()

    async def _take_tokens(self, limit: int) -> list[tuple[str, bytes]]:
        """Wait up to a second for tokens and take at most `limit`, each with its queue.

        Each has left the set when we have it.
        """
        names = self._in_turn()
        # Typed as if it might answer at once: redis-py shares the signature with its blocking client.
        asked = cast(
            "Awaitable[Any]", self.pool.bzmpop(BLOCK_SECONDS, len(names), names, min=True, count=limit)
        )
        answer = await asked
        if answer is None:
            return []
        name = keys.queue_name(answer[0])
        return [(name, token) for token, _score in answer[1]]

    def _in_turn(self) -> list[str]:
        """The keys of the queues. The first that has tokens is served, so each is the first in its turn."""
        self._queues.append(self._queues.pop(0))
        return [keys.queue(name) for name in self._queues]

    async def _take_next(self, done: Sequence[bytes]) -> tuple[str, list[bytes]] | None:
        """The queue of tokens that are there, and the tokens, which have left the set; forgets those done.

        It is one token, unless many before it were for nothing.
        """
        if not self._is_taking:
            with suppress(*UNREACHABLE):
                await self.pool.unlink(*_keys_of(done))
            return None
        names = self._in_turn()
        try:
            async with self.pool.pipeline(transaction=False) as pipe:
                limit = 1 if self._empty_claims < MANY_EMPTY else TOKENS_AT_ONCE
                pipe.zmpop(len(names), names, min=True, count=limit)
                pipe.unlink(*_keys_of(done))
                answer, *_ = await pipe.execute()
        except UNREACHABLE as error:
            if not await self._is_mended(error):
                self._availability.failed(error, Operation.CONSUME)
            return None
        if answer is None:
            return None
        return keys.queue_name(answer[0]), [token for token, _score in answer[1]]

    async def _is_mended(self, error: Exception) -> bool:
        """Remove what is no set of tokens from the names of our queues, if that is what was wrong."""
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

    async def _claim_while_away(self) -> None:
        """Claim from Postgres for every free slot once a second while Redis does not answer."""
        while True:
            await asyncio.sleep(AWAY_SECONDS)
            if self._availability.is_up:
                continue
            for slot in range(self._free):
                name = self._queues[slot % len(self._queues)]
                self._start(self._drain_queue(name))

    async def _drain_queue(self, name: str) -> None:
        while not self._availability.is_up and await self._run_next(name):
            pass

    def _start(self, work: Awaitable[None]) -> None:
        key = str(next(self._numbers))
        task = asyncio.ensure_future(work)
        self.tasks[key] = task
        task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: str, task: asyncio.Future[None]) -> None:
        del self.tasks[key]
        self._slot_freed.set()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, UNREACHABLE):
            # The job is settled in Postgres, or still waits there.
            self._availability.failed(error, Operation.CONSUME)
        else:
            log.error("slot_failed", exc_info=error)

    async def _on_token(self, name: str, token: bytes) -> None:
        """Work on the queue of a token, and then on those of the next ones, until there is none."""
        done = [token]
        await self._work_on(name)
        while (taken := await self._take_next(done)) is not None:
            name, done = taken
            await self._work_on(name)

    async def _work_on(self, name: str) -> None:
        if await self._run_next(name):
            self._empty_claims = 0
        else:
            # Now and then a token is one too many. Many in a row mean jobs of a kind that this worker does
            # not know: the keeper gives each of them a new token as often as this takes one.
            self._empty_claims += 1
            await asyncio.sleep(min(self._max_empty_seconds, EMPTY_SECONDS * self._empty_claims))


def _keys_of(tokens: Sequence[bytes]) -> list[bytes]:
    """What there may be in Redis of tokens that have left their set."""
    return [prefix + token for token in tokens for prefix in _KEYS_OF_A_TOKEN]
