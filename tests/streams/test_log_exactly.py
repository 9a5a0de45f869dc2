"""Whatever happens to connections, processes and hints: what a client saw in the end is the log, exactly.

Made-up lives of some jobs, several of them moved on at the same time and one transaction held open now and
then, while every hint is lost, doubled or late as chance has it, Redis forgets everything, and the API goes
away and comes back. Clients follow them over one transport, are cut, and go on over the other.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from app.core import background
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import transitions
from app.jobs.transition_types import ClaimedJob, TransitionResult
from app.jobs.unit_of_work import UnitOfWork
from app.main import create_app
from app.streams.times import StreamTimes
from tests.support import apis, jobs, rows, sse, websockets
from tests.support.app_state import state_of
from tests.support.following import publish
from tests.support.waiting import until

JOBS = 3
BATCHES = 10
TIME_LIMIT_SECONDS = 180
"""Some seconds are enough, but other tests may want the processors too."""

RETRIES = 2

CUT = (ConnectionClosed, InvalidHandshake, httpx.TransportError, OSError)
"""What a client hears when its connection ends, or when there is nobody to connect to."""

Numbered = tuple[UUID, int]
Told = tuple[str, dict[str, Any]]


class Chance(random.Random):
    """What happens, all of it from one seed."""

    def one_in(self, number: int) -> bool:
        return self.randrange(number) == 0

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(self.uniform(0, seconds))


class Api:
    """An API that goes away and comes back, each time somewhere else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.url = ""
        self.is_up = asyncio.Event()
        self.has_told = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        application = create_app(self._settings, StreamTimes(compare_seconds=0.3, retry_seconds=0.1))
        async with (
            application.router.lifespan_context(application),
            websockets.serving(application) as self.url,
        ):
            self.is_up.set()
            yield
            state_of(application).hub.close()
            state_of(application).sockets.close()

    async def keep_running(self, chance: Chance) -> None:
        while True:
            self.has_told.clear()
            async with self.running():
                await chance.rest(1.5)
                # On a busy machine it would be gone before anybody had come to it, again and again.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(10):
                        await self.has_told.wait()


class Hints:
    """Lost, doubled and late as chance has it."""

    def __init__(self, resources: Resources, chance: Chance) -> None:
        self._resources = resources
        self._chance = chance
        self._held: list[TransitionResult] = []

    def publish(self, transition: TransitionResult | None) -> None:
        if transition is None:
            return
        match self._chance.choice(["now", "now", "lost", "doubled", "late"]):
            case "now":
                publish(self._resources, transition)
            case "doubled":
                publish(self._resources, transition)
                publish(self._resources, transition)
            case "late":
                self._held.append(transition)
        if self._held and self._chance.one_in(3):
            publish(self._resources, self._held.pop(self._chance.randrange(len(self._held))))


class Life:
    """What happens to one job: batches, now and then a failure and a retry, and an end of either sort."""

    def __init__(self, store: Database, hints: Hints, chance: Chance) -> None:
        self._store = store
        self._hints = hints
        self._chance = chance

    async def live(self, owner_id: UUID, worker_id: UUID, queue: str) -> None:
        job_id = await jobs.create(self._store, owner_id, queue=queue, rows=10 * BATCHES)
        for retries_left in reversed(range(RETRIES + 1)):
            [job] = await jobs.claim_all(self._store, worker_id, queue=queue)
            if await self._advance(job):
                return
            self._hints.publish(await jobs.fail(self._store, job, is_retryable=False))
            if retries_left:
                await self._chance.rest(0.2)
                self._hints.publish(await jobs.retry(self._store, job_id))

    async def _advance(self, job: ClaimedJob) -> bool:
        """Commit what is missing; False if the attempt fails on the way."""
        batch = job.next_batch
        while batch < BATCHES:
            if self._chance.one_in(8):
                return False
            count = min(self._chance.randint(1, 3), BATCHES - batch)
            is_final = batch + count == BATCHES and self._chance.one_in(2)
            report = jobs.report(job, first=batch, count=count, is_final=is_final)
            async with self._store.transaction() as connection:
                transition = await transitions.advance(
                    UnitOfWork(connection), worker_id=job.id, reports=[report]
                )
                if self._chance.one_in(4):
                    await self._chance.rest(0.2)  # transactions that are begun later are committed earlier
            self._hints.publish(transition[job.id])
            if is_final:
                return True
            batch += count
            await self._chance.rest(0.05)
        done = await jobs.advance(self._store, jobs.report(job, first=BATCHES, count=0, is_final=True))
        self._hints.publish(done[job.id])
        return True


