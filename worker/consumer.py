"""The ARQ worker, consumer's side: takes wake tokens and runs `run_next` for each.

A subclass of ARQ's worker that keeps its way of running a function and changes how it takes tokens:

-   ARQ polls each half second; this blocks in BZMPOP until a token is there, so that pick-up takes
    milliseconds, and an idle worker sends one command a second.
-   ARQ leaves the ids of running jobs in its sorted set, where each idle worker tries each of them again;
    here a token leaves the set, atomically, when it is taken.
-   ARQ counts a slot before a pipeline that may raise; here a slot is counted by its task.
-   ARQ reads and clears up around each token; here a slot that is done takes the next token, if there is one,
    by itself: which queue it was in is all that a token says.

While Redis is away, free slots claim straight from Postgres once a second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, cast

import msgspec
import structlog
from arq.constants import job_key_prefix
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool

from app.core import keys, metrics, queue
from app.core.redis import UNREACHABLE, Availability, Use

BLOCK_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 1.0
EMPTY_SECONDS: Final = 0.002
MAX_EMPTY_SECONDS: Final = 0.5
_LONGER_THAN_ANY_JOB_SECONDS: Final = 10 * 366 * 86_400
_UNLIMITED_TRIES: Final = 1_000_000_000

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
    ) -> None:
        self._availability = availability
        self._queues = list(queues)
        self._slots = slots
        self._run_next = run_next
        self._slot_freed = asyncio.Event()
        self._is_taking = False
        self._empty_claims = 0
        super().__init__(
            functions=[
                func(
                    cast("WorkerCoroutine", self._on_token),
                    name=queue.FUNCTION,
                    max_tries=_UNLIMITED_TRIES,
                    keep_result=0,
                )
            ],
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
            job_deserializer=_deserialize,
        )
        # ARQ reports each token it runs; ours are hints, and the job's own log says what matters.
        logging.getLogger("arq.worker").setLevel(logging.WARNING)

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
                    self._availability.failed(error, Use.TAKE)
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
                self._availability.succeeded(Use.TAKE)
                for token, score in tokens:
                    self._start(token, self.run_job(token, score))
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

    async def _take_tokens(self, limit: int) -> list[tuple[str, int]]:
        """Wait up to a second for tokens and take at most `limit`; each has left the set when we have it."""
        names = self._in_turn()
        # Typed as if it might answer at once: redis-py shares the signature with its blocking client.
        asked = cast(
            "Awaitable[Any]", self.pool.bzmpop(BLOCK_SECONDS, len(names), names, min=True, count=limit)
        )
        answer = await asked
        if answer is None:
            return []
        return [(token.decode(), int(float(score))) for token, score in answer[1]]

    def _in_turn(self) -> list[str]:
        """The keys of the queues. The first that has tokens is served, so each is the first in its turn."""
        self._queues.append(self._queues.pop(0))
        return [keys.queue(name) for name in self._queues]

    async def _take_next(self, done: bytes | None) -> tuple[str, bytes] | None:
        """The queue of a token that is there, and the token, which has left the set; forgets the one done."""
        if not self._is_taking:
            return None
        names = self._in_turn()
        try:
            async with self.pool.pipeline(transaction=False) as pipe:
                pipe.zmpop(len(names), names, min=True)
                if done is not None:
                    pipe.unlink(job_key_prefix.encode() + done)
                answer, *_ = await pipe.execute()
        except UNREACHABLE as error:
            self._availability.failed(error, Use.TAKE)
            return None
        return None if answer is None else (keys.queue_name(answer[0]), answer[1][0][0])

    async def _claim_while_away(self) -> None:
        """Claim from Postgres for every free slot once a second while Redis does not answer."""
        while True:
            await asyncio.sleep(AWAY_SECONDS)
            if self._availability.is_up:
                continue
            for slot in range(self._free):
                name = self._queues[slot % len(self._queues)]
                self._start(f"away:{slot}:{asyncio.get_running_loop().time()}", self._drain_queue(name))

    async def _drain_queue(self, name: str) -> None:
        while not self._availability.is_up and await self._run_next(name):
            pass

    def _start(self, key: str, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks[key] = task
        task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: str, task: asyncio.Future[None]) -> None:
        del self.tasks[key]
        self._slot_freed.set()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, UNREACHABLE):
            # ARQ's own bookkeeping around the token; the job is settled in Postgres, or still waits there.
            self._availability.failed(error, Use.TAKE)
        else:
            log.error("slot_failed", exc_info=error)

    async def _on_token(self, _context: dict[Any, Any], name: str) -> None:
        if name not in self._queues:
            metrics.TOKENS_REFUSED.inc()
            return
        await self._work_on(name)
        done: bytes | None = None
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
            await asyncio.sleep(min(MAX_EMPTY_SECONDS, EMPTY_SECONDS * self._empty_claims))


def _deserialize(data: bytes) -> dict[str, Any]:
    """Read a token; whatever is not ours is counted, and dropped by ARQ."""
    try:
        return queue.deserialize(data)
    except msgspec.DecodeError:
        metrics.TOKENS_REFUSED.inc()
        raise
