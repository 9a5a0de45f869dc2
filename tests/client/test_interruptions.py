"""Broken connections, server restarts and expired tokens cost time only, and nothing is done twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.client import AsyncHeadrace, Event, RetryConfig, Submitted
from app.core.config import Settings
from app.core.resources import Resources
from tests.client.conftest import Connect
from tests.client.cutting import cutting
from tests.client.either import HURRIED
from tests.client.running import Running, User
from tests.e2e.support import compounds, slow_texts
from tests.gated import PLUGIN
from tests.support import ports, processes, rows
from tests.support.ports import HOST
from tests.support.processes import START_SECONDS, Process

# Processes are started one after the other, and a busy machine takes its time for each.
pytestmark = pytest.mark.long

SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
async def test_following_over_a_connection_that_breaks_at_random_gives_the_log(
    connect: Connect, system: Running, ada: User, seed: int
) -> None:
    direct = connect(system.url, **ada.credentials)
    async with cutting(system.url, seed=seed) as proxy:
        shaky = connect(proxy.url, **ada.credentials, retry_config=HURRIED)
        job = await shaky.submit(slow_texts(80), batch_size=1)
        proxy.cut_between(200, 4000)
        followed = [event async for event in shaky.follow(job)]

    assert proxy.cuts > 5
    assert [event.raw for event in followed] == [event.raw async for event in direct.events(job)]
    assert followed[-1].type == "completed"


async def test_results_over_a_connection_that_breaks_at_random_are_complete_and_unique(
    connect: Connect, system: Running, ada: User
) -> None:
    texts = [f"{number} good things" for number in range(400)]
    async with cutting(system.url) as proxy:
        shaky = connect(proxy.url, **ada.credentials, retry_config=HURRIED)
        job = await shaky.submit(texts, batch_size=100)
        await shaky.wait(job, timeout=30)
        before = proxy.answered_bytes
        whole = b"".join([piece async for piece in shaky.export(job, "ndjson")])
        size = proxy.answered_bytes - before  # compressed
        proxy.cut_between(size // 10, size * 3)
        found = [row async for row in shaky.results(job)]
        in_pieces = b"".join([piece async for piece in shaky.export(job, "ndjson")])

    assert proxy.cuts
    assert [row.index for row in found] == list(range(400))
    assert [row.prediction["scores"]["compound"] for row in found] == compounds(texts)
    assert in_pieces == whole


async def test_a_submit_whose_response_is_lost_creates_one_job(
    connect: Connect, system: Running, ada: User
) -> None:
    async with cutting(system.url) as proxy:
        client = connect(proxy.url, **ada.credentials)
        await client.submit(["signed in"], queue="other")
        proxy.lose_answer_to("POST /jobs/batch-predict")
        job = await client.submit(["x"], queue="nobody")

        assert proxy.cuts == 1
        assert job.is_replay
        assert [found.id async for found in client.jobs(queue="nobody")] == [job.id]


async def test_a_cancel_and_a_retry_whose_responses_are_lost_are_applied_once(
    connect: Connect, system: Running, ada: User
) -> None:
    async with cutting(system.url) as proxy:
        client = connect(proxy.url, **ada.credentials)
        job = await client.submit(["x"], queue="nobody")
        proxy.lose_answer_to("/cancel")
        cancelled = await client.cancel(job)
        proxy.lose_answer_to("/retry")
        retried = await client.retry(job)

        assert proxy.cuts == 2
        assert (cancelled.status, retried.status) == ("cancelled", "pending")
        assert [event.type async for event in client.events(job)] == ["created", "cancelled", "retried"]


async def test_a_wait_survives_broken_connections(connect: Connect, system: Running, ada: User) -> None:
    async with cutting(system.url) as proxy:
        client = connect(proxy.url, **ada.credentials, retry_config=HURRIED)
        job = await client.submit(slow_texts(60), batch_size=1)
        proxy.lose_answer_to("wait=")
        assert (await client.wait(job, timeout=30)).status == "completed"
        assert proxy.cuts == 1


@asynccontextmanager
async def serving_at(port: int, settings: Settings, log_path: Path, **more: str) -> AsyncIterator[Process]:
    """An API process at this port, ready for requests."""
    env = processes.environment(settings, **more)
    listener = ports.bound(port)
    listener.listen(128)
    command = ("app", "serve", "--fd", str(listener.fileno()))
    async with processes.program(
        *command, env=env, log_path=log_path, pass_fds=(listener.fileno(),)
    ) as process:
        listener.close()  # only the process may answer
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as client:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    try:
                        (await client.get("/health/live")).raise_for_status()
                        break
                    except httpx.HTTPError:
                        assert process.is_running, process.log
                        await asyncio.sleep(0.05)
        yield process


@asynccontextmanager
async def own_system(
    settings: Settings, tmp_path: Path, **more: str
) -> AsyncIterator[tuple[Running, Process]]:
    """A system for one test, and its API's process."""
    with ports.reserved() as port:
        async with (
            processes.worker(settings, tmp_path / "worker.log", **more),
            serving_at(port, settings, tmp_path / "api.log", **more) as api,
        ):
            yield Running(f"http://{HOST}:{port}", settings), api


