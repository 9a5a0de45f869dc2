"""Those who use the system meanwhile: they submit, cancel, retry and follow, and never give up."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx

from app.core.errors import DatabaseUnavailable
from tests.chaos import orders
from tests.chaos.options import Options
from tests.chaos.orders import Order
from tests.chaos.world import World
from tests.support import rows, sse

REQUEST_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = (0.05, 0.3)
LIVE: Final = "SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')"


class Clients:
    """All of them, and what they saw."""

    def __init__(self, world: World, options: Options) -> None:
        self.orders: list[Order] = []
        self.followed: dict[UUID, list[dict[str, Any]]] = {}
        self.acknowledged_at: list[datetime] = []
        self.answers: Counter[str] = Counter()
        self.surprises: list[str] = []
        self.reconnects = 0
        self._world = world
        self._options = options
        self._dice = options.dice("clients")
        self._tasks: set[asyncio.Task[None]] = set()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(
            headers=world.headers, timeout=REQUEST_SECONDS, limits=limits, trust_env=False
        )

    async def submit_forever(self) -> None:
        """Ask for work at the given rate, and for none while too much is unfinished; until cancelled."""
        dice = self._options.dice("orders")
        while True:
            await asyncio.sleep(dice.expovariate(self._options.jobs_per_second))
            if await self._unfinished() < self._options.max_unfinished:
                order = orders.draw(dice, len(self.orders), self._options.seed, self._world.counter)
                self.orders.append(order)
                self._begin(self._see_through(order))

    async def finish(self) -> None:
        """Wait until everybody has what they asked for."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Send everybody home."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def waiting_for(self) -> str:
        """Who is still at it, for when the drill does not come to its end."""
        return f"{len(self._tasks)} clients still wait"

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.surprises.append(f"a client failed: {error!r}")

    async def _unfinished(self) -> int:
        try:
            found: int = await rows.value(self._world.database, LIVE)
        except DatabaseUnavailable:
            return 0
        return found

    async def _see_through(self, order: Order) -> None:
        await asyncio.gather(*(self._submit(order) for _ in range(1 + order.is_sent_twice)))
        for job_id in order.job_ids:
            if order.is_followed:
                self._begin(self._follow(job_id))
            if order.cancel_after is not None:
                await asyncio.sleep(order.cancel_after)
                await self._ask("DELETE", f"/jobs/{job_id}", {200, 202, 400})
            if order.retry_from_start is not None:
                body = {"from_start": order.retry_from_start}
                answer = await self._ask("POST", f"/jobs/{job_id}/retry", {202, 400, 409}, json=body)
                # If an earlier answer was lost, a refusal may mean that it is retried already.
                order.was_retried = answer is not None

    async def _submit(self, order: Order) -> None:
        headers = {"Idempotency-Key": order.key}
        answer = await self._ask("POST", order.path, {200, 202}, json=order.body, headers=headers)
        if answer is not None:
            self.acknowledged_at.append(datetime.now(UTC))
            order.job_ids.add(UUID(answer.json()["job_id"]))

    async def _ask(self, method: str, path: str, expected: set[int], **more: Any) -> httpx.Response | None:
        """The answer, however often it takes to ask; None for one that should never come."""
        while True:
            url = self._dice.choice(self._world.urls)
            try:
                answer = await self._http.request(method, url + path, **more)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                await asyncio.sleep(self._dice.uniform(*AGAIN_SECONDS))
                continue
            self.answers[str(answer.status_code)] += 1
            if answer.status_code == 503:
                await asyncio.sleep(self._dice.uniform(*AGAIN_SECONDS))
                continue
            if answer.status_code in expected:
                return answer
            self.surprises.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return None

    async def _follow(self, job_id: UUID) -> None:
        """Every event until the end, over as many connections as it takes; some are cut on purpose."""
        seen = self.followed[job_id] = []
        while not (seen and seen[-1]["status"] in ("completed", "failed", "cancelled")):
            events_to_read = self._dice.choice([1, 3, 1000])
            try:
                await self._follow_for(job_id, seen, events_to_read)
            except (httpx.TransportError, UnicodeDecodeError) as error:
                self.answers[f"stream {type(error).__name__}"] += 1
            self.reconnects += 1
            await asyncio.sleep(self._dice.uniform(*AGAIN_SECONDS))

    async def _follow_for(self, job_id: UUID, seen: list[dict[str, Any]], events_to_read: int) -> None:
        url = f"{self._dice.choice(self._world.urls)}/jobs/{job_id}/stream"
        headers = {"Last-Event-ID": str(seen[-1]["seq"])} if seen else {}
        timeout = httpx.Timeout(REQUEST_SECONDS, read=20.0)
        async with self._http.stream("GET", url, headers=headers, timeout=timeout) as response:
            if response.status_code != 200:
                if response.status_code != 503:
                    self.surprises.append(f"stream of {job_id}: {response.status_code}")
                return
            async for event in sse.Stream(response).events():
                if event.event in ("update", "complete"):
                    seen.append(event.json())
                events_to_read -= 1
                if event.event == "complete" or not events_to_read:
                    return
