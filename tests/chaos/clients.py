"""Clients of the drill: submit, cancel, retry and follow jobs, and retry every failed request."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx

from app.core.errors import DatabaseUnavailable
from tests.chaos import workload
from tests.chaos.cluster import Cluster
from tests.chaos.options import Options
from tests.chaos.workload import WorkItem
from tests.support import rows, sse

REQUEST_SECONDS: Final = 10.0
UPLOAD_SECONDS: Final = 60.0
RETRY_SECONDS: Final = (0.05, 0.3)
LIVE: Final = "SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')"


class Clients:
    """All clients, with what they requested and received."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self.items: list[WorkItem] = []
        self.followed: dict[UUID, list[dict[str, Any]]] = {}
        self.acknowledged_at: list[datetime] = []
        self.answers: Counter[str] = Counter()
        self.surprises: list[str] = []
        self.reconnects = 0
        self._cluster = cluster
        self._options = options
        self._rng = options.rng("clients")
        self._tasks: set[asyncio.Task[None]] = set()
        self._dataset_id = ""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(
            headers=cluster.headers, timeout=REQUEST_SECONDS, limits=limits, trust_env=False
        )

    async def upload(self) -> None:
        """Upload the dataset of jobs with shards, before the first fault."""
        content = "text\n" + "\n".join(workload.TEXTS) + "\n"
        answer = await self._http.post(
            f"{self._cluster.urls[0]}/datasets?name=texts.csv",
            content=content.encode(),
            headers={"Content-Type": "text/csv"},
            timeout=UPLOAD_SECONDS,
        )
        assert answer.status_code == 201, answer.text
        self._dataset_id = answer.json()["dataset_id"]

    async def submit_forever(self) -> None:
        """Submit jobs at the configured rate until cancelled; pause while too many are unfinished."""
        rng = self._options.rng("orders")
        while True:
            await asyncio.sleep(rng.expovariate(self._options.jobs_per_second))
            if await self._unfinished() < self._options.max_unfinished:
                item = workload.draw(
                    rng, len(self.items), self._options.seed, self._cluster.counter, self._dataset_id
                )
                self.items.append(item)
                self._start(self._process(item))

    async def finish(self) -> None:
        """Wait until all clients have finished."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cancel all clients."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def waiting_for(self) -> str:
        """Describe the unfinished clients, for the report of a drill that does not end."""
        return f"{len(self._tasks)} clients are still waiting"

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.surprises.append(f"a client failed: {error!r}")

    async def _unfinished(self) -> int:
        try:
            found: int = await rows.value(self._cluster.database, LIVE)
        except DatabaseUnavailable:
            return 0
        return found

    async def _process(self, item: WorkItem) -> None:
        await asyncio.gather(*(self._submit(item) for _ in range(1 + item.is_sent_twice)))
        for job_id in item.job_ids:
            if item.is_followed:
                self._start(self._follow(job_id))
            if item.cancel_after is not None:
                await asyncio.sleep(item.cancel_after)
                await self._request("DELETE", f"/jobs/{job_id}", {200, 202, 400})
            if item.retry_from_start is not None:
                body = {"from_start": item.retry_from_start}
                answer = await self._request("POST", f"/jobs/{job_id}/retry", {202, 400, 409}, json=body)
                # If an earlier response was lost, an error may mean that the retry has been accepted.
                item.was_retried = answer is not None

    async def _submit(self, item: WorkItem) -> None:
        headers = {"Idempotency-Key": item.key}
        answer = await self._request("POST", item.path, {200, 202}, json=item.body, headers=headers)
        if answer is not None:
            self.acknowledged_at.append(datetime.now(UTC))
            item.job_ids.add(UUID(answer.json()["job_id"]))

    async def _request(
        self, method: str, path: str, expected: set[int], **more: Any
    ) -> httpx.Response | None:
        """Repeat a request until it succeeds; record an unexpected status and return None."""
        while True:
            url = self._rng.choice(self._cluster.urls)
            try:
                answer = await self._http.request(method, url + path, **more)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                await asyncio.sleep(self._rng.uniform(*RETRY_SECONDS))
                continue
            self.answers[str(answer.status_code)] += 1
            if answer.status_code == 503:
                await asyncio.sleep(self._rng.uniform(*RETRY_SECONDS))
                continue
            if answer.status_code in expected:
                return answer
            self.surprises.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return None

    async def _follow(self, job_id: UUID) -> None:
        """Follow a job to its end over any number of connections, some of which are closed early."""
        seen = self.followed[job_id] = []
        while not (seen and seen[-1]["status"] in ("completed", "failed", "cancelled")):
            events_to_read = self._rng.choice([1, 3, 1000])
            try:
                await self._follow_for(job_id, seen, events_to_read)
            except (httpx.TransportError, UnicodeDecodeError) as error:
                self.answers[f"stream {type(error).__name__}"] += 1
            self.reconnects += 1
            await asyncio.sleep(self._rng.uniform(*RETRY_SECONDS))

    async def _follow_for(self, job_id: UUID, seen: list[dict[str, Any]], events_to_read: int) -> None:
        url = f"{self._rng.choice(self._cluster.urls)}/jobs/{job_id}/stream"
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
