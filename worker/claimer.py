"""Claims jobs for the slots of one worker. Slots that claim at the same time share a statement."""

import asyncio
import math
from collections import defaultdict, deque
from typing import Final
from uuid import UUID

from app.core import metrics, tracing
from app.core.config import ClaimOrder
from app.core.database import Database
from app.core.hints import Hints
from app.jobs import transitions
from app.jobs.transition_types import ClaimedJob
from app.jobs.turns import MAX_AT_ONCE
from app.jobs.unit_of_work import UnitOfWork, unit_of_work
from app.quotas import queries as quotas

LOOK_SECONDS: Final = 1.0
"""Interval at which a worker looks whether a number of running jobs is set for any user."""


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
    ) -> None:
        """Run at most `max_running` jobs of an owner at a time, unless another number is set for the owner.

        0 means no limit.
        """
        self._order = order
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

    async def _claim_jobs(self, unit: UnitOfWork, queue: str, limit: int) -> list[ClaimedJob]:
        found: list[ClaimedJob] = []
        is_limited = await self._is_any_owner_limited(unit)
        while len(found) < limit:
            wanted = 1 if is_limited else min(limit - len(found), MAX_AT_ONCE)
            claimed = await transitions.claim(
                unit,
                queue=queue,
                kinds=self._kinds,
                worker_id=self._worker_id,
                limit=wanted,
                max_running=self._max_running if is_limited else None,
                order=self._order,
            )
            found += claimed
            if len(claimed) < wanted:
                break
        return found

    async def _is_any_owner_limited(self, unit: UnitOfWork) -> bool:
        """Whether jobs are to be claimed one by one: without limits, a statement claims for several slots."""
        now = asyncio.get_running_loop().time()
        if not self._max_running and now - self._looked_at >= LOOK_SECONDS:
            self._is_limited = await quotas.limits_running_jobs(unit.connection)
            self._looked_at = now
        return self._is_limited

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
