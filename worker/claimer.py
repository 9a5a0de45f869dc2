"""Claims jobs for the slots of one worker. Slots that claim at the same time share a statement."""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.core import metrics, tracing
from app.core.config import ClaimOrder
from app.core.database import Database
from app.core.hints import Hints
from app.jobs import transitions
from app.jobs.queues.queries import claimable
from app.jobs.transition_types import ClaimedJob
from app.jobs.turns import MAX_AT_ONCE
from app.jobs.unit_of_work import UnitOfWork, unit_of_work
from app.quotas import queries as quotas

LOOK_SECONDS: Final = 1.0
"""Interval at which a worker looks whether a number of running jobs is still set for any user."""


class Claimer:
    """Claims the next due jobs of a queue."""

    def __init__(
        self,
        database: Database,
        hints: Hints,
        worker_id: UUID,
        kinds: tuple[str, ...],
        *,
        max_running: int = 0,
        order: ClaimOrder = ClaimOrder.TURNS,
        slot_gpus: int = 0,
    ) -> None:
        """Run at most `max_running` jobs of an owner at a time, unless another number is set for the owner.

        0 means no limit. Only jobs are claimed that need at most `slot_gpus` GPUs.
        """
        self._order = order
        self._slot_gpus = slot_gpus
        self._database = database
        self._max_running = max_running
        self._is_limited = bool(max_running)
        self._looked_at = -math.inf
        self._hints = hints
        self._worker_id = worker_id
        self._kinds = kinds
        self._jobs_claimed = metrics.CLAIMS.labels("job")
        self._empty_claims = metrics.CLAIMS.labels("empty")
        self._waiting: defaultdict[str, deque[asyncio.Future[ClaimedJob | None]]] = defaultdict(deque)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._is_closed = False

    def close(self) -> None:
        """Claim nothing more, not even for slots that wait. A statement that runs may still claim."""
        self._is_closed = True

    async def claim(self, queue: str) -> ClaimedJob | None:
        """Claim the next job of this queue for this worker. Return None if there is none.

        Raises DatabaseUnavailable. If only the reply was lost, the job is claimed without our knowledge: the
        lease detects and releases it.
        """
        answer: asyncio.Future[ClaimedJob | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[queue]
        waiting.append(answer)
        try:
            # The slot that gets the lock claims for all that wait; the others find their job already there.
            async with self._locks[queue]:
                if not answer.done():
                    group = [waiting.popleft() for _ in range(len(waiting))]
                    await self._claim_for(queue, group)
        finally:
            if answer in waiting:  # cancelled: do not claim a job for a slot that no longer waits
                waiting.remove(answer)
        return answer.result()

    async def count_due(self, queues: Sequence[str], limit: int) -> int:
        """Return how many due jobs of these queues this worker could claim, counted up to `limit`.

        Raises DatabaseUnavailable.
        """
        if self._is_closed:
            return 0
        async with self._database.connection() as connection:
            return await claimable(connection, queues, self._kinds, slot_gpus=self._slot_gpus, limit=limit)

    async def _claim_jobs(self, unit: UnitOfWork, queue: str, limit: int) -> list[ClaimedJob]:
        """Claim jobs, without limits as long as no number of running jobs is set for any user.

        Without limits, one statement claims for several slots.
        """
        now = asyncio.get_running_loop().time()
        if self._is_limited and not self._max_running and now - self._looked_at >= LOOK_SECONDS:
            self._is_limited = await quotas.limits_running_jobs(unit.connection)
            self._looked_at = now
        found = await self._claim_up_to(limit, unit, queue)
        if not found and not self._is_limited and not self._is_closed:
            # Either no job is due, or a number is set for a user now: then a claim without limits finds none.
            self._is_limited = await quotas.limits_running_jobs(unit.connection)
            self._looked_at = now
            if self._is_limited:
                found = await self._claim_up_to(limit, unit, queue)
        return found

    async def _claim_up_to(self, limit: int, unit: UnitOfWork, queue: str) -> list[ClaimedJob]:
        found: list[ClaimedJob] = []
        while len(found) < limit and not self._is_closed:
            wanted = 1 if self._is_limited else min(limit - len(found), MAX_AT_ONCE)
            claimed = await transitions.claim(
                unit,
                queue=queue,
                kinds=self._kinds,
                worker_id=self._worker_id,
                limit=wanted,
                max_running=self._max_running if self._is_limited else None,
                order=self._order,
                slot_gpus=self._slot_gpus,
            )
            found += claimed
            if len(claimed) < wanted:
                break
        return found

    async def _claim_for(self, queue: str, group: list[asyncio.Future[ClaimedJob | None]]) -> None:
        try:
            async with unit_of_work(self._hints, self._database.connection(), failpoint="claim") as unit:
                found = await self._claim_jobs(unit, queue, len(group))
        except BaseException as error:
            for answer in group:
                answer.set_exception(error)
                answer.exception()  # each slot raises it from result(); none goes unretrieved
            raise
        self._jobs_claimed.inc(len(found))
        self._empty_claims.inc(len(group) - len(found))
        wait_seconds = metrics.WAIT_SECONDS.labels(metrics.queue_label(queue))
        for claimed in found:
            exemplar = metrics.exemplar(tracing.trace_id_of(claimed.trace_context))
            wait_seconds.observe(max(0.0, claimed.waited_seconds), exemplar)
        for position, answer in enumerate(group):
            answer.set_result(found[position] if position < len(found) else None)
