"""Faults reach an operator: the right alert arrives at a webhook, and resolves once the fault is over.

The rules are those that we ship, with shorter times. How long an alert took is reported and not asserted.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import asyncpg
import pytest

from app.maintenance import locks
from tests.faults.support import submit, until_batches, wait_until_all_ended, wait_until_ended
from tests.monitoring import drill
from tests.monitoring.drill import Drill, submit_many
from tests.monitoring.servers import metrics_address
from tests.monitoring.webhook import Notification
from tests.support.processes import Process
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.drill, pytest.mark.timeout(600)]  # whole systems

FASTER: Final = 60.0

FASTER_THAN_JOBS: Final = 30.0
"""Jobs must end within the range of the rate at which they do."""

FASTER_THAN_LOOPS: Final = 6.0
"""The alert must wait for longer than a loop rests: `stats` takes its next turn after up to 12 seconds."""

ALL_LOOPS: Final = 'loop!~"prune|sweep"'
DUE: Final = 'sum(headrace:queue_jobs:max{state="due"}) > 0'
EVERY_LOOP_TURNS: Final = (
    f'min(sum by (loop) (rate(headrace_loop_rounds_total{{{ALL_LOOPS}, result="done"}}[50s]))) > 0'
)

LOOP_ALERT_SECONDS: Final = 80.0
"""The range of the alert, its wait, and some evaluations: (5 min + 2 min) / `FASTER_THAN_LOOPS`, and more."""

JOB_MS: Final = 1000
BACKLOG_GROUPS: Final = 5
"""Thousands of jobs: with one a second at most, they take longer than the hour of the alert."""

CANCEL_SECONDS: Final = 300.0
"""A thousand jobs are cancelled one by one."""

Measure = Callable[[str, object], None]


async def expect(drill: Drill, name: str, severity: str, since: float, record: Measure) -> Notification:
    """Wait until an alert arrives, and record how long after the fault that was."""
    alert = await drill.webhook.until("firing", name)
    assert alert.labels["severity"] == severity
    record(f"seconds from the fault to {name}", round(alert.at - since, 1))
    return alert


async def test_without_workers_due_jobs_raise_an_alert_until_a_worker_is_back(
    server_dir: Path, tmp_path: Path, record_property: Measure
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER) as system:
        api = await system.start_api()
        first, second = await system.start_worker("first"), await system.start_worker("second")
        # Two occupy the workers until they die, the others are due.
        jobs = [await submit(api, "sleep_in_c", bad_attempts=1) for _ in range(2)]
        jobs += [await submit(api, batches=3) for _ in range(5)]
        await system.prometheus.until(DUE)

        killed_at = monotonic()
        await system.kill(first, second)
        alert = await expect(system, "HeadraceNoWorkers", "page", killed_at, record_property)
        await system.start_worker("third")
        await system.start_worker("fourth")

        assert alert.labels["queue"] == "default"
        assert "queue default" in alert.annotations["summary"]
        await system.webhook.until("resolved", "HeadraceNoWorkers")
        ended = await wait_until_all_ended(system.database, jobs)
        assert {job["status"] for job in ended} == {"completed"}


async def test_when_a_process_freezes_another_runs_its_loops_and_no_alert_comes(
    server_dir: Path, tmp_path: Path
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER_THAN_LOOPS) as system:
        await system.start_api()
        workers = [await system.start_worker(name) for name in ("first", "second")]
        await system.prometheus.until(f"{EVERY_LOOP_TURNS} and count(up == 1) == 3")
        busiest = await _process_with_most_rounds(system, workers)

        busiest.send(signal.SIGSTOP)
        frozen_at = (await system.prometheus.query("time()"))[0].value
        # By then the alert would have come, if a loop had stopped with the process.
        await system.prometheus.until(f"vector(time()) > {frozen_at + LOOP_ALERT_SECONDS}")
        await system.prometheus.until(EVERY_LOOP_TURNS)
        busiest.send(signal.SIGCONT)

        stopped = [alert.labels for alert in system.webhook.received if alert.name == "HeadraceLoopStopped"]
        assert stopped == []


async def _process_with_most_rounds(system: Drill, workers: list[Process]) -> Process:
    """The worker that has run the most rounds of loops."""
    query = f'sum by (instance) (headrace_loop_rounds_total{{{ALL_LOOPS}, result="done"}})'
    rounds = {found.labels["instance"]: found.value for found in await system.prometheus.query(query)}
    return max(workers, key=lambda worker: rounds.get(metrics_address(worker), 0.0))


async def test_a_loop_that_no_process_can_run_raises_an_alert(
    server_dir: Path, tmp_path: Path, record_property: Measure
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER_THAN_LOOPS) as system:
        await system.start_api()
        await system.start_worker("only")
        await system.prometheus.until(EVERY_LOOP_TURNS)

        held_at = monotonic()
        async with held(system.settings.database_url, "rescue"):
            alert = await expect(system, "HeadraceLoopStopped", "page", held_at, record_property)
        assert alert.labels["loop"] == "rescue"
        await system.webhook.until("resolved", "HeadraceLoopStopped")


@asynccontextmanager
async def held(database_url: str, duty: str) -> AsyncIterator[None]:
    """Hold the lock of a duty, as a process that froze in the middle of it does."""
    connection = await asyncpg.connect(database_url)
    try:
        await until(lambda: locks.try_for_connection(connection, duty))
        yield
    finally:
        await connection.close()


async def test_without_postgres_an_alert_comes_and_work_resumes_with_it(
    server_dir: Path, tmp_path: Path, record_property: Measure
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER) as system:
        api = await system.start_api()
        await system.start_worker("only")
        job = await submit(api, batches=100, work_ms=50)
        await until_batches(system.database, job, 1)
        await system.prometheus.until("min(headrace_postgres_up) == 1")

        killed_at = monotonic()
        await asyncio.to_thread(system.servers.postgres.kill)
        await expect(system, "HeadracePostgresAway", "page", killed_at, record_property)
        await asyncio.to_thread(system.servers.postgres.start)

        await system.webhook.until("resolved", "HeadracePostgresAway")
        assert (await wait_until_ended(system.database, job))["status"] == "completed"


async def test_without_redis_a_ticket_comes_and_jobs_still_run(
    server_dir: Path, tmp_path: Path, record_property: Measure
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER) as system:
        api = await system.start_api()
        await system.start_worker("only")
        await system.prometheus.until("min(headrace_redis_up) == 1")

        killed_at = monotonic()
        await asyncio.to_thread(system.servers.valkey.kill)
        job = await submit(api, batches=3)
        await expect(system, "HeadraceRedisAway", "ticket", killed_at, record_property)
        assert (await wait_until_ended(system.database, job))["status"] == "completed"
        await asyncio.to_thread(system.servers.valkey.start)

        await system.webhook.until("resolved", "HeadraceRedisAway")


async def test_a_queue_that_grows_faster_than_it_empties_raises_a_ticket(
    server_dir: Path, tmp_path: Path, record_property: Measure
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER_THAN_JOBS) as system:
        api = await system.start_api()
        await system.start_worker("only")

        grows_at = monotonic()
        groups = [
            await submit_many(api, 1000, kind="count", batches=1, work_ms=JOB_MS)
            for _ in range(BACKLOG_GROUPS)
        ]
        alert = await expect(system, "HeadraceQueueBacklog", "ticket", grows_at, record_property)
        for group in groups:
            assert (await api.delete(f"/groups/{group}", timeout=CANCEL_SECONDS)).status_code == 200

        assert alert.labels["queue"] == "default"
        await system.webhook.until("resolved", "HeadraceQueueBacklog")


async def test_dead_letters_raise_a_ticket_until_they_are_dismissed(
    server_dir: Path, tmp_path: Path, record_property: Measure
) -> None:
    async with drill.running(server_dir, tmp_path, factor=FASTER) as system:
        api = await system.start_api()
        await system.start_worker("only")
        # The rule compares with an hour ago, here a minute.
        await system.prometheus.until("sum(headrace_dead_letters offset 1m) == 0")

        failed_at = monotonic()
        await submit_many(api, 25, kind="refuse")
        await expect(system, "HeadraceDeadLettersGrow", "ticket", failed_at, record_property)
        dismissed = await api.post("/dead-letters/dismiss", json={"all": True})

        assert len(dismissed.json()["job_ids"]) == 25
        await system.webhook.until("resolved", "HeadraceDeadLettersGrow")
