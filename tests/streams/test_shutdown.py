"""A process that is asked to stop says goodbye to every stream first, and stops soon, with exit code 0."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.transition_types import ClaimedJob
from app.streams import shutdown
from app.streams.hub import Hub
from tests.support import apis, jobs, processes, rows, sse, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import publish, subscriber_count
from tests.support.processes import Process
from tests.support.waiting import until
from tests.support.websockets import Server

STREAMS = 40
STOP_SECONDS = 60.0
"""Less than two on an idle machine."""


class Listener:
    """Somebody who follows a job, by whatever transport, and the numbers of the events that came."""

    def __init__(self, job_id: UUID, headers: dict[str, str]) -> None:
        self.seen: list[int] = []
        self._job_id = job_id
        self._headers = headers

    @property
    def _after(self) -> int:
        return self.seen[-1] if self.seen else 0

    async def listen_to_sse(self, client: httpx.AsyncClient) -> str:
        """Follow until the stream ends; gives the name and the data of its last event."""
        path = f"/jobs/{self._job_id}/stream"
        last = sse.ServerSentEvent()
        headers = {**self._headers, "Last-Event-ID": str(self._after)}
        async with sse.opened(client, path, headers) as stream:
            async for last in stream.events():
                if last.event in ("update", "complete"):
                    self.seen.append(last.json()["seq"])
                else:
                    assert last.id is None
        return f"{last.event} {last.data}" if last.event == "shutdown" else last.event

    async def listen_to_socket(self, url: str) -> int | str:
        """Follow until the job has ended or the connection is closed; gives the close code."""
        path = f"/ws/jobs/{self._job_id}?after={self._after}"
        async with websockets.opened(url, path, self._headers) as talk:
            while True:
                try:
                    frame = await talk.receive()
                except ConnectionClosed:
                    return (await talk.wait_closed())[0]
                self.seen.append(frame["data"]["seq"])
                if frame["event"] == "complete":
                    return "complete"


async def running_job(settings: Settings, store: Database) -> tuple[dict[str, str], ClaimedJob]:
    """A job with two events, and what its owner sends to be known."""
    headers = await apis.sign_in(settings, store)
    owner_id = await rows.value(store, "SELECT id FROM users")
    return headers, await jobs.running(store, owner_id, rows=25)


async def have_seen(audience: list[Listener], tasks: Sequence[asyncio.Task[Any]], count: int) -> None:
    """Return once everybody has seen so many events; raises what one of them has failed with."""

    async def all_have() -> bool:
        for task in tasks:
            if task.done():
                task.result()
        return all(len(listener.seen) >= count for listener in audience)

    await until(all_have)


async def say_goodbye(
    process: Process, number: signal.Signals, url: str, client: httpx.AsyncClient, audience: list[Listener]
) -> int:
    """Have everybody follow, half of them by each transport, and stop the process under them."""
    half = len(audience) // 2
    by_sse = [asyncio.create_task(listener.listen_to_sse(client)) for listener in audience[:half]]
    by_socket = [asyncio.create_task(listener.listen_to_socket(url)) for listener in audience[half:]]
    await have_seen(audience, [*by_sse, *by_socket], 2)
    process.send(number)
    exit_code = await process.wait(STOP_SECONDS)
    assert set(await asyncio.gather(*by_sse)) == {"shutdown bye"}
    assert set(await asyncio.gather(*by_socket)) == {1001}
    assert "Traceback" not in process.log
    assert "response_aborted" not in process.log
    return exit_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
@pytest.mark.parametrize("server", ["serve", "uvicorn"])
async def test_every_stream_is_told_and_goes_on_at_the_next_process(
    settings: Settings, resources: Resources, tmp_path: Path, server: Server, number: signal.Signals
) -> None:
    store = resources.database
    headers, job = await running_job(settings, store)
    audience = [Listener(job.id, headers) for _ in range(STREAMS)]
    more = {"MAX_STREAMS_PER_USER": str(STREAMS)}

    async with websockets.api(server, settings, tmp_path / "first.log", **more) as api:
        exit_code = await say_goodbye(api.process, number, api.url, api.client, audience)
    await jobs.complete(store, job)
    async with websockets.api(server, settings, tmp_path / "second.log", **more) as api:
        ends = await asyncio.gather(  # each by the other transport
            *(listener.listen_to_socket(api.url) for listener in audience[:10]),
            *(listener.listen_to_sse(api.client) for listener in audience[-10:]),
        )

    # Having stopped in good order, uvicorn's own command lets SIGTERM kill it after all.
    assert exit_code == (-signal.SIGTERM if (server, number) == ("uvicorn", signal.SIGTERM) else 0)
    assert set(ends) == {"complete"}
    for listener in (*audience[:10], *audience[-10:]):
        assert listener.seen == [1, 2, 3, 4, 5, 6]


async def test_those_who_do_not_read_or_have_not_said_who_they_are_hold_up_nothing(
    settings: Settings, resources: Resources, tmp_path: Path
) -> None:
    headers, job = await running_job(settings, resources.database)
    large = await jobs.running(resources.database, job.owner_id, rows=600)
    await websockets.write_large_log(resources.database, large)

    async with websockets.api("serve", settings, tmp_path / "api.log") as api:
        with ExitStack() as deaf:
            for _ in range(3):
                for path, upgrade in ((f"/jobs/{large.id}/stream", False), (f"/ws/jobs/{large.id}", True)):
                    deaf.enter_context(websockets.stalled_client(api.url, path, headers, upgrade=upgrade))
            async with websockets.opened(api.url, "/ws") as newcomer:
                audience = [Listener(job.id, headers) for _ in range(10)]
                exit_code = await say_goodbye(api.process, signal.SIGTERM, api.url, api.client, audience)
                assert (await newcomer.wait_closed())[0] == 1001

    assert exit_code == 0


async def test_all_in_one_every_stream_is_told(
    settings: Settings, resources: Resources, tmp_path: Path
) -> None:
    """`python -m app dev`, and Ctrl+C: the API is a process of its own there, and not the one asked."""
    environment = processes.environment(settings, MAX_STREAMS_PER_USER="40", COLUMNS="200")
    data_dir = tmp_path / "data"
    arguments = ("-m", "app", "dev", "--port", "0", "--slots", "1", "--data", str(data_dir))
    async with processes.python(*arguments, env=environment, log_path=tmp_path / "dev.log") as process:
        await process.wait_for_log("Ctrl+C stops it")
        [url] = re.findall(r"Headrace is at (http://[\d.:]+)", process.log)
        async with websockets.client_of(url) as client:
            form = {"username": "demo", "password": (data_dir / "demo-password").read_text()}
            token = (await client.post("/token", data=form)).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            user = (await client.get("/users/me", headers=headers)).json()
            # A queue that the worker of this system does not serve.
            job = await jobs.running(resources.database, UUID(user["user_id"]), rows=25, queue="others")
            audience = [Listener(job.id, headers) for _ in range(40)]
            exit_code = await say_goodbye(process, signal.SIGINT, url, client, audience)

    assert exit_code == 0


async def test_a_process_that_is_about_to_stop_takes_nothing_new_and_says_so(
    client: httpx.AsyncClient, app: FastAPI, hub: Hub, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    before = (await client.get("/shutdown-status")).json()
    assert (await client.get("/health/ready")).status_code == 200

    hub.close()
    ready = await client.get("/health/ready")
    after = (await client.get("/shutdown-status")).json()
    body = {"texts": ["a"]}
    refused = [
        await client.post("/jobs/batch-predict", json=body, headers=alice.headers),
        await client.get("/jobs/stream", headers=alice.headers),
        await client.get(f"/jobs/{job.id}/stream", headers=alice.headers),
    ]

    running = {"active_jobs": 1, "active_tasks": 1}
    assert before == {
        **running,
        "accepting_new_jobs": True,
        "accepting_new_tasks": True,
        "shutdown_initiated": False,
    }
    assert after == {
        **running,
        "accepting_new_jobs": False,
        "accepting_new_tasks": False,
        "shutdown_initiated": True,
    }
    assert (ready.status_code, ready.json()) == (503, {"status": "stopping"})
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
        assert int(answer.headers["retry-after"]) > 0
    assert (await client.get(f"/jobs/{job.id}", headers=alice.headers)).status_code == 200
    assert (await client.get("/health/live")).status_code == 200
    async with websockets.serving(app) as url:
        for path in ("/ws", f"/ws/jobs/{job.id}"):
            async with websockets.opened(url, path, alice.headers) as talk:
                assert (await talk.wait_closed())[0] == 1001


async def test_streams_of_all_jobs_are_told_too(
    app: FastAPI, alice: Account, hub: Hub, store: Database, opened_resources: Resources
) -> None:
    async with (
        websockets.serving(app) as url,
        websockets.client_of(url) as client,
        websockets.opened(url, "/ws", alice.headers) as talk,
        sse.opened(client, "/jobs/stream", alice.headers) as stream,
    ):
        await talk.send("subscribe")
        await talk.receive()
        await until(lambda: subscriber_count(opened_resources, alice.id))
        publish(opened_resources, await jobs.cancel(store, await jobs.create(store, alice.id)))
        events = stream.events()
        shown = [await anext(events) for _ in range(3)]
        hub.close()
        state_of(app).sockets.close()
        last = [event async for event in events]

        assert [event.event for event in shown] == ["ready", "update", "complete"]
        assert [(event.event, event.data, event.id) for event in last] == [("shutdown", "bye", None)]
        assert await talk.wait_closed() == (1001, "bye")


# The signal itself


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What happened, in order; the server's own handlers write to it too."""
    events: list[str] = []
    earlier = {
        number: signal.signal(
            number, lambda number, _: events.append(f"server {signal.Signals(number).name}")
        )
        for number in shutdown.SIGNALS
    }
    yield events
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", shutdown.SIGNALS, ids=str)
async def test_the_server_hears_of_a_signal_when_the_streams_are_gone(
    heard: list[str], number: signal.Signals
) -> None:
    def gone() -> bool:
        heard.append("looked")
        return heard.count("looked") == 3

    async def server_has_heard() -> bool:
        return any(event.startswith("server") for event in heard)

    with shutdown.close_streams_first(lambda: heard.append("closed"), gone):
        os.kill(os.getpid(), number)
        await until(server_has_heard)

    assert heard == ["closed", "looked", "looked", "looked", f"server {number.name}"]


async def test_a_stream_that_does_not_go_holds_up_the_server_for_a_bounded_time(
    heard: list[str],
) -> None:
    async def server_has_heard() -> bool:
        return heard == ["closed", "server SIGTERM"]

    with shutdown.close_streams_first(lambda: heard.append("closed"), lambda: False, timeout_seconds=0.05):
        os.kill(os.getpid(), signal.SIGTERM)
        await until(server_has_heard)


async def test_a_second_signal_reaches_the_server_at_once(heard: list[str]) -> None:
    async def is_closed() -> bool:
        return "closed" in heard

    with shutdown.close_streams_first(lambda: heard.append("closed"), lambda: False):
        os.kill(os.getpid(), signal.SIGTERM)
        await until(is_closed)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)

    assert heard == ["closed", "server SIGINT"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard[-1] == "server SIGTERM"  # the handlers are the server's again
