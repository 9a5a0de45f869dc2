"""Exactly once: each tick becomes one firing and one job, however often processes die in the middle of it."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from app.core.config import Settings
from app.core.database import Database
from app.schedules.rules import Interval
from app.schedules.states import Overlap
from tests.support import invariants, jobs, processes, rows, schedules
from tests.support.processes import Process
from tests.support.schedules import NOON
from tests.support.waiting import until

SCHEDULES: Final = 5
PROCESSES: Final = 3
TICKS: Final = 1000
DEATHS: Final = 12
MOST_ROUNDS: Final = 6
"""So many that all but the last die long before everything is fired, also if starting takes long."""

SEED: Final = 1127
FAILPOINTS: Final = ("fire:before", "fire:recorded", "fire:after")
MOST_SECONDS_AT_ONCE: Final = 20
"""Less than the grace: no tick is a misfire, however late a process comes to it."""

# What is still due, by the virtual clock?
DUE = """SELECT count(*) FROM schedules
WHERE status = 'active' AND next_fire_at <= (SELECT now FROM virtual_time)"""


class Fleet:
    """Processes that fire schedules and are replaced when they die."""

    def __init__(self, settings: Settings, folder: Path, choice: random.Random) -> None:
        self._settings = settings
        self._folder = folder
        self._choice = choice
        self._stack = AsyncExitStack()
        self._running: list[Process] = []
        self.deaths = 0
        self._started = 0

    async def replace_dead(self) -> None:
        """Start processes until there are enough; each of them dies too, until enough have died."""
        dead = [process for process in self._running if not process.is_running]
        self.deaths += len(dead)
        for process in dead:
            assert await process.wait() == -9, process.log
        self._running = [process for process in self._running if process.is_running]
        while len(self._running) < PROCESSES:
            self._running.append(await self._start())

    async def _start(self) -> Process:
        self._started += 1
        more = {}
        if self._started <= DEATHS:
            failpoint = FAILPOINTS[self._started % len(FAILPOINTS)]
            more["FAILPOINTS"] = f"{failpoint}=kill@{self._choice.randint(1, MOST_ROUNDS)}"
        environment = processes.environment(self._settings, **more)
        log_path = self._folder / f"firing-{self._started}.log"
        running = processes.program("tests.schedules.firing_process", env=environment, log_path=log_path)
        return await self._stack.enter_async_context(running)

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def fleet(settings: Settings, tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(settings, tmp_path, random.Random(SEED))
    yield fleet
    await fleet.close()


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_three_processes_that_die_at_random_fire_each_tick_once(
    database: Database, fleet: Fleet
) -> None:
    await rows.execute(database, "CREATE TABLE virtual_time (now timestamptz NOT NULL)")
    await rows.execute(database, "INSERT INTO virtual_time VALUES ($1)", NOON - timedelta(seconds=1))
    owner_id = await jobs.user(database)
    end = NOON + timedelta(seconds=TICKS - 1)
    added = [
        await schedules.add(
            database,
            owner_id,
            Interval(NOON, 1, includes_anchor=True),
            ends_at=end,
            overlap=Overlap.ALLOW,
        )
        for _ in range(SCHEDULES)
    ]
    choice = random.Random(SEED)
    now = NOON - timedelta(seconds=1)

    async def is_all_fired() -> bool:
        await fleet.replace_dead()
        return not await rows.value(database, DUE)

    while now < end:
        now = min(now + timedelta(seconds=choice.randint(1, MOST_SECONDS_AT_ONCE)), end)
        await rows.execute(database, "UPDATE virtual_time SET now = $1", now)
        due_since = await rows.value(database, "SELECT min(next_fire_at) FROM schedules")
        is_behind = due_since is not None and now - due_since > timedelta(seconds=MOST_SECONDS_AT_ONCE)
        if is_behind or choice.random() < 0.5:
            await until(is_all_fired)
        else:
            await fleet.replace_dead()
    await until(is_all_fired)

    ticks = [NOON + timedelta(seconds=second) for second in range(TICKS)]
    for schedule in added:
        assert await schedules.outcomes(database, schedule.id) == [(tick, "fired") for tick in ticks]
        assert [job["fire_at"] for job in await schedules.jobs_of(database, schedule.id)] == ticks
        stored = await schedules.read(database, schedule.id)
        assert (stored.status, stored.fired, stored.last_fire_at) == ("finished", TICKS, end)
    # The last that are to die may find nothing left to fire.
    assert fleet.deaths > DEATHS - PROCESSES
    assert await rows.value(database, "SELECT count(*) FROM jobs") == SCHEDULES * TICKS
    unmatched = """SELECT count(*) FROM schedule_firings f FULL JOIN jobs j ON j.id = f.job_id
    WHERE j.id IS NULL OR f.job_id IS NULL OR (j.schedule_id, j.fire_at) <> (f.schedule_id, f.fire_at)"""
    assert await rows.value(database, unmatched) == 0
    await invariants.event_logs_are_complete(database)