async def followed_to(stream: AsyncIterator[Event], events: list[Event], count: int) -> None:
    """Follow until this many events have arrived."""
    while len(events) < count:
        events.append(await anext(stream))


async def test_a_stream_resumes_after_the_api_was_stopped_and_killed_and_is_back_on_its_port(
    connect: Connect, settings: Settings, tmp_path: Path
) -> None:
    retry_config = RetryConfig(longest_pause_seconds=0.5)
    async with own_system(settings, tmp_path) as (system, api):
        ada = await asyncio.to_thread(system.sign_up)
        port = int(system.url.rsplit(":", 1)[1])
        client = connect(system.url, **ada.credentials, retry_config=retry_config)
        job = await client.submit(slow_texts(250), batch_size=1)
        events: list[Event] = []
        interruptions: list[int] = []
        stream = client.follow(job, on_interruption=lambda seq, _seconds: interruptions.append(seq))
        await followed_to(stream, events, 5)
        api.send(signal.SIGTERM)
        assert await api.wait() == 0
        async with serving_at(port, settings, tmp_path / "second.log") as second:
            await followed_to(stream, events, len(events) + 20)
            await second.kill()
            async with serving_at(port, settings, tmp_path / "third.log"):
                events += [event async for event in stream]
                log = [event async for event in client.events(job)]

    assert [event.raw for event in events] == [event.raw for event in log]
    assert events[-1].type == "completed"
    assert interruptions


async def test_an_expired_token_is_refreshed_once_for_all_requests(
    connect: Connect, settings: Settings, tmp_path: Path, resources: Resources
) -> None:
    gate = tmp_path / "gate"
    gate.write_bytes(b".")
    async with own_system(settings, tmp_path, ACCESS_TOKEN_SECONDS="1", PLUGINS=PLUGIN) as (system, _api):
        ada = await asyncio.to_thread(system.sign_up)
        client = connect(system.url, **ada.credentials)
        job = await client.create("gated", {"batches": 3, "gate_path": str(gate)})
        following = asyncio.create_task(_all(client, job))
        async with asyncio.timeout(START_SECONDS):
            while len(tokens := await _refresh_tokens(resources)) < 2:
                await asyncio.gather(*(client.job(job) for _ in range(6)))
                await asyncio.sleep(0.3)
        gate.write_bytes(b"...")
        followed = await following
        log = [event.raw async for event in client.events(job)]
        tokens = await _refresh_tokens(resources)

    assert [event.raw for event in followed] == log
    # One family: nobody had to sign in again, because no refresh token was ever used twice.
    assert len({token["family_id"] for token in tokens}) == 1
    assert len([token for token in tokens if token["used_at"] is None]) == 1


async def _refresh_tokens(resources: Resources) -> list[asyncpg.Record]:
    return await rows.fetch(resources.database, "SELECT family_id, used_at FROM refresh_tokens")


async def _all(client: AsyncHeadrace, job: Submitted) -> list[Event]:
    return [event async for event in client.follow(job)]
