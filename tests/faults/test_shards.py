"""Faults while a job is divided into shards: no row is lost or stored twice, and the job ends as one."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import UUID

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from app.core import background
from app.core.database import Database
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.valkey import EmbeddedValkey
from tests.e2e.support import compounds, short_texts
from tests.faults.conftest import System
from tests.faults.support import EXIT_SECONDS, outcomes, submit, wait_until_ended
from tests.support import invariants, rows
from tests.support.processes import Process
from tests.support.waiting import until

ROWS = 240
TEXTS = [f"{text} table and chair" * 100 for text in short_texts(ROWS)]
"""So long that a batch takes some hundredths of a second."""

LIGHT = {"CHILD_PRELOAD": "false"}
"""Workers that import no ML library: these predictions need none."""

COMPLETED_BY_WORKER = """
SELECT a.worker_name, count(*) AS shards FROM job_attempts a JOIN jobs s ON s.id = a.job_id
WHERE s.parent_id = $1 AND a.outcome = 'completed' GROUP BY a.worker_name"""


async def submit_shards(
    client: httpx.AsyncClient, texts: list[str] = TEXTS, *, batch_size: int = 10, shards: int = 6
) -> UUID:
    """Submit a job over a new dataset with these texts."""
    answer = await client.post(
        "/datasets?name=texts.csv",
        content=("text\n" + "\n".join(texts) + "\n").encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 201, answer.text
    return await submit(
        client,
        "batch_predict",
        dataset_id=answer.json()["dataset_id"],
        batch_size=batch_size,
        shards=shards,
        max_attempts=10,
    )


async def submit_until_killed(
    victim: Process, database: Database, submit_job: Callable[[], Awaitable[UUID]]
) -> UUID:
    """Submit up to ten jobs, one after the other, until a failpoint kills the victim; return the last."""
    job_id = await submit_job()
    for _ in range(9):

        async def is_over(job_id: UUID = job_id) -> bool:
            job = await rows.job(database, job_id)
            return job["status"] == "completed" or not victim.is_running

        await until(is_over, seconds=EXIT_SECONDS)
        if not victim.is_running:
            break
        job_id = await submit_job()
    return job_id


async def until_shard(database: Database, job_id: UUID, condition: str) -> None:
    """Wait until a shard of the job satisfies an SQL condition."""

    async def is_there() -> bool:
        found = await rows.fetch(database, f"SELECT FROM jobs WHERE parent_id = $1 AND {condition}", job_id)
        return bool(found)

    await until(is_there, seconds=EXIT_SECONDS)


async def assert_whole(database: Database, job_id: UUID, texts: list[str] = TEXTS) -> None:
    """The job has completed, with the right prediction for each row once, in order."""
    job = await wait_until_ended(database, job_id)
    assert (job["status"], job["done"]) == ("completed", len(texts)), dict(job)
    found = []
    for shard in await rows.shards(database, job_id):
        for batch in await rows.batches(database, shard["id"]):
            found += [msgspec.json.decode(line) for line in batch["output"].splitlines()]
    assert [line["prediction"]["scores"]["compound"] for line in found] == compounds(texts)
    await invariants.all_hold(database)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("statement", ["claim", "advance", "complete"])
async def test_three_workers_killed_at_a_statement_lose_no_row(
    system: System, ada: httpx.AsyncClient, database: Database, statement: str, moment: str
) -> None:
    times = 3 if statement == "advance" else 1
    async with AsyncExitStack() as stack:
        victims = [
            await stack.enter_async_context(
                system.worker(f"victim-{number}", FAILPOINTS=f"{statement}:{moment}=kill@{times}", **LIGHT)
            )
            for number in range(3)
        ]
        job_id = await submit_shards(ada)
        assert [await victim.wait(EXIT_SECONDS) for victim in victims] == [-9] * 3
    async with system.worker("last", **LIGHT):
        await assert_whole(database, job_id)


async def test_a_process_killed_while_it_holds_a_parent_leaves_it_to_the_others(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    """The API may roll up before the worker does: then nobody is killed."""
    async with system.worker("victim", FAILPOINTS="rollup:lock=kill@2", **LIGHT) as victim:
        job_id = await submit_until_killed(victim, database, lambda: submit_shards(ada))
        assert await victim.wait(EXIT_SECONDS) == -9
    async with system.worker("last", **LIGHT):
        await assert_whole(database, job_id)


async def test_a_worker_killed_while_it_settles_the_job_leaves_the_end_to_the_others(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    """The API may be faster than the worker that has ended the last shard: then nobody is killed."""
    async with system.worker("victim", FAILPOINTS="rollup:settle=kill", **LIGHT) as victim:
        job_id = await submit_until_killed(
            victim, database, lambda: submit_shards(ada, short_texts(40), shards=2)
        )
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    assert (await rows.event_types(database, job_id)).count("completed") == 1
    await invariants.all_hold(database)


async def test_processes_killed_while_they_end_shards_leave_a_job_that_is_cancelled_whole(
    system: System, database: Database
) -> None:
    """The shards that were ended in the transaction are open again, and end with the next roll-up."""
    async with system.api("doomed", FAILPOINTS="rollup:end=kill") as api, system.worker("first", **LIGHT):
        job_id = await submit_shards(api.client)
        await until_shard(database, job_id, "done > 0")
        with pytest.raises(httpx.TransportError):
            await api.client.delete(f"/jobs/{job_id}")
    async with system.api("next"), system.worker("second", **LIGHT):
        job = await wait_until_ended(database, job_id)

    assert job["status"] == "cancelled"
    assert (await rows.event_types(database, job_id))[-2:] in (
        ["cancel_requested", "cancelled"],
        ["progress", "cancelled"],
    )
    await invariants.all_hold(database)


async def test_a_worker_frozen_for_longer_than_its_lease_writes_nothing_to_shards_it_has_lost(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first", **LIGHT) as first:
        job_id = await submit_shards(ada)
        await until_shard(database, job_id, "status = 'running' AND done > 0")
        first.send(signal.SIGSTOP)
        async with system.worker("second", **LIGHT):
            await until_shard(database, job_id, "attempt = 2")
            first.send(signal.SIGCONT)
            await first.wait_for_log("outcome=fenced")
            await assert_whole(database, job_id)

    ended = [await outcomes(database, shard["id"]) for shard in await rows.shards(database, job_id)]
    assert ["rescued", "completed"] in ended
    assert await outcomes(database, job_id) == []


async def test_a_restart_of_postgres_costs_no_row_and_no_attempt(
    system: System, ada: httpx.AsyncClient, database: Database, postgres: EmbeddedPostgres
) -> None:
    async with system.worker("first", **LIGHT), system.worker("second", **LIGHT):
        job_id = await submit_shards(ada)
        await until_shard(database, job_id, "status = 'running' AND done > 0")
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
        await assert_whole(database, job_id)

    assert {shard["failures"] for shard in await rows.shards(database, job_id)} == {0}


async def test_flushing_redis_with_a_thousand_pending_shards_loses_none(
    system: System, ada: httpx.AsyncClient, database: Database, valkey: EmbeddedValkey
) -> None:
    texts = short_texts(2000)
    job_id = await submit_shards(ada, texts, batch_size=2, shards=1000)
    assert len(await rows.shards(database, job_id)) == 1000
    async with system.worker("one", **LIGHT), Redis.from_url(valkey.url) as client:
        for completed in (5, 100):
            await client.flushall()
            await _until_completed(database, job_id, completed)
        await assert_whole(database, job_id, texts)


async def _until_completed(database: Database, job_id: UUID, count: int) -> None:
    query = "SELECT count(*) >= $2 FROM jobs WHERE parent_id = $1 AND status = 'completed'"

    async def are_completed() -> bool:
        return bool(await rows.value(database, query, job_id, count))

    await until(are_completed, seconds=EXIT_SECONDS)


async def test_a_worker_that_is_ten_times_slower_holds_up_no_shard(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    """The faster one takes the shards that are left, so the job takes about as long as that one needs."""
    shards = 24
    one_slot = {"WORKER_SLOTS": "1", **LIGHT}
    async with system.worker("slow", **one_slot) as slow, system.worker("fast", **one_slot):
        job_id = await submit_shards(ada, batch_size=5, shards=shards)
        on_slow = "worker_id = (SELECT id FROM workers WHERE name = 'slow')"
        await until_shard(database, job_id, f"status = 'running' AND {on_slow}")
        async with background.running(slowed_down(slow)):
            await assert_whole(database, job_id)

    completed = {
        row["worker_name"]: row["shards"] for row in await rows.fetch(database, COMPLETED_BY_WORKER, job_id)
    }
    assert sum(completed.values()) == shards
    assert completed["fast"] >= 3 * completed.get("slow", 0), completed
    assert {shard["attempt"] - shard["failures"] for shard in await rows.shards(database, job_id)} == {1}


async def slowed_down(process: Process, *, runs: float = 0.05, stands: float = 0.45) -> None:
    """Let a process run for a tenth of the time only, until this is cancelled."""
    try:
        while True:
            process.send(signal.SIGSTOP)
            await asyncio.sleep(stands)
            process.send(signal.SIGCONT)
            await asyncio.sleep(runs)
    finally:
        process.send(signal.SIGCONT)
