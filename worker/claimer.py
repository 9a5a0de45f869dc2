"""Claims jobs for the slots of one worker: free slots that ask together are served by one statement."""

import asyncio
from collections import defaultdict, deque
from uuid import UUID

import asyncpg

from app.core import failpoints, metrics
from app.core.database import Database
from app.core.hints import Hints
from app.jobs import transitions
from app.jobs.events import Event
from app.jobs.transition_types import ClaimedJob


class Claimer:
    """Takes the next due jobs of a queue."""

    def __init__(
        self,
        database: Database,
        hints: Hints,
        worker_id: UUID,
        kinds: tuple[str, ...],
        *,
        max_running: int = 0,
    ) -> None:
        """No owner is given more than `max_running` jobs at a time; 0 is no limit."""
        self._database = database
        self._max_running = max_running
        self._hints = hints
        self._worker_id = worker_id
        self._kinds = kinds
        self._asking: defaultdict[str, deque[asyncio.Future[ClaimedJob | None]]] = defaultdict(deque)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def claim(self, queue: str) -> ClaimedJob | None:
        """The next job of this queue, now running on this worker; None when there is none.

        Raises DatabaseUnavailable. If only the reply was lost, the job is ours without our knowledge: the
        lease notices and gives it back.
        """
        answer: asyncio.Future[ClaimedJob | None] = asyncio.get_running_loop().create_future()
        asking = self._asking[queue]
        asking.append(answer)
        try:
            # Whoever gets the lock asks for all who have come meanwhile; they find their answer there.
            async with self._locks[queue]:
                if not answer.done():
                    group = [asking.popleft() for _ in range(len(asking))]
                    await self._claim_for(queue, group)
        finally:
            if answer in asking:  # cancelled: a job must not be claimed for a slot that is gone
                asking.remove(answer)
        return answer.result()

    async def _take(
        self, connection: asyncpg.Connection, queue: str, limit: int
    ) -> list[tuple[ClaimedJob, Event]]:
        found: list[tuple[ClaimedJob, Event]] = []
        while len(found) < limit:
            claimed = await transitions.claim(
                connection,
                queue=queue,
                kinds=self._kinds,
                worker_id=self._worker_id,
                limit=limit,
                max_running=self._max_running,
            )
            found += claimed
            if not claimed or not self._max_running:
                break
        return found

    async def _claim_for(self, queue: str, group: list[asyncio.Future[ClaimedJob | None]]) -> None:
        failpoints.reach("claim:before")
        try:
            async with self._database.connection() as connection:
                found = await self._take(connection, queue, len(group))
        except BaseException as error:
            for answer in group:
                answer.set_exception(error)
                answer.exception()  # each asker raises it from result(); none is left unheard
            raise
        if found:
            failpoints.reach("claim:after")
        for claimed, event in found:
            self._hints.events(claimed.owner_id, (event.encoded(),))
            metrics.WAIT_SECONDS.labels(queue).observe(max(0.0, claimed.waited_seconds))
        for position, answer in enumerate(group):
            answer.set_result(found[position][0] if position < len(found) else None)
