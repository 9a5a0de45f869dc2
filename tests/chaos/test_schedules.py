"""Schedules in the drill: whatever dies, each tick becomes one job, which completes."""

from datetime import datetime, timedelta

import pytest

from app.schedules.rules import Interval
from app.schedules.states import Overlap
from tests.chaos import cluster as clusters
from tests.chaos.clients import LIVE
from tests.chaos.cluster import Cluster
from tests.chaos.options import Options
from tests.chaos.schedule import Schedule
from tests.support import invariants, rows, schedules
from tests.support.waiting import until

DRAIN_SECONDS = 300.0
GRACE_SECONDS = 3600
"""A tick of an outage is on time afterwards: none is a misfire."""


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        pytest.param(30, 20, id="600 ticks"),
        pytest.param(100, 50, marks=[pytest.mark.drill, pytest.mark.timeout(1200)], id="5000 ticks"),
    ],
)
async def test_three_apis_and_two_workers_fire_each_tick_once_while_faults_are_injected(
    seconds: int, count: int
) -> None:
    options = Options(seed=2032, minutes=seconds / 60, apis=3, workers=2)
    async with clusters.running(options) as cluster:
        first = await _begin(cluster, seconds, count)
        faults = Schedule(cluster, options)
        try:
            await faults.inject_all()
            await faults.wait_until_recovered()
        finally:
            await faults.close()
        await until(lambda: _is_done(cluster), seconds=DRAIN_SECONDS)

        ticks = [first + timedelta(seconds=second) for second in range(seconds)]
        added = await rows.fetch(cluster.database, "SELECT id, fired FROM schedules")
        for schedule in added:
            found = await schedules.outcomes(cluster.database, schedule["id"])
            assert found == [(tick, "fired") for tick in ticks]
            jobs = await schedules.jobs_of(cluster.database, schedule["id"])
            assert [(job["fire_at"], job["status"]) for job in jobs] == [
                (tick, "completed") for tick in ticks
            ]
            assert schedule["fired"] == seconds
        await invariants.all_hold(cluster.database)
        assert len(added) == count
        assert faults.surprises == []
        assert len({injection.fault for injection in faults.injections}) > 5


async def _begin(cluster: Cluster, seconds: int, count: int) -> datetime:
    """Add schedules that fire each second from soon on. Return their first tick."""
    owner_id = await rows.value(cluster.database, "SELECT id FROM users")
    first: datetime = await rows.value(
        cluster.database, "SELECT date_trunc('second', now()) + interval '2 seconds'"
    )
    for _ in range(count):
        await schedules.add(
            cluster.database,
            owner_id,
            Interval(first, 1, includes_anchor=True),
            next_fire_at=first,
            ends_at=first + timedelta(seconds=seconds - 1),
            overlap=Overlap.ALLOW,
            misfire_grace_seconds=GRACE_SECONDS,
            kind="count",
            job={"batches": 1, "max_attempts": 20},
        )
    return first


async def _is_done(cluster: Cluster) -> bool:
    """Whether all schedules have finished and all their jobs have ended."""
    is_active = "SELECT EXISTS (SELECT FROM schedules WHERE status = 'active')"
    if await rows.value(cluster.database, is_active):
        return False
    return not await rows.value(cluster.database, LIVE)
