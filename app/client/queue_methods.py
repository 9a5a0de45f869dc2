"""The methods of both clients for queues, for operators."""

from collections.abc import Sequence

from app.client.methods import AsyncMethods, Methods
from app.client.queues import AnyQueue, Queue


class QueueMethods(Methods):
    """The methods of `Headrace` for queues."""

    def queues(self) -> Sequence[Queue]:
        """Return the queues, with the jobs of all users. Raises Forbidden unless you are an operator."""
        return self._run(self._core.queues.list())

    def pause_queue(self, queue: AnyQueue, reason: str) -> Queue:
        """Pause a queue: workers start none of its jobs until it is resumed. Running jobs go on."""
        return self._run(self._core.queues.pause(queue, reason))

    def resume_queue(self, queue: AnyQueue) -> Queue:
        """Resume a queue: its jobs start in the order in which they wait."""
        return self._run(self._core.queues.resume(queue))


class AsyncQueueMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for queues."""

    async def queues(self) -> Sequence[Queue]:
        """Return the queues, with the jobs of all users. Raises Forbidden unless you are an operator."""
        return await self._run(self._core.queues.list())

    async def pause_queue(self, queue: AnyQueue, reason: str) -> Queue:
        """Pause a queue: workers start none of its jobs until it is resumed. Running jobs go on."""
        return await self._run(self._core.queues.pause(queue, reason))

    async def resume_queue(self, queue: AnyQueue) -> Queue:
        """Resume a queue: its jobs start in the order in which they wait."""
        return await self._run(self._core.queues.resume(queue))