class Client:
    """Follows a log from cut to cut, each time over the transport that chance will have, to its end."""

    def __init__(self, api: Api, headers: dict[str, str], chance: Chance) -> None:
        self.seen: list[Numbered] = []
        self._api = api
        self._headers = headers
        self._chance = chance
        self._place = "0"

    async def follow(self, job_id: UUID | None, is_over: Callable[[int], bool]) -> None:
        while not is_over(len(self.seen)):
            length = self._chance.choice([0, 1, 2, 5, 1000])
            frames = self._by_sse(job_id) if self._chance.one_in(2) else self._by_socket(job_id)
            with contextlib.suppress(*CUT):
                async with contextlib.aclosing(frames):
                    async for place, event in frames:
                        self._place = place
                        self.seen.append((UUID(event["job_id"]), event["seq"]))
                        self._api.has_told.set()
                        length -= 1
                        if length < 0 or is_over(len(self.seen)):
                            break
            await self._chance.rest(0.02)

    async def _by_sse(self, job_id: UUID | None) -> AsyncGenerator[Told, None]:
        path = "/jobs/stream" if job_id is None else f"/jobs/{job_id}/stream"
        headers = {**self._headers, "Last-Event-ID": self._place}
        async with (
            websockets.client_of(self._api.url) as client,
            client.stream("GET", path, headers=headers) as response,
        ):
            if response.status_code in (503, 204):  # going away; ended, until the job is tried again
                return
            assert response.status_code == 200
            async for event in sse.Stream(response).events():
                if event.event in ("update", "complete"):
                    assert event.id is not None
                    yield event.id, event.json()

    async def _by_socket(self, job_id: UUID | None) -> AsyncGenerator[Told, None]:
        path = "/ws" if job_id is None else f"/ws/jobs/{job_id}?after={self._place}"
        async with websockets.opened(self._api.url, path, self._headers) as talk:
            if job_id is None:
                await talk.send("subscribe", after=self._place)
                assert (await talk.receive())["event"] == "subscribed"
            while True:
                frame = await talk.receive()
                if frame["event"] == "ended":
                    return
                yield frame.get("id", str(frame["data"].get("seq"))), frame["data"]
                if frame["event"] == "complete" and job_id is not None:
                    return


async def forget_everything(redis_url: str, chance: Chance) -> None:
    """Redis loses what it has, and cuts whoever listens."""
    async with Redis.from_url(redis_url) as redis:
        while True:
            await chance.rest(1.0)
            await redis.flushall()
            await redis.client_kill_filter(_type="pubsub", skipme=True)


async def log_of(store: Database, owner_id: UUID) -> list[Numbered]:
    found = await rows.fetch(
        store,
        "SELECT job_id, seq FROM job_events WHERE owner_id = $1 ORDER BY xact_id, job_id, seq",
        owner_id,
    )
    return [(event["job_id"], event["seq"]) for event in found]


async def jobs_of(store: Database, owner_id: UUID) -> list[UUID]:
    """All of them, or none yet."""
    found = await rows.fetch(store, "SELECT id FROM jobs WHERE owner_id = $1 ORDER BY id", owner_id)
    return [row["id"] for row in found] if len(found) == JOBS else []


@pytest.mark.timeout(TIME_LIMIT_SECONDS)
async def test_what_a_client_saw_is_the_log(settings: Settings, resources: Resources) -> None:
    seed = random.randrange(2**32)
    chance = Chance(seed)
    store = resources.database
    headers = await apis.sign_in(settings, store)
    owner_id = await rows.value(store, "SELECT id FROM users")
    worker_id = await jobs.worker(store)
    hints = Hints(resources, chance)
    api = Api(settings)
    written = asyncio.Event()

    async def live_all() -> None:
        lives = (Life(store, hints, chance).live(owner_id, worker_id, f"q{n}") for n in range(JOBS))
        await asyncio.gather(*lives)
        written.set()

    async def follow(job_id: UUID | None) -> Client:
        client = Client(api, headers, chance)
        expected = -1

        async def learn() -> None:
            nonlocal expected
            await written.wait()
            log = await log_of(store, owner_id)
            expected = sum(job_id in (None, event_of) for event_of, _ in log)

        async with background.running(learn()):
            await client.follow(job_id, lambda count: count == expected)
        return client

    async with (
        asyncio.timeout(TIME_LIMIT_SECONDS - 10),
        background.running(api.keep_running(chance), forget_everything(settings.redis_url, chance)),
    ):
        await api.is_up.wait()
        # A group: when one of them fails, none of the others is left behind in the middle of a connect.
        async with asyncio.TaskGroup() as group:
            group.create_task(live_all())
            of_all = group.create_task(follow(None))
            await until(lambda: jobs_of(store, owner_id))
            job_ids = await jobs_of(store, owner_id)
            of_jobs = [group.create_task(follow(job_id)) for job_id in job_ids]
        log = await log_of(store, owner_id)
        assert of_all.result().seen == log, f"seed {seed}"
        for job_id, following in zip(job_ids, of_jobs, strict=True):
            client = following.result()
            last_seq = (await rows.job(store, job_id))["last_seq"]
            assert client.seen == [(job_id, seq) for seq in range(1, last_seq + 1)], f"seed {seed}"
