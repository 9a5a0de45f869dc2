"""All maintenance loops of one process."""

import asyncio
from collections.abc import Mapping
from typing import Final

from app.audit import commands as audit
from app.core.loops import LoopState
from app.core.resources import Resources
from app.jobs.counting import JobSeries
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.maintenance import stats
from app.maintenance.loop import Loop
from app.maintenance.pace import Pace
from app.maintenance.prune import Prune
from app.maintenance.rescue import Rescue
from app.maintenance.roll_up import RollUp, RollUpLoop
from app.maintenance.schedules import ScheduleLoop
from app.maintenance.stats import StatsLoop
from app.maintenance.sweep import Sweep, SweepLoop
from app.maintenance.token_refill import TokenRefill, TokenRefillLoop
from app.maintenance.user_removal import UserRemoval
from app.quotas import commands as quotas
from app.quotas.service import StorageQuota
from app.schedules.firing import Dispatcher

WAKE_SECONDS: Final = 0.18
ROLL_UP_SECONDS: Final = 0.25
PACE: Final = 0.8
"""Time between the rounds of all processes, in intervals of a loop: the least that one alone waits."""

ADD_UP_SECONDS: Final = 5.0
STATS_SECONDS: Final = 10.0
SCHEDULE_SECONDS: Final = 0.5
SEAL_SECONDS: Final = 1.0
PRUNE_SECONDS: Final = 60.0
REMOVE_USERS_SECONDS: Final = 5.0
SWEEP_SECONDS: Final = 3600.0


class Maintenance:
    """Runs every maintenance duty in the background."""

    def __init__(
        self,
        resources: Resources,
        kinds: Mapping[str, Kind],
        series: JobSeries,
        *,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        settings, database = resources.settings, resources.database
        rescue = Rescue(settings, resources.hints)
        quota = Quota(database, settings.max_active_jobs, StorageQuota.from_settings(settings))
        dispatcher = Dispatcher(settings, kinds, quota)

        def pace(duty: str, interval_seconds: float) -> Pace:
            return Pace(resources.redis_pool, resources.redis, duty, PACE * interval_seconds)

        self.loops = (
            # Among many processes, each rarely performs it, but still learns that Postgres responds.
            Loop("rescue", settings.heartbeat_seconds, database, rescue, rescue.contact.touch),
            TokenRefillLoop(
                "wake",
                WAKE_SECONDS,
                database,
                TokenRefill(resources.redis_pool, resources.redis, resources.hints),
                may_begin=pace("wake", WAKE_SECONDS),
            ),
            RollUpLoop(
                "roll_up",
                ROLL_UP_SECONDS,
                database,
                RollUp(resources.hints),
                may_begin=pace("roll_up", ROLL_UP_SECONDS),
            ),
            ScheduleLoop(
                "schedule",
                SCHEDULE_SECONDS,
                database,
                dispatcher.renew,
                dispatcher=dispatcher,
                hints=resources.hints,
            ),
            Loop("seal_audit_log", SEAL_SECONDS, database, audit.seal_committed),
            Loop("prune", PRUNE_SECONDS, database, Prune(settings, resources.storage)),
            Loop(
                "remove_users",
                REMOVE_USERS_SECONDS,
                database,
                UserRemoval(resources.storage, resources.hints),
            ),
            Loop("add_up", ADD_UP_SECONDS, database, quotas.add_up),
            StatsLoop("stats", STATS_SECONDS, database, stats.measure, series=series),
            SweepLoop(
                "sweep",
                sweep_seconds,
                database,
                Sweep(resources.storage),
                database_url=settings.database_url,
            ),
        )

    async def run_forever(self) -> None:
        """Run all loops until cancelled."""
        await asyncio.gather(*(loop.run_forever() for loop in self.loops))

    @property
    def is_firing(self) -> bool:
        """Whether the loop that fires schedules succeeded recently."""
        return all(loop.is_healthy for loop in self.loops if isinstance(loop, ScheduleLoop))

    def states(self) -> list[LoopState]:
        """Return how each loop is doing."""
        return [loop.state for loop in self.loops]

    def health(self) -> dict[str, bool]:
        """Return whether each loop succeeded recently."""
        return {loop.name: loop.is_healthy for loop in self.loops}
