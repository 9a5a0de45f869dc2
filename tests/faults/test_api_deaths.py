"""The API process dies between a commit and what follows it."""

import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import EXIT_SECONDS, assert_consistent, submit, wait_until_ended
from tests.support import processes, rows
from tests.support.apis import Api

KEY = {"Idempotency-Key": "a-key-of-ada"}


async def test_a_job_committed_by_an_api_that_died_before_its_hint_starts_by_itself(
    system: System, database: Database
) -> None:
    async with system.worker(), system.api(FAILPOINTS="create:after=kill") as api:
        with pytest.raises(httpx.TransportError):
            await api.client.post("/jobs/count", json={"batches": 3})
        assert await api.process.wait(EXIT_SECONDS) == -9
        job_id = await rows.value(database, "SELECT id FROM jobs")
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize(("moment", "status"), [("before", 202), ("after", 200)])
async def test_the_same_key_gives_the_same_job_after_the_api_died_before_its_answer(
    system: System, database: Database, moment: str, status: int
) -> None:
    async with system.api("first", FAILPOINTS=f"create:{moment}=kill") as first:
        with pytest.raises(httpx.TransportError):
            await first.client.post("/jobs/count", json={"batches": 3}, headers=KEY)
        assert await first.process.wait(EXIT_SECONDS) == -9
    async with system.api("second") as second:
        answer = await second.client.post("/jobs/count", json={"batches": 3}, headers=KEY)
        assert answer.status_code == status
        assert ("Idempotent-Replayed" in answer.headers) == (status == 200)
    ids = [str(row["id"]) for row in await rows.fetch(database, "SELECT id FROM jobs")]
    assert ids == [answer.json()["job_id"]]

    await assert_consistent(database, [])


async def test_a_stream_resumes_at_another_api(system: System, database: Database) -> None:
    async with system.api("second") as second, system.worker():
        async with system.api("first") as first:
            job_id = await submit(first.client, batches=60, work_ms=30)
            seen = [number async for number in _numbers_until_death(first, job_id)]
        path, place = f"/jobs/{job_id}/stream", {"Last-Event-ID": str(seen[-1])}
        async with second.client.stream("GET", path, headers=place) as stream:
            seen += [number async for number in _numbers(stream)]

    assert seen == [event["seq"] for event in await rows.events(database, job_id)]
    await assert_consistent(database, [job_id])


async def _numbers_until_death(api: Api, job_id: UUID) -> AsyncIterator[int]:
    """Yield the numbers of the events that an API sends; kill the API after the fifth."""
    with suppress(httpx.TransportError):
        async with api.client.stream("GET", f"/jobs/{job_id}/stream") as stream:
            async for number in _numbers(stream):
                yield number
                if number == 5:
                    await api.process.kill()
    assert not api.process.is_running


async def _numbers(stream: httpx.Response) -> AsyncIterator[int]:
    """Yield the numbers of the events in a stream."""
    async for line in stream.aiter_lines():
        if line.startswith("id:"):
            yield int(line.removeprefix("id:"))


async def test_an_api_exits_when_a_background_loop_has_died(system: System, tmp_path: Path) -> None:
    """Otherwise it would look healthy and not be restarted."""
    program = (
        "import asyncio, sys; from app.cli import main; from app.maintenance.maintenance import Maintenance\n"
        "async def die(_):\n"
        "    await asyncio.sleep(0.5)\n"
        "    raise RuntimeError('this loop has died')\n"
        "Maintenance.run_forever = die\n"
        "sys.exit(main.main())"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with processes.python(
            *("-c", program, "serve", "--fd", str(listener.fileno())),
            env=processes.environment(system.settings),
            log_path=tmp_path / "dying.log",
            pass_fds=(listener.fileno(),),
        ) as process:
            assert await process.wait(EXIT_SECONDS) == 1
    assert "this loop has died" in process.log
    assert "the API ended with an error" in process.log
